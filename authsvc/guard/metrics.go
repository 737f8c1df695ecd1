package guard

import "github.com/prometheus/client_golang/prometheus"

// metrics are the guard's numbers. Those of what is there now are asked for
// when the metrics are read.
type metrics struct {
	limits, lookUps, bans *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, g *Guard) *metrics {
	m := &metrics{
		limits: counter("limits_total", "Callers who were told to wait (429), by reason: delay and ban after wrong credentials; busy: no room for another look-up.", "reason",
			string(Delay), string(Ban), string(Busy)),
		lookUps: counter("lookups_total", "Look-ups of unknown credentials, by outcome: accepted, refused, no_answer, elsewhere (another source may know the user). Callers who share one count each.", "outcome",
			"accepted", "refused", "no_answer", "elsewhere"),
		bans: counter("bans_total", "Bans by scope: address, pair (a user at an address); spared: an address with many customers, which is not banned as a whole.", "scope",
			string(byAddress), string(byPair), string(spared)),
	}
	r.MustRegister(m.limits, m.lookUps, m.bans, &state{g})
	return m
}

func counter(name, help, label string, values ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "authsvc_guard_" + name, Help: help}, []string{label})
	for _, value := range values {
		c.WithLabelValues(value)
	}
	return c
}

// The gauges.
var (
	descInFlight    = describe("lookups_in_flight", "Look-ups of unknown credentials under way.")
	descMaxInFlight = describe("max_lookups_in_flight", "Bound of authsvc_guard_lookups_in_flight (guard.look_ups). Addresses that have guessed can use half of it.")
	descWaiting     = describe("waiting", "Callers who wait for room for a look-up.")
	descMaxWaiting  = describe("max_waiting", "Bound of authsvc_guard_waiting.")
	descBans        = describe("active_bans", "Bans in force, by scope as in authsvc_guard_bans_total.", "scope")
	descRecords     = describe("records", "What the guard remembers, by kind: addresses as visitor (no answer so far), offender (has failed), "+
		"host (of customers); pair (a user at an address).", "kind")
	descMaxRecords = describe("max_records", "Bound of authsvc_guard_records, for each kind.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("authsvc_guard_"+name, help, labels, nil)
}

// state collects the gauges.
type state struct{ guard *Guard }

// Describe implements prometheus.Collector.
func (s *state) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, out) }

// Collect implements prometheus.Collector.
func (s *state) Collect(out chan<- prometheus.Metric) {
	g := s.guard
	g.mu.Lock()
	inFlight, waiting, bans, records := g.inFlight, len(g.waiting), g.active(g.now()), g.records()
	g.mu.Unlock()
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	gauge(descInFlight, inFlight)
	gauge(descMaxInFlight, g.config().InFlight)
	gauge(descWaiting, waiting)
	gauge(descMaxWaiting, g.config().MaxWaiting)
	for _, s := range []scope{byAddress, byPair, spared} {
		gauge(descBans, bans[s], string(s))
	}
	for kind, n := range records {
		gauge(descRecords, n, kind)
	}
	gauge(descMaxRecords, g.config().MaxRecords)
}
