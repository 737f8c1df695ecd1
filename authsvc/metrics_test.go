package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program/metricstest"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestMetrics: all of them are there before the first question.
func TestMetrics(t *testing.T) {
	c, err := config.Load("", []string{"AUTHSVC_KLOUDLESS_URL=https://api.example/", "AUTHSVC_PROBE_URL=https://docker.vendor.com", "AUTHSVC_PROBE_IMAGE=vendor/probe:1"}, pflag.NewFlagSet("", pflag.ContinueOnError))
	if err != nil {
		t.Fatal(err)
	}
	logger, numbers := slog.New(slog.DiscardHandler), program.NewMetrics("authsvc")
	watcher, err := tokenfile.Watch(t.Context(), filepath.Join(t.TempDir(), "main.json"), logger)
	if err != nil {
		t.Fatal(err)
	}
	metrics := server.NewMetrics(numbers, upstream.New(watcher, c.Upstream))
	l, err := newLive(builder{maker{t.Context(), credential.NewKey(nil), logger, metrics}, watcher, numbers}, c, nil, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	metricstest.Check(t, l, "authsvc", "README.md")
}
