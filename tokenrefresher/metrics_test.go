package main

import (
	"log/slog"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program/metricstest"
)

// TestMetrics: all of them are there before the first refresh.
func TestMetrics(t *testing.T) {
	numbers := program.NewMetrics("tokenrefresher")
	c := config.Config{Registries: []config.Registry{{Name: "main"}}}
	if _, err := build(c, slog.New(slog.DiscardHandler), numbers); err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, numbers, "tokenrefresher", "README.md")
}
