package content_test

import (
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/program/metricstest"
)

// TestMetrics: all of them are there before the first request.
func TestMetrics(t *testing.T) {
	w := newWorld(t, nil)
	metricstest.Check(t, w.metrics, "authsvc_content", "README.md")
}
