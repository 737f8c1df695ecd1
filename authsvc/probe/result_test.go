package probe_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/probe"
)

func TestReadCredential(t *testing.T) {
	for text, want := range map[string]string{
		"probe@vendor.com:t0ken": "probe@vendor.com t0ken", "probe:a:b\r\n": "probe a:b",
		"": "", "probe": "", "probe:\n": "", ":t0ken": "", "probe:t0\nken": "", "probe:" + strings.Repeat("x", 9000): "",
	} {
		file := filepath.Join(t.TempDir(), "credential")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := probe.ReadCredential(file)
		switch {
		case (err != nil) != (want == ""):
			t.Errorf("%.30q: %v", text, err)
		case err != nil && (strings.Contains(err.Error(), "t0") || !strings.Contains(err.Error(), "expected")):
			t.Errorf("%.30q: %v", text, err)
		case err == nil && got.User+" "+got.Secret.Reveal() != want:
			t.Errorf("%.30q: %s %s", text, got.User, got.Secret.Reveal())
		}
	}
}

func TestAccount(t *testing.T) {
	a := probe.NewAccount(account(token), credential.NewKey(nil))
	other := credential.Credential{User: "PROBE@vendor.com", Secret: credential.NewSecret(token)}
	if !a.Is(account(token)) || a.Is(account("wrong")) || a.Is(other) || (probe.Account{}).Is(credential.Credential{}) {
		t.Error("expected an account to recognize its own credential, and no other")
	}
}

// TestMetrics: the last result shows, and what cannot be read is no success.
func TestMetrics(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	config := probe.Config{URL: "https://docker.vendor.com", ResultFile: file}
	metrics := probe.Metrics{Config: func() probe.Config { return config }}
	wants := func(what string, at float64, failed probe.Step) {
		t.Helper()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				name := family.GetName()
				for _, label := range m.GetLabel() {
					name += " " + label.GetValue()
				}
				got[name] = m.GetGauge().GetValue()
			}
		}
		if len(got) != 1+len(probe.Steps()) || got["authsvc_probe_ended_timestamp_seconds"] != at {
			t.Errorf("%s: %v", what, got)
		}
		for _, step := range probe.Steps() {
			if (got["authsvc_probe_failed "+string(step)] == 1) != (step == failed) {
				t.Errorf("%s: %v", what, got)
			}
		}
	}
	wants("before the first", 0, "")
	for _, result := range []probe.Result{{Ended: time.Unix(1e9, 0)}, {Ended: time.Unix(2e9, 0), Failed: probe.Manifest}} {
		if err := result.Write(file); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		wants("a result", float64(result.Ended.Unix()), result.Failed)
	}
	for _, text := range []string{"", "{", `{"ended":"yesterday"}`, `{"ended":"2026-01-01T00:00:00Z","failed":"x"}`, strings.Repeat(" ", 1<<20) + "{}"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wants(text[:min(len(text), 40)], 0, "")
	}
	if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	wants("a FIFO in its place", 0, "")
	config = probe.Config{}
	if n := testutil.CollectAndCount(metrics); n != 0 {
		t.Errorf("%d metrics without made-up pulls", n)
	}
}
