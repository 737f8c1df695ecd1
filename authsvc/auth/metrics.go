package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

type metrics struct {
	noRoom     prometheus.Counter
	distrusted prometheus.Counter
	open       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, c *Cache) *metrics {
	m := &metrics{
		noRoom: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_cache_full_total",
			Help: "Accepted credentials that were not kept, because customers who pulled within the hour fill cache.max_entries.",
		}),
		distrusted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_source_refusals_distrusted_total",
			Help: "Refusals of known customers that were taken for an outage, because the source refused more than half of them.",
		}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "authsvc_source_breaker_open",
			Help: "1 while the source is not asked because it failed too often (breaker customers for renewals, strangers for new credentials).",
		}, []string{"breaker"}),
	}
	r.MustRegister(m.noRoom, m.distrusted, m.open)
	for of, s := range map[string]*store{"accepted": c.accepted, "refused": c.refused} {
		labels := prometheus.Labels{"kind": of}
		r.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "authsvc_cache_entries", ConstLabels: labels,
				Help: "Credentials that are remembered, by kind (accepted, refused)."}, func() float64 { return float64(s.len()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "authsvc_cache_max_entries", ConstLabels: labels,
				Help: "The bound of authsvc_cache_entries (cache.max_entries, cache.max_refusals)."}, func() float64 { return float64(s.size) }))
	}
	return m
}

// breaker shows the state of a breaker.
func (m *metrics) breaker(name string, state gobreaker.State) {
	open := 0.0
	if state == gobreaker.StateOpen {
		open = 1
	}
	m.open.WithLabelValues(name).Set(open)
}
