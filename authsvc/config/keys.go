package config

import (
	"slices"

	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/guard"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

const explainAddress = "explain.address"

// table lists every key with its default and its help text. Defaults are set
// nowhere else.
var table = slices.Concat(settings.Table{
	{Key: "listen.address", Default: "unix:/run/authsvc/authsvc.sock", Usage: "address for requests from nginx: unix:PATH, tcp:HOST:PORT, or systemd:NAME for a socket passed by systemd", Restart: true},
	{Key: "listen.mode", Default: "0660", Usage: "mode of the unix socket, octal, in quotes", Restart: true},
	{Key: "listen.group", Default: "", Usage: "group of the unix socket; nginx's workers must be in it", Restart: true},
	{Key: "listen.max_requests", Default: 1024, Usage: "maximum concurrent requests from nginx; any more get 503 immediately", Restart: true},
	{Key: "private.address", Default: "127.0.0.1:9101", Usage: "address for /healthz, /readyz and /metrics: HOST:PORT or unix:PATH", Restart: true},
	{Key: explainAddress, Default: "unix:/run/authsvc/explain.sock", Usage: "socket for authsvc explain and licenses: unix:PATH, as systemd passes it, else created by authsvc for its own group; empty to disable", Restart: true},
	{Key: "realm", Default: "registry", Usage: "name of the registry in the password prompt (the realm of WWW-Authenticate)", Restart: true},
	{Key: "messages.renew", Default: "", Usage: "text appended to \"license … expired on …\" and \"… was withdrawn\", such as: renew at https://vendor.com/licenses"},
}, registryKeys.Under("upstream."), settings.Table{
	{Key: "release.tag_ttl", Default: "30s", Usage: "how long the list of tags and the digest of each tag are cached"},
	{Key: "release.previous", Default: "24h", Usage: "how long the old content of a moved or deleted tag can still be pulled, counted from when the tag was last seen there; at least tag_ttl"},
	{Key: "release.stale", Default: "24h", Usage: "how long after a registry was last heard its tags and digests stay allowed as they were then while it fails; 0s to disable. A 401, 403 or 404 is an answer, and ends them"},
	{Key: "release.ready_without_token", Default: false, Usage: "report ready, and degraded, without a token for any registry while something is known that release.stale keeps allowed; for nginx with the content store, which serves files without a token"},
	{Key: "release.timeout", Default: "5s", Usage: "maximum time that a customer's request waits for authsvc to look up a release; after that it gets 503"},
	{Key: "release.max_digests", Default: 1_000_000, Usage: "maximum digests remembered (manifests, configs and layers); a million take about 150 MB", Restart: true},
	{Key: "release.referrers", Default: true, Usage: "query the registry's referrers API; set false if the registry lacks it or the role may not call it (signature tags work either way)"},
	{Key: "release.file", Default: "", Usage: "file that preserves what is known of releases across restarts; empty for none", Restart: true},
	{Key: "catalog.repositories", Default: "", Usage: "repositories that /v2/_catalog may list for licenses that use a pattern; repositories that a license names in full are always listed"},
}, kloudless.Kind.Keys.Under("kloudless."), settings.Table{
	{Key: "cache.ttl", Default: "60s", Usage: "how long an accepted credential is cached; a withdrawn license stops working within this time"},
	{Key: "cache.refusal_ttl", Default: "10s", Usage: "how long a refused credential is cached"},
	{Key: "cache.stale_ttl", Default: "15m", Usage: "how long past its ttl an accepted credential keeps working while the API is down; 0s to disable"},
	{Key: "cache.max_entries", Default: 10_000, Usage: "maximum accepted credentials in the cache"},
	{Key: "cache.max_refusals", Default: 1_000, Usage: "maximum refused credentials in the cache"},
	{Key: "cache.file", Default: "", Usage: "file that preserves accepted credentials across restarts, as keyed hashes; empty for none", Restart: true},
	{Key: "cache.key_file", Default: "", Usage: "file with the key for these hashes, created if missing (systemd credentials are in /run/credentials/authsvc.service/); empty for a new key at each start", Restart: true},
	{Key: "guard.look_ups", Default: guard.Defaults().InFlight, Usage: "maximum concurrent API lookups of unknown credentials; known customers do not count"},
	{Key: "guard.refusals_per_second", Default: guard.Defaults().PerSecond, Usage: "maximum lookups of unknown credentials per second that end in a refusal; any more get 429"},
	{Key: "guard.failures", Default: guard.Defaults().Address.Ban, Usage: "wrong credentials after which an address is banned; delays begin at a third of this"},
	{Key: "guard.ban", Default: guard.Defaults().BanFor.String(), Usage: "how long a ban lasts"},
	{Key: "guard.shared_customers", Default: guard.Defaults().SharedCustomers, Usage: "an address with this many accepted customers within a day is never banned as a whole"},
	{Key: "guard.uncounted", Default: "", Usage: "networks whose failures never count, such as 192.0.2.0/24"},
	{Key: "probe.url", Default: "", Usage: "the registry as customers reach it, such as https://docker.vendor.com, for made-up pulls by authsvc probe; empty for none"},
	{Key: "probe.address", Default: "", Usage: "HOST:PORT to ask in place of the URL's host, such as 127.0.0.1:443 for this machine's nginx; empty for the URL's host"},
	{Key: "probe.ca_file", Default: "", Usage: "PEM file of CAs to trust besides the system's for these pulls; empty for none"},
	{Key: "probe.image", Default: "", Usage: "the image to pull, REPOSITORY:TAG, for which the account is licensed. Required with probe.url"},
	{Key: "probe.credential_file", Default: "$CREDENTIALS_DIRECTORY/probe", Usage: "file with USER:TOKEN of the account; $CREDENTIALS_DIRECTORY/NAME for a systemd credential"},
	{Key: "probe.timeout", Default: "15s", Usage: "timeout of each step"},
	{Key: "probe.result_file", Default: "/run/authsvc-probe/result.json", Usage: "file in which authsvc probe --record hands the result to authsvc, for its metrics"},
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
})
