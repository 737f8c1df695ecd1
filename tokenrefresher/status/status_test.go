package status_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/status"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var (
	now      = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	schedule = refresh.Schedule{Interval: 8 * time.Hour, Margin: 30 * time.Minute, Jitter: 10 * time.Minute, BackoffInitial: time.Second, BackoffMax: 5 * time.Minute}
)

// entries are one of each state; DIR stands for the folder in outputs.
func entries(t *testing.T) (dir string, all []status.Entry) {
	t.Helper()
	dir = t.TempDir()
	for _, e := range []struct {
		name    string
		age     time.Duration
		expires time.Time
	}{
		{"main", 3 * time.Hour, now.Add(9 * time.Hour)},
		{"basic", 3 * time.Hour, time.Time{}},
		{"tried", 8*time.Hour + schedule.BackoffMax, now.Add(3 * time.Hour)}, // a failure or two
		{"stale", 10 * time.Hour, now.Add(2 * time.Hour)},
		{"old", 3 * time.Hour, now.Add(-time.Minute)},
	} {
		path := filepath.Join(dir, e.name)
		token := tokenfile.Token{Host: e.name + ".example.com", Value: tokenfile.NewValue("QVdTOnA="), FetchedAt: now.Add(-e.age), ExpiresAt: e.expires}
		if err := tokenfile.Write(path, token); err != nil {
			t.Fatal(err)
		}
		all = append(all, status.Read(e.name, path, schedule, now))
	}
	return dir, append(all, status.Read("none", filepath.Join(dir, "none"), schedule, now))
}

func TestTable(t *testing.T) {
	dir, all := entries(t)
	var b bytes.Buffer
	if err := status.WriteTable(&b, all, now); err != nil {
		t.Fatal(err)
	}
	want := `REGISTRY|HOST|FILE|AGE|EXPIRES|STATE
main|main.example.com|DIR/main|3h0m0s|2026-11-24T03:00:00Z (in 9h0m0s)|usable
basic|basic.example.com|DIR/basic|3h0m0s|never|usable
tried|tried.example.com|DIR/tried|8h5m0s|2026-11-23T21:00:00Z (in 3h0m0s)|usable
stale|stale.example.com|DIR/stale|10h0m0s|2026-11-23T20:00:00Z (in 2h0m0s)|usable, but its replacement is overdue by 2h0m0s
old|old.example.com|DIR/old|3h0m0s|2026-11-23T17:59:00Z|UNUSABLE: the token expired at 2026-11-23T17:59:00Z
none|-|DIR/none|-|-|UNUSABLE: reading token file DIR/none: no such file or directory
`
	var got strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(b.String(), dir, "DIR")) {
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSpace(line), "  ") {
			if cell != "" {
				cells = append(cells, strings.TrimSpace(cell))
			}
		}
		got.WriteString(strings.Join(cells, "|") + "\n")
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if names := status.Unusable(all); !slices.Equal(names, []string{"old", "none"}) {
		t.Errorf("unusable: %q", names)
	}
}

func TestJSON(t *testing.T) {
	dir, all := entries(t)
	var b bytes.Buffer
	if err := status.WriteJSON(&b, all); err != nil {
		t.Fatal(err)
	}
	want := `[{"registry":"main","file":"DIR/main","host":"main.example.com","fetchedAt":"2026-11-23T15:00:00Z","expiresAt":"2026-11-24T03:00:00Z","usable":true},` +
		`{"registry":"basic","file":"DIR/basic","host":"basic.example.com","fetchedAt":"2026-11-23T15:00:00Z","usable":true},` +
		`{"registry":"tried","file":"DIR/tried","host":"tried.example.com","fetchedAt":"2026-11-23T09:55:00Z","expiresAt":"2026-11-23T21:00:00Z","usable":true},` +
		`{"registry":"stale","file":"DIR/stale","host":"stale.example.com","fetchedAt":"2026-11-23T08:00:00Z","expiresAt":"2026-11-23T20:00:00Z","overdueSince":"2026-11-23T16:00:00Z","usable":true},` +
		`{"registry":"old","file":"DIR/old","host":"old.example.com","fetchedAt":"2026-11-23T15:00:00Z","expiresAt":"2026-11-23T17:59:00Z","usable":false,"problem":"the token expired at 2026-11-23T17:59:00Z"},` +
		`{"registry":"none","file":"DIR/none","usable":false,"problem":"reading token file DIR/none: no such file or directory"}]`
	var got bytes.Buffer
	if err := json.Compact(&got, []byte(strings.ReplaceAll(b.String(), dir, "DIR"))); err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(got.String()) != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
