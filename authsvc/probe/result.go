package probe

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// A Result is how a made-up pull has ended.
type Result struct {
	Ended time.Time `json:"ended"`
	// Failed is the step that failed; empty for none.
	Failed Step `json:"failed,omitempty"`
}

// Write hands a result over, in a file that everybody may read.
func (r Result) Write(file string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, append(text, '\n'), 0o644, renameio.WithStaticPermissions(0o644)) // whatever the umask
}

// maxResult bounds a result's file, in bytes. It is another user's.
const maxResult = 64 << 10

// ReadResult reads the last result; a zero one if there is none.
func ReadResult(path string) (r Result, err error) {
	text, err := system.ReadFile(path, maxResult)
	if errors.Is(err, fs.ErrNotExist) {
		return Result{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && r.Failed != "" && !slices.Contains(Steps(), r.Failed) {
		err = errors.New("expected a step in failed, found something else")
	}
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// Metrics has the last result for Prometheus, which is read when it is asked for.
type Metrics struct {
	// Config is the configuration in force.
	Config func() Config
}

var (
	ended = prometheus.NewDesc("authsvc_probe_ended_timestamp_seconds",
		"When the last made-up pull ended; 0 if none has, or its result cannot be read. Missing without probe.url.", nil, nil)
	failed = prometheus.NewDesc("authsvc_probe_failed",
		"1 for the step (connect, ping, manifest, blob, storage) in which the last made-up pull failed, else 0. Missing without probe.url.", []string{"step"}, nil)
)

// Describe implements prometheus.Collector.
func (Metrics) Describe(out chan<- *prometheus.Desc) {
	out <- ended
	out <- failed
}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	c := m.Config()
	if !c.Enabled() {
		return
	}
	last, err := ReadResult(c.ResultFile)
	at := 0.0
	if err == nil && !last.Ended.IsZero() {
		at = float64(last.Ended.UnixMilli()) / 1000
	}
	out <- prometheus.MustNewConstMetric(ended, prometheus.GaugeValue, at)
	for _, step := range Steps() {
		value := 0.0
		if step == last.Failed {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(failed, prometheus.GaugeValue, value, string(step))
	}
}
