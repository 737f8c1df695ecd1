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

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestFileIsGoneAndCannotBeWritten: readiness, the metric and a forced refresh
// reported the token in memory, while authsvc had none to start with.
func TestFileIsGoneAndCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.asleep(1)
		dir := filepath.Dir(w.options.File)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute) // more than the limit on refreshes that are asked for
		w.asleep(1)
		if s := w.made().Status(); !errors.Is(s.Unusable, os.ErrNotExist) {
			t.Errorf("unusable: %v, want that there is no file", s.Unusable)
		}
		w.metric(`tokenrefresher_token_usable{registry="main"} 0`)
		w.metric(`tokenrefresher_token_expiry_timestamp_seconds{registry="main"} 0`)
		w.metric(`tokenrefresher_token_fetched_timestamp_seconds{registry="main"} 0`)
		if got, err := w.made().Newer(t.Context(), start.Add(-time.Hour)); err == nil {
			t.Errorf("a forced refresh returned %+v, which is in no file", got)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := w.made().Newer(t.Context(), start.Add(-time.Hour)); err != nil {
			t.Error(err)
		}
		if s := w.made().Status(); s.Unusable != nil {
			t.Error(s.Unusable)
		}
		w.metric(`tokenrefresher_token_usable{registry="main"} 1`)
	})
}

// TestStatusTellsOfTheFile: what authsvc would read now, before the next look
// puts it right.
func TestStatusTellsOfTheFile(t *testing.T) {
	tests := []struct {
		name   string
		do     func(w *world)
		usable bool
	}{
		{"the latest", func(*world) {}, true},
		{"a later one", func(w *world) { w.write(w.token(0), -time.Second) }, true},
		{"an older one", func(w *world) { w.write(w.token(0), time.Hour) }, false},
		{"one that has expired", func(w *world) {
			old := w.token(0)
			old.ExpiresAt = start
			w.write(old, -time.Second)
		}, false},
		{"another registry's", func(w *world) {
			other := w.token(0)
			other.Host = "other.example.com"
			w.write(other, -time.Second)
		}, false},
		{"half", func(w *world) { w.content(`{"ver`) }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.run()
				w.asleep(1)
				test.do(w)
				if s := w.made().Status(); (s.Unusable == nil) != test.usable {
					t.Errorf("unusable: %v", s.Unusable)
				}
			})
		})
	}
}

// TestFutureFileDoesNotStopRefreshes: a clock that was wrong once left a file
// from 2030, and the next refresh was due then, over restarts too.
func TestFutureFileDoesNotStopRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) { return w.unending(n), nil }
		w.write(w.unending(0), -4*365*24*time.Hour)
		for restart := range 2 {
			w.restarted()
			stop := w.run()
			before := 2 * restart
			w.asleep(before + 1) // at the start: the file says nothing of the token's age
			w.pass(8 * time.Hour)
			w.asleep(before + 2)
			w.inFile(w.unending(before + 2))
			stop()
		}
	})
}

// TestFutureFileOfAnotherProcess: the same of a file that --once writes while
// the program runs.
func TestFutureFileOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) { return w.unending(n), nil }
		w.run()
		w.asleep(1)
		w.write(w.unending(0), -4*365*24*time.Hour)
		w.pass(15 * time.Second)
		w.inFile(w.unending(0))
		w.pass(8 * time.Hour)
		w.asleep(2)
		w.inFile(w.unending(2))
	})
}

// TestPermissionsArePutRight: a wrong mode or owner stayed until the next
// refresh.
func TestPermissionsArePutRight(t *testing.T) {
	changes := map[string]func(path string) error{
		"readable by all":   func(path string) error { return os.Chmod(path, 0o644) },
		"closed to authsvc": func(path string) error { return os.Chmod(path, 0o600) },
	}
	if os.Geteuid() == 0 { // nobody else can give a file away
		changes["another owner"] = func(path string) error { return os.Chown(path, 4321, -1) }
		changes["another group"] = func(path string) error { return os.Chown(path, -1, 4321) }
	}
	for name, change := range changes {
		for _, when := range []string{"at the start", "at a look"} {
			t.Run(name+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					written := w.write(w.token(0), time.Hour)
					if when == "at a look" {
						w.run()
						w.asleep(0)
					}
					if err := change(w.options.File); err != nil {
						t.Fatal(err)
					}
					if when == "at a look" {
						w.pass(15 * time.Second)
					} else {
						w.run()
					}
					w.asleep(0)
					if err := tokenfile.CheckPermissions(w.options.File); err != nil {
						t.Error(err)
					}
					w.inFile(written)
					if text := w.log.String(); strings.Count(text, "the token file was restored") != 1 || !strings.Contains(text, "expected mode 0640, owner ") {
						t.Errorf("log: %s", text)
					}
					w.metric(`tokenrefresher_store_failures_total{registry="main"} 0`)
				})
			})
		}
	}
}

// TestPermissionsCannotBePutRight: it is logged once, and the file serves.
func TestPermissionsCannotBePutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(w.token(0), time.Hour)
		w.options.Group = "no-such-group"
		w.run()
		w.asleep(0)
		for range 3 {
			w.pass(15 * time.Second)
			w.asleep(0)
		}
		if n := strings.Count(w.log.String(), "the token file cannot be restored"); n != 1 {
			t.Errorf("logged %d times: %s", n, w.log)
		}
		if s := w.made().Status(); s.Unusable != nil {
			t.Error(s.Unusable)
		}
	})
}

// TestLeftoversAreRemovedAtTheStart: kill -9 leaves temporary files with whole
// tokens; no write need follow that removes them.
func TestLeftoversAreRemovedAtTheStart(t *testing.T) {
	for name, start := range map[string]func(*world){
		"run":  func(w *world) { w.run(); w.asleep(1) },
		"once": func(w *world) { _ = w.made().Once(w.Context(), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fetchIs = func(context.Context, int) (tokenfile.Token, error) { return tokenfile.Token{}, errors.New("down") }
				left := filepath.Join(filepath.Dir(w.options.File), ".main.json1234567890")
				if err := os.WriteFile(left, []byte("hush"), 0o600); err != nil {
					t.Fatal(err)
				}
				start(w)
				if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: %v", left, err)
				}
			})
		})
	}
}
