package auth

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Faults are what an operator must mend at one source, such as a file that cannot be
// read. What was read before stays in force.
type Faults struct {
	source string
	mu     sync.Mutex
	faults map[string]error // nil if it is mended
}

var faultDesc = prometheus.NewDesc("authsvc_source_fault",
	"1 while something at a source must be mended, such as a file that cannot be read; 0 once it is. The log says what is wrong.",
	[]string{"source", "what"}, nil)

// NewFaults returns the Faults of a source, as a metric of r.
func NewFaults(source string, r prometheus.Registerer) *Faults {
	f := &Faults{source: source, faults: map[string]error{}}
	r.MustRegister(f)
	return f
}

// Set notes what is wrong; nil if it is mended.
func (f *Faults) Set(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[what] = err
}

// Trouble says what is wrong; empty if nothing is.
func (f *Faults) Trouble() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var troubles []string
	for _, what := range slices.Sorted(maps.Keys(f.faults)) {
		if err := f.faults[what]; err != nil {
			troubles = append(troubles, f.source+": "+what+": "+err.Error())
		}
	}
	return strings.Join(troubles, "; ")
}

// Describe implements prometheus.Collector: the labels are not known in advance, so
// it describes nothing (an unchecked collector).
func (f *Faults) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f *Faults) Collect(out chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) == 0 { // so that an alert has something to read
		out <- prometheus.MustNewConstMetric(faultDesc, prometheus.GaugeValue, 0, f.source, "")
	}
	for what, err := range f.faults {
		value := 0.0
		if err != nil {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(faultDesc, prometheus.GaugeValue, value, f.source, what)
	}
}
