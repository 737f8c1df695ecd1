// Package config reads authsvc's configuration: a YAML file, environment
// variables and flags, of which the later win.
package config

import (
	"log/slog"
	"os"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
)

// A Config is a checked configuration.
type Config struct {
	Listen    Listen
	Private   Private
	Realm     string
	Messages  Messages
	Upstream  Upstream
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
	// Renew follows the day on which a license expired.
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

// Account is how to check that the e-mail is the account's.
type Account struct {
	VerifyEmail bool
	Path        string
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

// settings lists every key with its default and what it is: the one place for
// defaults, and the flags' help.
var settings = []setting{
	{"listen.address", "unix:/run/authsvc/authsvc.sock", "where nginx asks: unix:PATH, tcp:HOST:PORT, or systemd:NAME for a socket that systemd passes"},
	{"listen.mode", "0660", "mode of the unix socket, octal, in quotes"},
	{"listen.group", "", "group of the unix socket: the one that nginx's workers are in"},
	{"private.address", "127.0.0.1:9101", "where /healthz, /readyz and /metrics are served: HOST:PORT or unix:PATH"},
	{"realm", "registry", "name of the registry in the question for a password"},
	{"messages.renew", "", "sentence after the day on which a license expired, such as: renew at https://vendor.com/licenses"},
	{"upstream.token_file", "/run/tokenrefresher/main.json", "the file that tokenrefresher writes"},
	{"upstream.refresh_socket", "unix:/run/tokenrefresher/control.sock", "where tokenrefresher is asked for a new token when the registry rejects one; empty to never ask"},
	{"upstream.refresh_name", "main", "the registry's name in tokenrefresher's configuration"},
	{"upstream.refresh_timeout", "5s", "how long a customer's request waits for a new token"},
	{"kloudless.url", "https://api.kloudless.com/v1/", "base of the Meta API"},
	{"kloudless.licenses_path", kloudless.DefaultLicensesPath, "path of the list of licenses, below the base (assumed: Kloudless does not document it)"},
	{"kloudless.page_size", 100, "licenses asked for at once"},
	{"kloudless.max_pages", 20, "pages at most for one customer"},
	{"kloudless.timeout", "5s", "time for one customer's look-up, all pages"},
	{"kloudless.ca_file", "", "PEM file of the authorities that sign the API's certificate; empty for the system's"},
	{"kloudless.grants", kloudless.DefaultGrants, "jq expression: a license object to grants {repository, tags, expires, license}"},
	{"kloudless.account.verify_email", false, "refuse a token whose account has another e-mail than the customer gave"},
	{"kloudless.account.path", kloudless.DefaultAccountPath, "path of the account's object, below the base (assumed)"},
	{"kloudless.account.email", kloudless.DefaultEmail, "jq expression: the account's object to its e-mail"},
	{"cache.ttl", "60s", "how long an accepted credential is not asked about again: the upper bound from a license's withdrawal to the refusal"},
	{"cache.refusal_ttl", "10s", "the same for a refused one"},
	{"cache.stale_ttl", "15m", "how long after its ttl an accepted credential still serves while the API is down; 0s for not at all"},
	{"cache.max_entries", 10_000, "accepted credentials kept at most"},
	{"cache.max_refusals", 1_000, "refused credentials kept at most"},
	{"log.level", "info", "debug, info, warn or error"},
}

// read makes the Config out of the keys' values. Each line states the bounds.
func (r *reader) read() Config {
	return Config{
		Listen: Listen{
			Address: r.address("listen.address", "unix", "tcp", "systemd"),
			Mode:    r.mode("listen.mode"),
			Group:   r.text("listen.group", 0, 64),
		},
		Private:  Private{Address: r.address("private.address", "unix", "")},
		Realm:    r.quotable("realm", 1, 128),
		Messages: Messages{Renew: r.text("messages.renew", 0, 512)},
		Upstream: Upstream{
			TokenFile:      r.path("upstream.token_file"),
			RefreshSocket:  r.optionalAddress("upstream.refresh_socket", "unix"),
			RefreshName:    r.text("upstream.refresh_name", 1, 64),
			RefreshTimeout: r.duration("upstream.refresh_timeout", 100*time.Millisecond, time.Minute),
		},
		Kloudless: Kloudless{
			URL:          r.text("kloudless.url", 1, 1024),
			LicensesPath: r.text("kloudless.licenses_path", 1, 256),
			PageSize:     r.number("kloudless.page_size", 1, 1000),
			MaxPages:     r.number("kloudless.max_pages", 1, 1000),
			Timeout:      r.duration("kloudless.timeout", 100*time.Millisecond, time.Minute),
			CAFile:       r.optionalPath("kloudless.ca_file"),
			Grants:       r.text("kloudless.grants", 1, 8192),
			Account: Account{
				VerifyEmail: r.boolean("kloudless.account.verify_email"),
				Path:        r.text("kloudless.account.path", 1, 256),
				Email:       r.text("kloudless.account.email", 1, 8192),
			},
		},
		Cache: Cache{
			TTL:         r.duration("cache.ttl", time.Second, time.Hour),
			RefusalTTL:  r.duration("cache.refusal_ttl", time.Second, time.Hour),
			StaleTTL:    r.duration("cache.stale_ttl", 0, 24*time.Hour),
			MaxEntries:  r.number("cache.max_entries", 1, 10_000_000),
			MaxRefusals: r.number("cache.max_refusals", 1, 10_000_000),
		},
		Log: Log{Level: r.level("log.level")},
	}
}
