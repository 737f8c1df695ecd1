package config

import (
	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/guard"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// table lists every key with its default and what it is: the one place for
// defaults, and the flags' help.
var table = settings.Table{
	{Key: "listen.address", Default: "unix:/run/authsvc/authsvc.sock", Usage: "where nginx asks: unix:PATH, tcp:HOST:PORT, or systemd:NAME for a socket that systemd passes"},
	{Key: "listen.mode", Default: "0660", Usage: "mode of the unix socket, octal, in quotes"},
	{Key: "listen.group", Default: "", Usage: "group of the unix socket: the one that nginx's workers are in"},
	{Key: "listen.max_requests", Default: 1024, Usage: "questions answered at once; further ones get 503 immediately"},
	{Key: "private.address", Default: "127.0.0.1:9101", Usage: "where /healthz, /readyz and /metrics are served: HOST:PORT or unix:PATH"},
	{Key: "realm", Default: "registry", Usage: "name of the registry in the question for a password"},
	{Key: "messages.renew", Default: "", Usage: "sentence after \"license … expired on …\" or \"… was withdrawn\", such as: renew at https://vendor.com/licenses"},
	{Key: "upstream.token_file", Default: "/run/tokenrefresher/main.json", Usage: "the file that tokenrefresher writes"},
	{Key: "upstream.refresh_socket", Default: "unix:/run/tokenrefresher/control.sock", Usage: "where tokenrefresher is asked for a new token when the registry rejects one; empty to never ask"},
	{Key: "upstream.refresh_name", Default: "main", Usage: "the registry's name in tokenrefresher's configuration"},
	{Key: "upstream.refresh_timeout", Default: "5s", Usage: "how long a customer's request waits for a new token"},
	{Key: "upstream.address", Default: "", Usage: "HOST:PORT at which authsvc itself reaches the registry, if not by its own name: an endpoint in the VPC; the certificate is the name's nevertheless"},
	{Key: "upstream.ca_file", Default: "", Usage: "PEM file of the authorities that sign the registry's certificate; empty for the system's"},
	{Key: "upstream.requests", Default: 16, Usage: "requests that authsvc itself sends to the registry at once, to learn its releases"},
	{Key: "upstream.timeout", Default: "10s", Usage: "time for one of them"},
	{Key: "release.tag_ttl", Default: "30s", Usage: "how long the digest of a tag, and the list of tags, are believed before the registry is asked again"},
	{Key: "release.previous", Default: "24h", Usage: "how long a tag that has moved or gone still opens what it had, from when it was last seen to have it; tag_ttl if that is longer"},
	{Key: "release.timeout", Default: "5s", Usage: "how long a customer's request waits for what is not known yet; then it is unavailable"},
	{Key: "release.max_digests", Default: 1_000_000, Usage: "digests remembered at most: manifests, configurations and layers; a million take about 150 MB"},
	{Key: "release.referrers", Default: true, Usage: "ask the registry for referrers; false if it, or the role, does not have that call (tags of signatures count nevertheless)"},
	{Key: "release.file", Default: "", Usage: "file that keeps what is remembered over a restart; empty for none"},
	{Key: "catalog.repositories", Default: "", Usage: "list of repositories to look through for customers whose license names repositories by a pattern; those that a license names in full are listed anyway"},
	{Key: "kloudless.url", Default: "", Usage: "base of the Meta API, such as https://api.kloudless.com/v1/; required: customers' tokens are sent there, so there is no default"},
	{Key: "kloudless.licenses_path", Default: kloudless.DefaultLicensesPath, Usage: "path of the list of licenses, below the base (assumed: Kloudless does not document it)"},
	{Key: "kloudless.page_size", Default: 100, Usage: "licenses asked for at once"},
	{Key: "kloudless.max_pages", Default: 20, Usage: "pages at most for one customer"},
	{Key: "kloudless.timeout", Default: "5s", Usage: "time for one customer's look-up, all pages"},
	{Key: "kloudless.ca_file", Default: "", Usage: "PEM file of the authorities that sign the API's certificate; empty for the system's"},
	{Key: "kloudless.grants", Default: kloudless.DefaultGrants, Usage: "jq expression: a license object to grants {repository, tags, expires, license}, and withdrawn if the vendor ended it"},
	{Key: "kloudless.account.id", Default: "", Usage: "jq expression: the account's object to the account's id, such as .id, for logs; empty for none"},
	{Key: "kloudless.account.verify_email", Default: false, Usage: "refuse a token whose account has another e-mail than the customer gave"},
	{Key: "kloudless.account.path", Default: kloudless.DefaultAccountPath, Usage: "path of the account's object, below the base (assumed)"},
	{Key: "kloudless.account.email", Default: kloudless.DefaultEmail, Usage: "jq expression: the account's object to its e-mail"},
	{Key: "cache.ttl", Default: "60s", Usage: "how long an accepted credential is not asked about again: the upper bound from a license's withdrawal to the refusal"},
	{Key: "cache.refusal_ttl", Default: "10s", Usage: "the same for a refused one"},
	{Key: "cache.stale_ttl", Default: "15m", Usage: "how long after its ttl an accepted credential still serves while the API is down; 0s for not at all"},
	{Key: "cache.max_entries", Default: 10_000, Usage: "accepted credentials kept at most"},
	{Key: "cache.max_refusals", Default: 1_000, Usage: "refused credentials kept at most"},
	{Key: "cache.file", Default: "", Usage: "file that keeps accepted credentials over a restart, as keyed hashes; empty for none"},
	{Key: "cache.key_file", Default: "", Usage: "file with the key of these hashes, created if it is missing (systemd credentials are in /run/credentials/authsvc.service/); empty for a new key at each start"},
	{Key: "guard.look_ups", Default: guard.Defaults().InFlight, Usage: "unknown credentials that the vendor's API is asked about at once; known customers do not count"},
	{Key: "guard.refusals_per_second", Default: guard.Defaults().PerSecond, Usage: "how many look-ups of unknown credentials a second may end in a refusal; further ones get 429"},
	{Key: "guard.failures", Default: guard.Defaults().Address.Ban, Usage: "wrong credentials from one address after which it is banned; delays begin at a third of them"},
	{Key: "guard.ban", Default: guard.Defaults().BanFor.String(), Usage: "how long a ban lasts"},
	{Key: "guard.shared_customers", Default: guard.Defaults().SharedCustomers, Usage: "an address from which so many customers were accepted within a day is never banned as a whole"},
	{Key: "guard.uncounted", Default: "", Usage: "list of networks whose failures never count, such as 192.0.2.0/24"},
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
}
