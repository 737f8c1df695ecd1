package content

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// read builds the Config from the keys' values. Each line states the bounds.
func read(r *settings.Reader) Config {
	c := Config{
		Listen: Listen{
			Address: r.Address("listen.address", "unix"),
			Mode:    r.Mode("listen.mode"),
			Group:   r.Text("listen.group", 0, 64),

			MaxRequests: r.Number("listen.max_requests", 16, 100_000),
		},
		Served:  unixPath(r, "served.address"),
		Control: unixPath(r, "control.address"),
		Private: r.Address("private.address", "unix", ""),
		Folder:  r.Path("folder"),
		Limits: stock.Limits{
			MaxBytes: r.Size("max_size", 1<<20, math.MaxInt64/4),
			MinFree:  r.Size("min_free", 0, math.MaxInt64/4),
		},
		Origin: origin.Options{
			CAFile:  r.Optional("ca_file", r.Path),
			Connect: r.Duration("timeouts.connect", 100*time.Millisecond, time.Minute),
			Header:  r.Duration("timeouts.header", 100*time.Millisecond, 5*time.Minute),
			Stall:   r.Duration("timeouts.stall", 100*time.Millisecond, 5*time.Minute),
		},
		Fetch: fetch.Limits{
			Total:       r.Number("fetch.total", 1, 10_000),
			PerCustomer: r.Number("fetch.per_customer", 1, 10_000),
			MaxBlob:     r.Size("fetch.max_blob", 1, 1<<40),
			MaxManifest: r.Size("fetch.max_manifest", 1, 64<<20),
			Linger:      r.Duration("fetch.linger", 0, 24*time.Hour),
			MaxTime:     r.Duration("fetch.max_time", time.Second, 48*time.Hour),
			Backoff:     100 * time.Millisecond,
		},
		FirstByte: r.Duration("timeouts.first_byte", 10*time.Millisecond, time.Minute),
		RangeWait: r.Duration("timeouts.range", 10*time.Millisecond, time.Minute),
		Scrub: Scrub{
			Rate:  r.Size("scrub.rate", 1000, 1<<40),
			Pause: r.Duration("scrub.pause", time.Second, 90*24*time.Hour),
		},
		LogLevel: r.Level("log.level"),
	}
	for _, region := range r.List("redirects.regions", 100, origin.ValidRegion, "regions such as eu-west-1") {
		c.Origin.Redirects = append(c.Origin.Redirects, origin.S3Hosts(region)...)
	}
	c.Origin.Redirects = append(c.Origin.Redirects, r.List("redirects.hosts", 100, origin.ValidHost, "hosts in lower case, such as storage.example.com")...)
	return c
}

func unixPath(r *settings.Reader, key string) string {
	return strings.TrimPrefix(r.Address(key, "unix"), "unix:")
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// readUpstreams reads the list upstreams. Each problem names the entry and the key,
// as in upstreams[1].host.
func readUpstreams(r *settings.Reader) (upstreams []origin.Upstream) {
	if list, ok := r.Get(upstreamsKey).([]any); !ok || len(list) == 0 {
		r.Wrong(upstreamsKey, "a list of at least one registry")
	}
	r.Sections(upstreamsKey, "a registry", func(prefix string, keys map[string]any) []error {
		r := upstreamTable.Section(prefix, keys)
		u := origin.Upstream{
			Name:    r.Match("name", namePattern, "1 to 64 of a-z, 0-9, _, . and -, with a letter or digit first"),
			Host:    r.Text("host", 1, 255),
			Address: r.Optional("address", func(key string) string { return r.Address(key, "") }),
		}
		if !origin.ValidHost(u.Host) {
			r.Wrong("host", "a host name in lower case, with a port only if that is not 443")
		}
		for j, other := range upstreams {
			if u.Name == other.Name {
				r.Wrong("name", fmt.Sprintf("a name other than that of upstreams[%d]", j))
			}
		}
		upstreams = append(upstreams, u)
		return r.Problems()
	})
	return upstreams
}
