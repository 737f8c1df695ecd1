package refresh

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the numbers of all registries.
type Metrics struct {
	registerer    prometheus.Registerer
	refreshes     *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	limitedForced *prometheus.CounterVec
	storeFailures *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: r,
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenrefresher_refreshes_total",
			Help: "Attempts to refresh the token, by outcome: refreshed; untried (stored without a test, because the registry could not be asked); fetch_failed; rejected (by the registry); probe_failed (the registry could not be asked; the old token is kept); store_failed.",
		}, []string{"registry", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tokenrefresher_refresh_duration_seconds",
			Help:    "Time of one attempt: fetch the token, test it at the registry, and write the file.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"registry"}),
		limitedForced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenrefresher_limited_requests_total",
			Help: "Refreshes requested on the control socket and refused by the rate limit.",
		}, []string{"registry"}),
		storeFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenrefresher_store_failures_total",
			Help: "Failed writes of the token file: of a new token, or of the current one when it was missing from the file.",
		}, []string{"registry"}),
	}
	r.MustRegister(m.refreshes, m.duration, m.limitedForced, m.storeFailures)
	return m
}

// watch starts a registry's counters at 0, so that the first failure is an
// increase. The token's gauges are computed when they are read.
func (m *Metrics) watch(r *Registry) {
	for _, how := range outcomes {
		m.refreshes.WithLabelValues(r.o.Name, string(how))
	}
	m.duration.WithLabelValues(r.o.Name)
	m.limitedForced.WithLabelValues(r.o.Name)
	m.storeFailures.WithLabelValues(r.o.Name)
	gauge := func(name, help string, value func() float64) {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{"registry": r.o.Name},
		}, value))
	}
	gauge("tokenrefresher_token_expiry_timestamp_seconds", "When the token in the file expires; +Inf for never, 0 if there is none.", func() float64 {
		t := r.Status().Token
		if !t.FetchedAt.IsZero() && t.ExpiresAt.IsZero() {
			return math.Inf(1)
		}
		return seconds(t.ExpiresAt)
	})
	gauge("tokenrefresher_token_fetched_timestamp_seconds", "When the token in the file was fetched; 0 if there is none.", func() float64 {
		return seconds(r.Status().Token.FetchedAt)
	})
	gauge("tokenrefresher_token_usable", "1 if customers can be served with the token, else 0.", func() float64 {
		if r.Status().Unusable != nil {
			return 0
		}
		return 1
	})
}

// seconds is a time in Unix seconds; 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (m *Metrics) observe(registry string, how outcome, took time.Duration) {
	m.refreshes.WithLabelValues(registry, string(how)).Inc()
	m.duration.WithLabelValues(registry).Observe(took.Seconds())
}

func (m *Metrics) limited(registry string) { m.limitedForced.WithLabelValues(registry).Inc() }

func (m *Metrics) storeFailed(registry string) { m.storeFailures.WithLabelValues(registry).Inc() }
