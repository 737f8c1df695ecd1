package release

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// An outcome is how a search or a question to the registry has ended.
type outcome string

const (
	wasKnown    outcome = "known" // of a search: nobody had to be asked
	wasFound    outcome = "found" // of a search: the registry had to be asked
	wasStale    outcome = "stale" // of a search: the registry failed, and what it said last holds
	wasAnswered outcome = "ok"    // of a question
	wasUnknown  outcome = "unknown"
	hasFailed   outcome = "error"
)

// What an answer is about.
const (
	ofDigest = "digest"
	ofTag    = "tag"
	ofList   = "tags"
)

type metrics struct {
	stale    map[string]prometheus.Counter
	lookUps  *prometheus.HistogramVec
	searches map[outcome]prometheus.Observer
}

func newMetrics(r prometheus.Registerer, store *graph.Store, maxDigests int) *metrics {
	m := &metrics{searches: map[outcome]prometheus.Observer{}, stale: map[string]prometheus.Counter{}}
	m.lookUps = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "authsvc_registry_lookup_duration_seconds",
		Help: "Time of authsvc's own requests to the registry, by kind (tags, resolve, manifest, referrers) and outcome " +
			"(ok; unknown: the registry does not have it; error: it could not be asked).",
		Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"kind", "outcome"})
	for _, kind := range []string{"tags", "resolve", "manifest", "referrers"} {
		for _, o := range []outcome{wasAnswered, wasUnknown, hasFailed} {
			m.lookUps.WithLabelValues(kind, string(o))
		}
	}
	searches := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "authsvc_release_search_duration_seconds",
		Help: "Time to find out which licensed tag leads to a digest, by outcome (known: from memory; " +
			"found: by asking the registry; stale: the registry could not be asked, and what it said last holds; " +
			"unknown: no tag does; error: the registry could not be asked).",
		Buckets: []float64{.00001, .0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"outcome"})
	for _, o := range []outcome{wasKnown, wasFound, wasStale, wasUnknown, hasFailed} {
		m.searches[o] = searches.WithLabelValues(string(o))
	}
	stale := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_release_stale_total",
		Help: "Answers that the registry should have confirmed, and that hold for release.stale because it fails, by kind " +
			"(digest: a tag leads to it; tag: the digest that it has; tags: the list of a repository).",
	}, []string{"kind"})
	for _, kind := range []string{ofDigest, ofTag, ofList} {
		m.stale[kind] = stale.WithLabelValues(kind)
	}
	r.MustRegister(m.lookUps, searches, stale,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsvc_release_digests",
			Help: "Digests that are remembered: manifests, configurations, and layers.",
		}, func() float64 { return float64(store.Size()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsvc_release_max_digests",
			Help: "Bound of authsvc_release_digests (release.max_digests). At the bound, the least recently used are forgotten.",
		}, func() float64 { return float64(maxDigests) }))
	return m
}

func (m *metrics) searched(o outcome, start time.Time) {
	m.searches[o].Observe(time.Since(start).Seconds())
}

// lookedUp counts a question to the Source.
func (m *metrics) lookedUp(kind string, err error, start time.Time) {
	o := wasAnswered
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrTooBig), errors.Is(err, ErrUnsupported):
		o = wasUnknown
	case err != nil:
		o = hasFailed
	}
	m.lookUps.WithLabelValues(kind, string(o)).Observe(time.Since(start).Seconds())
}
