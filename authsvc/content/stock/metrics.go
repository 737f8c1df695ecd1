package stock

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// Metrics are a Stock's.
type Metrics struct {
	registerer prometheus.Registerer

	files, bytes  *prometheus.GaugeVec
	removed       *prometheus.CounterVec
	undeleted     prometheus.Counter
	scrubbed      prometheus.Gauge
	scrubbedBytes prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: r,
		files: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "authsvc_content_stored_files",
			Help: "Files in the store."}, []string{"kind"}),
		bytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "authsvc_content_stored_bytes",
			Help: "Bytes in these files."}, []string{"kind"}),
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "authsvc_content_removed_files_total",
			Help: "Files removed: evicted to make room, wrong (the content is not that of the name; the disk is failing), dropped by somebody, or unsynced (the disk could not write the name)."}, []string{"reason"}),
		undeleted: prometheus.NewCounter(prometheus.CounterOpts{Name: "authsvc_content_delete_failures_total",
			Help: "Failed attempts to remove a file. They are repeated every second."}),
		scrubbed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "authsvc_content_scrubbed_timestamp_seconds",
			Help: "When all files were last read again to the end; 0 if not since the start."}),
		scrubbedBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "authsvc_content_scrubbed_bytes_total",
			Help: "Bytes read again to find files that are wrong."}),
	}
	r.MustRegister(m.files, m.bytes, m.removed, m.undeleted, m.scrubbed, m.scrubbedBytes)
	for _, kind := range []object.Kind{object.Blob, object.Manifest} {
		m.changed(kind, 0, 0)
	}
	for _, why := range Reasons() {
		m.removed.WithLabelValues(string(why))
	}
	return m
}

func (m *Metrics) changed(kind object.Kind, files int, bytes int64) {
	m.files.WithLabelValues(string(kind)).Add(float64(files))
	m.bytes.WithLabelValues(string(kind)).Add(float64(bytes))
}

// watch adds what is computed when it is read.
func (m *Metrics) watch(s *Stock) {
	for name, gauge := range map[string]struct {
		help  string
		value func(Summary) int64
	}{
		"authsvc_content_max_bytes":      {"Maximum of the bytes in files.", func(s Summary) int64 { return s.MaxBytes }},
		"authsvc_content_reserved_bytes": {"Bytes reserved for fetches in progress.", func(s Summary) int64 { return s.Reserved }},
		"authsvc_content_free_bytes":     {"Bytes that are free on the file system; 0 if that cannot be found out.", func(s Summary) int64 { return s.Free }},
	} {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: gauge.help}, func() float64 {
			summary, _ := s.Summary() // the error leaves Free at 0
			return float64(gauge.value(summary))
		}))
	}
}
