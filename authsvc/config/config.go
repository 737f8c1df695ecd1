// Package config reads authsvc's configuration: a YAML file, environment
// variables and flags, of which the later win.
package config

import (
	"log/slog"
	"os"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/tokenrefresher/settings"
)

// A Config is a checked configuration.
type Config struct {
	Listen    Listen
	Private   Private
	Realm     string
	Messages  Messages
	Upstream  Upstream
	Release   Release
	Catalog   Catalog
	Kloudless Kloudless
	Cache     Cache
	Log       Log
}

// Listen is where nginx asks.
type Listen struct {
	// Address is unix:PATH, tcp:HOST:PORT, or systemd:NAME.
	Address string
	// Mode and Group are the unix socket's; an empty group leaves the
	// process's own.
	Mode  os.FileMode
	Group string
}

// Private is where health and metrics are served.
type Private struct {
	// Address is HOST:PORT or unix:PATH.
	Address string
}

// Messages are sentences for the customer.
type Messages struct {
	// Renew follows the words that a license expired or was withdrawn.
	Renew string
}

// Upstream is the registry in which the images lie.
type Upstream struct {
	// TokenFile is what tokenrefresher writes.
	TokenFile string
	// RefreshSocket is tokenrefresher's control socket, unix:PATH; empty to
	// never ask.
	RefreshSocket string
	// RefreshName is the registry's name in tokenrefresher's configuration.
	RefreshName string
	// RefreshTimeout bounds the wait for a refresh that was asked for.
	RefreshTimeout time.Duration
	// Address is where authsvc itself reaches the registry, HOST:PORT; empty
	// for its own name.
	Address string
	// CAFile has the authorities that sign the registry's certificate; empty
	// for the system's.
	CAFile string
	// Requests is how many authsvc sends to the registry at once, Timeout the
	// time for one of them.
	Requests int
	Timeout  time.Duration
}

// Release is what is remembered of the releases, and how long.
type Release struct {
	TagTTL     time.Duration
	Previous   time.Duration
	Timeout    time.Duration
	MaxDigests int
	Referrers  bool
	// File keeps what is remembered over a restart; empty for none.
	File string
}

// Catalog is what the list of repositories is made of, beside the licenses.
type Catalog struct {
	Repositories []string
}

// Kloudless is the vendor's API.
type Kloudless struct {
	URL          string
	LicensesPath string
	PageSize     int
	MaxPages     int
	Timeout      time.Duration
	CAFile       string
	Grants       string
	Account      Account
}

// Account is whose account a token belongs to.
type Account struct {
	Path        string
	ID          string
	VerifyEmail bool
	Email       string
}

// Cache is how long decisions are kept, and how many.
type Cache struct {
	TTL         time.Duration
	RefusalTTL  time.Duration
	StaleTTL    time.Duration
	MaxEntries  int
	MaxRefusals int
}

// Log is what is logged.
type Log struct {
	Level slog.Level
}

// table lists every key with its default and what it is: the one place for
// defaults, and the flags' help.
var table = settings.Table{
	{Key: "listen.address", Default: "unix:/run/authsvc/authsvc.sock", Usage: "where nginx asks: unix:PATH, tcp:HOST:PORT, or systemd:NAME for a socket that systemd passes"},
	{Key: "listen.mode", Default: "0660", Usage: "mode of the unix socket, octal, in quotes"},
	{Key: "listen.group", Default: "", Usage: "group of the unix socket: the one that nginx's workers are in"},
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
	{Key: "release.max_digests", Default: 1_000_000, Usage: "digests remembered at most: manifests, configurations and layers; a million take about 100 MB"},
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
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
}

// read makes the Config out of the keys' values. Each line states the bounds.
func read(r *settings.Reader) Config {
	return Config{
		Listen: Listen{
			Address: r.Address("listen.address", "unix", "tcp", "systemd"),
			Mode:    r.Mode("listen.mode"),
			Group:   r.Text("listen.group", 0, 64),
		},
		Private:  Private{Address: r.Address("private.address", "unix", "")},
		Realm:    r.Quotable("realm", 1, 128),
		Messages: Messages{Renew: r.Text("messages.renew", 0, 512)},
		Upstream: Upstream{
			TokenFile:      r.Path("upstream.token_file"),
			RefreshSocket:  r.Optional("upstream.refresh_socket", func(key string) string { return r.Address(key, "unix") }),
			RefreshName:    r.Text("upstream.refresh_name", 1, 64),
			RefreshTimeout: r.Duration("upstream.refresh_timeout", 100*time.Millisecond, time.Minute),
			Address:        r.Optional("upstream.address", func(key string) string { return r.Address(key, "") }),
			CAFile:         r.Optional("upstream.ca_file", r.Path),
			Requests:       r.Number("upstream.requests", 1, 1000),
			Timeout:        r.Duration("upstream.timeout", 100*time.Millisecond, time.Minute),
		},
		Release: Release{
			TagTTL:     r.Duration("release.tag_ttl", time.Second, time.Hour),
			Previous:   r.Duration("release.previous", 0, 90*24*time.Hour),
			Timeout:    r.Duration("release.timeout", 100*time.Millisecond, time.Minute),
			MaxDigests: r.Number("release.max_digests", 1_000, 100_000_000),
			Referrers:  r.Boolean("release.referrers"),
			File:       r.Optional("release.file", r.Path),
		},
		Catalog: Catalog{Repositories: r.List("catalog.repositories", 100_000, registry.ValidName, "names of repositories")},
		Kloudless: Kloudless{
			URL:          r.Text("kloudless.url", 0, 1024),
			LicensesPath: r.Text("kloudless.licenses_path", 1, 256),
			PageSize:     r.Number("kloudless.page_size", 1, 1000),
			MaxPages:     r.Number("kloudless.max_pages", 1, 1000),
			Timeout:      r.Duration("kloudless.timeout", 100*time.Millisecond, time.Minute),
			CAFile:       r.Optional("kloudless.ca_file", r.Path),
			Grants:       r.Text("kloudless.grants", 1, 8192),
			Account: Account{
				ID:          r.Text("kloudless.account.id", 0, 8192),
				VerifyEmail: r.Boolean("kloudless.account.verify_email"),
				Path:        r.Text("kloudless.account.path", 1, 256),
				Email:       r.Text("kloudless.account.email", 1, 8192),
			},
		},
		Cache: Cache{
			TTL:         r.Duration("cache.ttl", time.Second, time.Hour),
			RefusalTTL:  r.Duration("cache.refusal_ttl", time.Second, time.Hour),
			StaleTTL:    r.Duration("cache.stale_ttl", 0, 24*time.Hour),
			MaxEntries:  r.Number("cache.max_entries", 1, 10_000_000),
			MaxRefusals: r.Number("cache.max_refusals", 1, 10_000_000),
		},
		Log: Log{Level: r.Level("log.level")},
	}
}
