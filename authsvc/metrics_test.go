package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program/metricstest"
)

// TestMetrics: all of them are there before the first question.
func TestMetrics(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authsvc.yaml")
	if err := os.WriteFile(file, []byte("upstreams: [{name: eu, prefixes: [/], standby: us}, {name: us}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, []string{"AUTHSVC_KLOUDLESS_URL=https://api.example/", "AUTHSVC_PROBE_URL=https://docker.vendor.com", "AUTHSVC_PROBE_IMAGE=vendor/probe:1"}, pflag.NewFlagSet("", pflag.ContinueOnError))
	if err != nil {
		t.Fatal(err)
	}
	logger, numbers := slog.New(slog.DiscardHandler), program.NewMetrics("authsvc")
	metrics := server.NewMetrics(numbers)
	l, err := newLive(builder{maker{t.Context(), credential.NewKey(nil), logger, metrics}, newTokenFiles(t.Context(), logger), numbers}, c, nil, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	metricstest.Check(t, l, "authsvc", "README.md")
}
