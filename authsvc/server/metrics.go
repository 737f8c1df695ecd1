package server

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
)

// Metrics are the numbers of the decisions and of the vendor's API.
type Metrics struct {
	decisions             *prometheus.CounterVec
	duration              prometheus.Histogram
	vendor                *prometheus.HistogramVec
	panics                prometheus.Counter
	inFlight, maxInFlight prometheus.Gauge
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_decisions_total",
			Help: "Decisions by outcome (allow, canceled, or the error's code in lower case) and by what the cache knew of the credential (hit, miss, stale; none if it was not looked up).",
		}, []string{"outcome", "cache"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "authsvc_decision_duration_seconds",
			Help:    "Time to answer a request from nginx.",
			Buckets: []float64{.00001, .0001, .001, .01, .1, .5, 1, 2.5, 5, 10},
		}),
		vendor: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsvc_vendor_request_duration_seconds",
			Help:    "Time of one request to a source of customers, by source and outcome: ok, refused, timeout, canceled, error, or another HTTP status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"source", "outcome"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_panics_total",
			Help: "Requests that ended in a panic. The customer got 503; the log has the stack.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authsvc_requests_in_flight",
			Help: "Requests being answered.",
		}),
		maxInFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authsvc_max_requests_in_flight",
			Help: "Bound of authsvc_requests_in_flight (listen.max_requests). Any more get 503.",
		}),
	}
	// Start at 0, so that the first event of a kind is an increase.
	for _, word := range decision.Words() {
		for _, state := range []string{"none", "hit", "miss", "stale"} {
			m.decisions.WithLabelValues(word, state)
		}
	}
	r.MustRegister(m.decisions, m.duration, m.vendor, m.panics, m.inFlight, m.maxInFlight)
	return m
}

func (m *Metrics) observe(o decision.Outcome) {
	cache := string(o.Cache)
	if cache == "" {
		cache = "none"
	}
	m.decisions.WithLabelValues(o.Word(), cache).Inc()
	m.duration.Observe(o.Duration.Seconds())
	switch {
	case o.Upstream == nil:
	case errors.Is(o.Err, decision.ErrNotShown):
		o.Upstream.NoteNotShown()
	case o.Allowed():
		o.Upstream.NoteForwarded(o.Standby)
	}
}

// Source returns the function that records one request to a source, unless it only
// peeks.
func (m *Metrics) Source(name string) func(ctx context.Context, outcome string, d time.Duration) {
	for _, outcome := range []string{"ok", "refused", "timeout", "canceled", "error"} {
		m.vendor.WithLabelValues(name, outcome)
	}
	return func(ctx context.Context, outcome string, d time.Duration) {
		if !auth.Peeking(ctx) {
			m.vendor.WithLabelValues(name, outcome).Observe(d.Seconds())
		}
	}
}
