package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/decision"
)

// Metrics are the numbers of the decisions and of the vendor's API.
type Metrics struct {
	decisions *prometheus.CounterVec
	duration  prometheus.Histogram
	vendor    *prometheus.HistogramVec
	release   *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

// NewMetrics registers the metrics with r. The time until the upstream's
// token expires is asked for when the metrics are read.
func NewMetrics(r prometheus.Registerer, upstream decision.Upstream) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_decisions_total",
			Help: "Decisions by outcome (allow, or the error's code) and by state of the cache (miss, hit, stale; none if the credential was not looked at).",
		}, []string{"outcome", "cache"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "authsvc_decision_duration_seconds",
			Help:    "Time from the question to the answer.",
			Buckets: []float64{.00001, .0001, .001, .01, .1, .5, 1, 2.5, 5, 10},
		}),
		vendor: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsvc_vendor_request_duration_seconds",
			Help:    "Time of a request to the vendor's API, by outcome.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"outcome"}),
		release: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authsvc_release_duration_seconds",
			Help: "Time of a question to the registry (kind tags, resolve, manifest, referrers; outcome ok, unknown, error), " +
				"and of a search for what reaches a digest (kind search; outcome known, found, unknown, error).",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"kind", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_nginx_registry_failures_total",
			Help: "Allowed requests that nginx could not forward to the registry, by status: 502 (no connection, no address, " +
				"a certificate that is not trusted), 504 (no answer in time), other (the registry answered with a server error).",
		}, []string{"status"}),
	}
	for _, status := range []string{"502", "504", otherStatus} {
		m.failures.WithLabelValues(status)
	}
	r.MustRegister(m.decisions, m.duration, m.vendor, m.release, m.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsvc_upstream_token_expires_seconds",
			Help: "Seconds until the registry's token expires; 0 if there is none that can be used, +Inf if it never expires.",
		}, func() float64 { return tokenSeconds(upstream) }))
	return m
}

func (m *Metrics) observe(o decision.Outcome) {
	cache := string(o.Cache)
	if cache == "" {
		cache = "none"
	}
	m.decisions.WithLabelValues(o.Word(), cache).Inc()
	m.duration.Observe(o.Duration.Seconds())
}

// ObserveVendor records one request to the vendor's API.
func (m *Metrics) ObserveVendor(outcome string, d time.Duration) {
	m.vendor.WithLabelValues(outcome).Observe(d.Seconds())
}

// ObserveRelease records one question about releases. It is release.Options'
// Observe.
func (m *Metrics) ObserveRelease(kind, outcome string, d time.Duration) {
	m.release.WithLabelValues(kind, outcome).Observe(d.Seconds())
}
