package refresh_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestNewerAsksOnce: nginx-s3-gateway #591, all refreshed at once when the
// token ended.
func TestNewerAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.asleep(1)
		old := w.made().Status().Token
		w.pass(time.Second)

		var ready sync.WaitGroup
		var done sync.WaitGroup
		ready.Add(50)
		w.set(func() {
			w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
				ready.Wait()
				return w.token(n), nil
			}
		})
		for range 50 {
			done.Go(func() {
				ready.Done()
				got, err := w.made().Newer(t.Context(), old.FetchedAt)
				if err != nil || !got.FetchedAt.After(old.FetchedAt) {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		done.Wait()
		if n := w.count(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		w.inFile(w.token(2))
		// The loop knows: the next is due 8 h from then.
		w.pass(8*time.Hour - time.Second)
		w.asleep(2)
		if n := w.count(); n != 2 {
			t.Errorf("%d fetches before it was due", n)
		}
		w.pass(time.Second)
		w.asleep(3)
	})
}

// pausedLog blocks at its first line until it is released.
type pausedLog struct{ begun, release chan struct{} }

func (l pausedLog) Write(p []byte) (int, error) {
	select {
	case l.begun <- struct{}{}:
		<-l.release
	default:
	}
	return len(p), nil
}

// TestNewerThanWhatEnds: a refresh that has stored the rejected token, and has
// not ended yet, brings no newer one.
func TestNewerThanWhatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pause := pausedLog{make(chan struct{}, 1), make(chan struct{})}
		w.options.Logger = slog.New(slog.NewJSONHandler(pause, nil))
		w.run()
		<-pause.begun
		pause.begun <- struct{}{} // once
		old := w.made().Status().Token
		var done sync.WaitGroup
		done.Go(func() {
			got, err := w.made().Newer(t.Context(), old.FetchedAt)
			if err != nil || !got.FetchedAt.After(old.FetchedAt) {
				t.Errorf("%+v, %v", got, err)
			}
		})
		synctest.Wait()
		close(pause.release)
		done.Wait()
	})
}

func TestNewerTakesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(w.token(0), time.Hour)
		w.run()
		w.asleep(0)
		for range 3 { // none of them counts for the limit
			if got, err := w.made().Newer(t.Context(), start.Add(-2*time.Hour)); err != nil || !got.FetchedAt.Equal(start.Add(-time.Hour)) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if n := w.count(); n != 0 {
			t.Errorf("%d fetches", n)
		}
		// It promises that the token is in the file.
		if err := os.Remove(w.options.File); err != nil {
			t.Fatal(err)
		}
		if _, err := w.made().Newer(t.Context(), start.Add(-2*time.Hour)); err != nil {
			t.Error(err)
		}
		w.inFile(w.token(0))
	})
}

func TestRefreshIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		steps := []struct {
			pass    time.Duration
			limited time.Duration
		}{
			{0, 0}, {0, 10 * time.Second}, {9 * time.Second, time.Second}, {time.Second, 0}, {time.Second, 9 * time.Second}, {time.Hour, 0}, {0, 10 * time.Second},
		}
		for i, step := range steps {
			w.pass(step.pass)
			_, err := w.made().Refresh(t.Context())
			var limited *refresh.LimitedError
			switch {
			case step.limited == 0 && err != nil:
				t.Errorf("step %d: %v", i, err)
			case step.limited != 0 && (!errors.As(err, &limited) || limited.RetryAfter.Round(time.Millisecond) != step.limited):
				t.Errorf("step %d: %v, want a limit for %v", i, err, step.limited)
			}
		}
		w.metric(`tokenrefresher_limited_requests_total{registry="main"} 4`)
	})
}

// TestRefreshJoins: who asks while a refresh is under way waits for it, and is
// not limited.
func TestRefreshJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		begun, release := make(chan struct{}, 1), make(chan struct{})
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
			begun <- struct{}{}
			<-release
			return w.token(n), nil
		}
		w.run()
		<-begun
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.made().Refresh(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves gets %v", err)
		}
		var done sync.WaitGroup
		for range 3 {
			done.Go(func() {
				if _, err := w.made().Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		done.Go(func() { close(release) })
		done.Wait()
		w.metric(`tokenrefresher_refreshes_total{outcome="fetch_failed",registry="main"} 0`)
	})
}

// TestRefreshFails: the old token is kept, and the loop tries again.
func TestRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(w.token(0), time.Hour)
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
			if n == 1 {
				return tokenfile.Token{}, errors.New("AWS is down")
			}
			return w.token(n), nil
		}
		w.run()
		w.asleep(0)
		if _, err := w.made().Newer(t.Context(), start); err == nil || err.Error() != "AWS is down" {
			t.Errorf("error %v", err)
		}
		w.inFile(w.token(0))
		w.asleep(1)
		w.pass(time.Second)
		w.asleep(2)
		w.inFile(w.token(2))
	})
}
