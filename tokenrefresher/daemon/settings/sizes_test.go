package settings_test

import (
	"strings"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

func TestSize(t *testing.T) {
	table := settings.Table{{Key: "size", Default: ""}}
	for text, want := range map[string]int64{
		"1KB": 1e3, "20MB": 20e6, "1.5GB": 15e8, "2TB": 2e12, "4KiB": 4 << 10, "4MiB": 4 << 20, "52000MiB": 52_000 << 20, "1TiB": 1 << 40,
		"": -1, "5": -1, "5B": -1, "MB": -1, "-1MB": -1, "+1MB": -1, "1e3MB": -1, "1.2.3MB": -1, "5 MB": -1, "5mb": -1, "99999999TB": -1, "infMB": -1, "0x1MB": -1,
	} {
		r := table.Section("", map[string]any{"size": text})
		got := r.Size("size", 0, 1<<62)
		if problem := r.Err(); (problem == nil) != (want >= 0) || want >= 0 && got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, problem, want)
		} else if problem != nil && !strings.Contains(problem.Error(), "expected a size with its unit such as 50GB") {
			t.Errorf("%q: %v", text, problem)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1KB", 1_500_000: "1.5MB", 100e9: "100GB", 2e12: "2TB"} {
		if got := settings.FormatSize(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
