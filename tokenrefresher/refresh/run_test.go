package refresh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

func TestScheduleNext(t *testing.T) {
	schedule := refresh.Schedule{
		Interval: 8 * time.Hour, Margin: 30 * time.Minute, Jitter: 10 * time.Minute,
		BackoffInitial: time.Second, BackoffMax: 5 * time.Minute,
	}
	tests := []struct {
		name   string
		life   time.Duration // 0 for ever
		random float64
		want   time.Duration
	}{
		{"interval", 12 * time.Hour, 0, 8 * time.Hour},
		{"jitter makes it earlier", 12 * time.Hour, 0.5, 8*time.Hour - 5*time.Minute},
		{"never expires", 0, 0, 8 * time.Hour},
		{"margin", 2 * time.Hour, 0, 90 * time.Minute},
		{"shorter than the margin", 20 * time.Minute, 0, 10 * time.Minute},
		{"jitter at most a quarter", 20 * time.Minute, 1, 7*time.Minute + 30*time.Second},
		{"hardly alive", time.Millisecond, 0, time.Second},
		{"expired", -time.Hour, 0.5, time.Second},
	}
	for _, test := range tests {
		token := tokenfile.Token{FetchedAt: start}
		if test.life != 0 {
			token.ExpiresAt = start.Add(test.life)
		}
		if got := schedule.Next(token, test.random).Sub(start); got != test.want {
			t.Errorf("%s: after %v, want %v", test.name, got, test.want)
		}
	}
}

func TestScheduleBackoff(t *testing.T) {
	schedule := refresh.Schedule{BackoffInitial: time.Second, BackoffMax: 5 * time.Minute}
	for failures, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1 << 40: 5 * time.Minute,
	} {
		if got := schedule.Backoff(failures, 0); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
		if got := schedule.Backoff(failures, 0.999999); got < want/2 || got > want/2+time.Second {
			t.Errorf("after %d failures at least %v, want %v", failures, got, want/2)
		}
	}
}

// TestRun goes through a day: fetch, sleep, failures, recovery.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.asleep(1)
		w.inFile(w.token(1))

		w.pass(8*time.Hour - time.Minute)
		w.asleep(1)
		if n := w.count(); n != 1 {
			t.Errorf("%d fetches before it was due", n)
		}
		w.set(func() {
			w.fetchIs = func(context.Context, int) (tokenfile.Token, error) {
				return tokenfile.Token{}, errors.New("AWS is down")
			}
		})
		w.pass(time.Minute)
		w.asleep(2)
		for n, backoff := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			w.pass(backoff - time.Millisecond)
			if got := w.count(); got != n+2 {
				t.Fatalf("%d fetches before %v have passed, want %d", got, backoff, n+2)
			}
			w.pass(time.Millisecond)
			w.asleep(n + 3)
		}
		w.inFile(w.token(1)) // it is good for hours
		w.metric(`tokenrefresher_token_usable{registry="main"} 1`)
		w.metric(`tokenrefresher_refreshes_total{outcome="fetch_failed",registry="main"} 5`)

		w.set(func() { w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) { return w.token(n), nil } })
		w.pass(16 * time.Second)
		w.asleep(7)
		w.inFile(w.token(7))
		w.pass(8 * time.Hour)
		w.asleep(8)
		w.inFile(w.token(8))
		w.quiet()
	})
}

// TestTakeOver: a restart asks AWS for nothing if the token is fresh enough.
func TestTakeOver(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*tokenfile.Token)
		age     time.Duration
		content string // in place of a token
		fetches int
	}{
		{name: "fresh", age: time.Hour, fetches: 0},
		{name: "due", age: 8 * time.Hour, fetches: 1},
		{name: "expired", age: time.Hour, change: func(t *tokenfile.Token) { t.ExpiresAt = start }, fetches: 1},
		{name: "soon expired", age: time.Hour, change: func(t *tokenfile.Token) { t.ExpiresAt = start.Add(20 * time.Minute) }, fetches: 1},
		{name: "of another registry", age: time.Hour, change: func(t *tokenfile.Token) { t.Host = "other.example.com" }, fetches: 1},
		{name: "from the future", age: -time.Hour, fetches: 1},
		{name: "half a file", content: `{"version":1,"ho`, fetches: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				old := w.token(0)
				if test.change != nil {
					test.change(&old)
				}
				w.write(old, test.age)
				if err := os.Chmod(w.options.File, 0o600); err != nil {
					t.Fatal(err)
				}
				if test.content != "" {
					if err := os.WriteFile(w.options.File, []byte(test.content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				w.run()
				w.asleep(test.fetches)
				if n := w.count(); n != test.fetches {
					t.Errorf("%d fetches, want %d", n, test.fetches)
				}
				if test.fetches == 0 {
					w.inFile(old)
				} else {
					w.inFile(w.token(1))
				}
				if info, err := os.Stat(w.options.File); err != nil || info.Mode() != tokenfile.Mode {
					t.Errorf("mode %v, %v", info.Mode(), err)
				}
			})
		})
	}
}

// TestTakeOverKeepsItsTime: the next refresh is reckoned from the token's own
// age, not from the restart.
func TestTakeOverKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(w.token(0), 7*time.Hour)
		w.run()
		w.asleep(0)
		w.pass(59 * time.Minute)
		w.asleep(0)
		if n := w.count(); n != 0 {
			t.Errorf("%d fetches", n)
		}
		w.pass(time.Minute)
		w.asleep(1)
	})
}

// TestFileIsRestored: whatever becomes of the file, the good token is in it
// again, without asking AWS.
func TestFileIsRestored(t *testing.T) {
	tests := []struct {
		name string
		do   func(w *world) error
		want int // of which fetch the token is, 0 for the one before
	}{
		{"removed", func(w *world) error { return os.Remove(w.options.File) }, 1},
		{"half", func(w *world) error { return os.WriteFile(w.options.File, []byte(`{"ver`), 0o600) }, 1},
		{"folder made again", func(w *world) error {
			dir := filepath.Dir(w.options.File)
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		}, 1},
		{"an older token", func(w *world) error { w.write(w.token(0), time.Hour); return nil }, 1},
		{"another registry's", func(w *world) error {
			other := w.token(0)
			other.Host = "other.example.com"
			w.write(other, -time.Second)
			return nil
		}, 1},
		{"a later token, by --once", func(w *world) error { w.write(w.token(0), -time.Second); return nil }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.run()
				w.asleep(1)
				if err := test.do(w); err != nil {
					t.Fatal(err)
				}
				w.pass(15 * time.Second)
				w.asleep(1)
				w.inFile(w.token(test.want))
				if got := w.made().Status().Token; !got.SameCredential(w.token(test.want)) {
					t.Errorf("the current token is %+v", got)
				}
				if n := w.count(); n != 1 {
					t.Errorf("%d fetches", n)
				}
			})
		})
	}
}

func TestFileCannotBeRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.asleep(1)
		if err := os.RemoveAll(filepath.Dir(w.options.File)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.pass(15 * time.Second)
			w.asleep(1)
		}
		if n := strings.Count(w.log.String(), "the token file cannot be restored"); n != 1 {
			t.Errorf("logged %d times: %s", n, w.log)
		}
		w.metric(`tokenrefresher_store_failures_total{registry="main"} 3`)
		if err := os.Mkdir(filepath.Dir(w.options.File), 0o700); err != nil {
			t.Fatal(err)
		}
		w.pass(15 * time.Second)
		w.asleep(1)
		w.inFile(w.token(1))
	})
}
