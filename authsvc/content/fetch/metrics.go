package fetch

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// An outcome is how a fetch ended.
type outcome string

const (
	stored     outcome = "stored"
	wrong      outcome = "wrong"       // not the digest's content, or an ambiguous manifest
	diskFailed outcome = "disk_failed" // no room, or no writing
	tooLarge   outcome = "too_large"
	refused    outcome = "refused"   // by the registry
	abandoned  outcome = "abandoned" // by everybody who wanted it
	failed     outcome = "failed"    // registry or storage cannot be reached, or do not answer as they should
)

var outcomes = []outcome{stored, wrong, diskFailed, tooLarge, refused, abandoned, failed}

func outcomeOf(err error) outcome {
	_, answered := errors.AsType[*origin.StatusError](err)
	switch {
	case err == nil:
		return stored
	case errors.Is(err, errAlone):
		return abandoned
	case errors.Is(err, errWrong):
		return wrong
	case errors.Is(err, errDisk):
		return diskFailed
	case errors.Is(err, errTooLarge):
		return tooLarge
	case answered:
		return refused
	}
	return failed
}

// Metrics are a Fetcher's.
type Metrics struct {
	fetches *prometheus.CounterVec
	// readers of flights
	flights, readers prometheus.Gauge
	bytes, resumed   prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "authsvc_content_fetches_total",
			Help: "Fetches that ended, by how: stored; wrong (not the digest's content, nothing is kept); disk_failed; too_large; refused (by the registry); abandoned (by everybody who wanted it); failed."}, []string{"outcome"}),
		flights: prometheus.NewGauge(prometheus.GaugeOpts{Name: "authsvc_content_fetches_in_progress",
			Help: "Fetches in progress."}),
		readers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "authsvc_content_readers",
			Help: "Requests that fetches in progress serve."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "authsvc_content_fetched_bytes_total",
			Help: "Bytes fetched and written."}),
		resumed: prometheus.NewCounter(prometheus.CounterOpts{Name: "authsvc_content_resumed_total",
			Help: "Times that a fetch broke off and was resumed."}),
	}
	r.MustRegister(m.fetches, m.flights, m.readers, m.bytes, m.resumed)
	for _, how := range outcomes {
		m.fetches.WithLabelValues(string(how))
	}
	return m
}
