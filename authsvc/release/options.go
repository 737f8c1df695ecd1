package release

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure Releases. Only Source is required.
type Options struct {
	Source Source
	// TagTTL is how long the digest of a tag, and the tags of a repository,
	// are cached; 30 s if zero.
	TagTTL time.Duration
	// Previous is how long a tag still leads to a digest after it was last
	// seen to have it; TagTTL if that is longer.
	Previous time.Duration
	// Stale is how long after a registry was last heard what it said holds while it fails;
	// not at all if zero.
	Stale time.Duration
	// Timeout is how long Find and Tags wait for the registry; 5 s if zero. The
	// requests themselves go on.
	Timeout time.Duration
	// MaxDigests bounds what is remembered; 1,000,000 if zero.
	MaxDigests int
	// Parallel is how many questions one look asks the Source at a time; 16 if
	// zero.
	Parallel int
	// NoReferrers disables the referrers API, for a registry without it. Tags of
	// the referrers tag schema and of cosign still count.
	NoReferrers bool
	// Logger gets what went wrong; nil for none.
	Logger *slog.Logger
	// Metrics gets the numbers; nil for none.
	Metrics prometheus.Registerer
	// Now is the clock; nil for the real one.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	setDefault(&o.TagTTL, 30*time.Second)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.MaxDigests, 1_000_000)
	setDefault(&o.Parallel, 16)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	o.Previous = max(o.Previous, o.TagTTL)
	if o.Now == nil {
		// Monotonic: a clock that is put back must not make what was learned an
		// hour ago look new for an hour.
		start := time.Now()
		o.Now = func() time.Time { return start.Add(time.Since(start)) }
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}
