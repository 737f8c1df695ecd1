// Package config reads authsvc's configuration: a YAML file, environment
// variables, and flags. Flags take precedence over the environment, and both over
// the file. keys.go has every key with its default. A Config consists of the other
// packages' own types, which say what each setting does; package
// tokenrefresher/daemon/settings does the reading.
package config

import (
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/guard"
	"github.com/pullgate/pullgate/authsvc/probe"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// A Config is a checked configuration.
type Config struct {
	Listen Listen
	// Private is where health and metrics are served: HOST:PORT or unix:PATH.
	Private string
	// Explain is where explanations are asked for: unix:PATH; empty for nowhere.
	Explain string
	Realm   string
	// Renew is appended to the message that a license expired or was withdrawn.
	Renew string
	// Upstreams are the registries behind nginx.
	Upstreams []Upstream
	Release   release.Options
	// ReleaseFile preserves what is known of releases across restarts; empty
	// for none.
	ReleaseFile string
	// ReadyWithoutToken: what is known is enough to serve, as files of the content store.
	ReadyWithoutToken bool
	// Repositories are what the catalog may list for licenses with a pattern.
	Repositories []string
	// Sources are asked in this order.
	Sources []Source
	Cache   auth.CacheConfig
	// CacheFile preserves accepted credentials across restarts, and
	// CacheKeyFile the key for their hashes; empty for none.
	CacheFile, CacheKeyFile string
	Guard                   guard.Config
	// Probe is the made-up pulls.
	Probe    probe.Config
	LogLevel slog.Level
}

// Listen is where nginx's requests arrive.
type Listen struct {
	// Address is unix:PATH, tcp:HOST:PORT, or systemd:NAME.
	Address string
	// Mode and Group are the unix socket's; an empty group leaves the
	// process's own.
	Mode  os.FileMode
	Group string
	// MaxRequests bounds the concurrent requests from nginx.
	MaxRequests int
}

// read builds the Config from the keys' values. Each line states the bounds.
func read(r *settings.Reader) Config {
	upstreams := readUpstreams(r, r.Get("upstreams"))
	return Config{
		Listen: Listen{
			Address:     r.Address("listen.address", "unix", "tcp", "systemd"),
			Mode:        r.Mode("listen.mode"),
			Group:       r.Text("listen.group", 0, 64),
			MaxRequests: r.Number("listen.max_requests", 16, 100_000),
		},
		Private:   r.Address("private.address", "unix", ""),
		Explain:   r.Optional(explainAddress, func(key string) string { return r.Address(key, "unix") }),
		Realm:     r.Quotable("realm", 1, 128),
		Renew:     r.Text("messages.renew", 0, 512),
		Upstreams: upstreams,
		Release: release.Options{
			TagTTL:      r.Duration("release.tag_ttl", time.Second, time.Hour),
			Previous:    r.Duration("release.previous", 0, 90*24*time.Hour),
			Stale:       r.Duration("release.stale", 0, 30*24*time.Hour),
			Timeout:     r.Duration("release.timeout", 100*time.Millisecond, time.Minute),
			MaxDigests:  r.Number("release.max_digests", 1_000, 100_000_000),
			Parallel:    parallel(upstreams),
			NoReferrers: !r.Boolean("release.referrers"),
		},
		ReleaseFile: r.Optional("release.file", r.Path),

		ReadyWithoutToken: r.Boolean("release.ready_without_token"),

		Repositories: r.List("catalog.repositories", 100_000, registry.ValidName, "names of repositories"),
		Sources:      readSources(r, r.Get("sources")),
		Cache: auth.CacheConfig{
			TTL:         r.Duration("cache.ttl", time.Second, time.Hour),
			RefusalTTL:  r.Duration("cache.refusal_ttl", time.Second, time.Hour),
			StaleTTL:    r.Duration("cache.stale_ttl", 0, 24*time.Hour),
			MaxEntries:  r.Number("cache.max_entries", 1, 10_000_000),
			MaxRefusals: r.Number("cache.max_refusals", 1, 10_000_000),
			// The other half is reserved for known customers.
			MaxStrangers: r.Number("listen.max_requests", 16, 100_000) / 2,
		},
		CacheFile:    r.Optional("cache.file", r.Path),
		CacheKeyFile: r.Optional("cache.key_file", r.Path),
		Guard:        readGuard(r),
		Probe:        readProbe(r),
		LogLevel:     r.Level("log.level"),
	}
}

// parallel is how many questions about one repository are asked at once.
func parallel(upstreams []Upstream) (most int) {
	for _, u := range upstreams {
		most = max(most, u.Remote.Requests)
	}
	return most
}

func readGuard(r *settings.Reader) guard.Config {
	c := guard.Defaults()
	c.InFlight = r.Number("guard.look_ups", 4, 10_000)
	c.PerSecond = r.Number("guard.refusals_per_second", 1, 10_000)
	c.Burst = max(c.Burst, 2*c.PerSecond)
	c.Address.Ban = r.Number("guard.failures", 3, 1_000_000)
	c.Address.Free = c.Address.Ban / 3
	c.BanFor = r.Duration("guard.ban", time.Second, 24*time.Hour)
	c.SharedCustomers = r.Number("guard.shared_customers", 1, 1_000_000)
	for _, text := range r.List("guard.uncounted", 1000, isNetwork, "networks such as 192.0.2.0/24") {
		c.Uncounted = append(c.Uncounted, netip.MustParsePrefix(text))
	}
	return c
}

func isNetwork(text string) bool {
	p, err := netip.ParsePrefix(text)
	return err == nil && !p.Addr().Is4In6()
}
