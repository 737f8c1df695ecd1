package program

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewMetrics returns a registry with the metrics that each program has: Go's,
// the process's, and the gauge name, which is always 1 and whose labels are
// the version and those given.
func NewMetrics(name, help string, labels prometheus.Labels) *prometheus.Registry {
	labels = maps.Clone(labels)
	labels["version"] = version
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	info.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
