package stock

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// Metrics are a Stock's.
type Metrics struct {
	files, bytes  *prometheus.GaugeVec
	removed       *prometheus.CounterVec
	undeleted     prometheus.Counter
	scrubbed      prometheus.Gauge
	scrubbedBytes prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		files: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "authsvc_content_stored_files",
			Help: "Files in the store."}, []string{"kind"}),
		bytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "authsvc_content_stored_bytes",
			Help: "Bytes in these files."}, []string{"kind"}),
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "authsvc_content_removed_files_total",
			Help: "Files removed: evicted to make room, wrong (the content is not that of the name; the disk is failing), or dropped by somebody."}, []string{"reason"}),
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
