package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

type metrics struct {
	noRoom     prometheus.Counter
	distrusted prometheus.Counter
}

func newMetrics(r prometheus.Registerer, c *Cache) *metrics {
	m := &metrics{
		noRoom: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_cache_full_total",
			Help: "Accepted credentials that were not kept, because customers who pulled within the last hour fill cache.max_entries.",
		}),
		distrusted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_source_refusals_distrusted_total",
			Help: "Refusals of known customers that were treated as an outage, because the source refused more than half of them within a minute.",
		}),
	}
	r.MustRegister(m.noRoom, m.distrusted)
	for of, s := range map[string]*store{"accepted": c.accepted, "refused": c.refused} {
		labels := prometheus.Labels{"kind": of}
		r.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "authsvc_cache_entries", ConstLabels: labels,
				Help: "Credentials in the cache, by kind (accepted, refused)."}, func() float64 { return float64(s.len()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "authsvc_cache_max_entries", ConstLabels: labels,
				Help: "Bound of authsvc_cache_entries (cache.max_entries, cache.max_refusals)."}, func() float64 { return float64(s.max()) }))
	}
	for _, breaker := range c.breakers() {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsvc_source_breaker_open", ConstLabels: prometheus.Labels{"breaker": breaker.Name()},
			Help: "1 while the source is not asked because it failed too often, else 0; by breaker (customers: renewals of known customers, strangers: new credentials; grants: licenses at the source in grants_from).",
		}, func() float64 {
			if breaker.State() == gobreaker.StateOpen {
				return 1
			}
			return 0
		}))
	}
	return m
}

func (c *Cache) breakers() []*gobreaker.CircuitBreaker[Decision] {
	breakers := []*gobreaker.CircuitBreaker[Decision]{c.customers, c.strangers}
	if c.grants != nil {
		breakers = append(breakers, c.grants)
	}
	return breakers
}

// Trouble says that a breaker is open; empty if none is.
func (c *Cache) Trouble() string {
	for _, breaker := range c.breakers() {
		if breaker.State() == gobreaker.StateOpen {
			return "the source fails; known customers are served from the cache"
		}
	}
	return ""
}
