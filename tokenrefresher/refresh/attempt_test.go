package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/probe"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestAttempt: a new token that is not known to be good never replaces a good
// one.
func TestAttempt(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/images"
	var (
		noAnswer = fmt.Errorf("testing the token: %w", context.DeadlineExceeded)
		refused  = fmt.Errorf("%w: status 403", probe.ErrRejected)
		outage   = detailed{"asking ECR for a token: AccessDeniedException", arn + " is not authorized"}
	)
	type old int
	const (
		none old = iota
		usable
		expired
	)
	tests := []struct {
		name    string
		old     old
		fetch   func(tokenfile.Token) (tokenfile.Token, error)
		probe   error
		noProbe bool
		want    string // the error
		outcome string
		stored  bool
	}{
		{name: "first", outcome: "refreshed", stored: true},
		{name: "better than a usable one", old: usable, outcome: "refreshed", stored: true},
		{name: "after an expired one", old: expired, outcome: "refreshed", stored: true},
		{name: "not to be tried", old: usable, probe: refused, noProbe: true, outcome: "refreshed", stored: true},

		{name: "rejected first", probe: refused, want: "rejects", outcome: "rejected"},
		{name: "rejected, the old one is usable", old: usable, probe: refused, want: "rejects", outcome: "rejected"},
		{name: "rejected, the old one is expired", old: expired, probe: refused, want: "rejects", outcome: "rejected"},

		{name: "no answer, none before", probe: noAnswer, outcome: "untried", stored: true},
		{name: "no answer, the old one is usable", old: usable, probe: noAnswer, want: "deadline", outcome: "probe_failed"},
		{name: "no answer, the old one is expired", old: expired, probe: noAnswer, outcome: "untried", stored: true},

		{name: "AWS is down", old: usable, outcome: "fetch_failed", want: outage.text,
			fetch: func(tokenfile.Token) (tokenfile.Token, error) { return tokenfile.Token{}, outage }},
		{name: "AWS is down, none before", outcome: "fetch_failed", want: outage.text,
			fetch: func(tokenfile.Token) (tokenfile.Token, error) { return tokenfile.Token{}, outage }},
		{name: "expired when fetched", old: usable, outcome: "fetch_failed", want: "checking the new token: the token expired at 2000-01-01T00:00:00Z",
			fetch: func(t tokenfile.Token) (tokenfile.Token, error) { t.ExpiresAt = start; return t, nil }},
		{name: "no token", old: usable, outcome: "fetch_failed", want: "checking the new token: token: expected",
			fetch: func(t tokenfile.Token) (tokenfile.Token, error) { t.Value = tokenfile.NewValue("hush"); return t, nil }},
		{name: "too long", old: usable, outcome: "fetch_failed", want: "checking the new token: token: expected at most",
			fetch: func(t tokenfile.Token) (tokenfile.Token, error) {
				t.Value = tokenfile.NewValue(strings.Repeat("QUFB", 5000))
				return t, nil
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				before := w.token(0)
				switch test.old {
				case usable:
					w.write(before, time.Hour)
				case expired:
					before.ExpiresAt = start.Add(-time.Minute)
					w.write(before, time.Hour)
				}
				if test.fetch != nil {
					w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) { return test.fetch(w.token(n)) }
				}
				w.probeIs = func(tokenfile.Token) error { return test.probe }
				if test.noProbe {
					w.options.Prober = nil
				}
				err := w.made().Once(t.Context(), 1)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				switch {
				case test.stored:
					w.inFile(w.token(1))
				case test.old == none:
					w.empty()
				default:
					w.inFile(before)
				}
				w.metric(fmt.Sprintf(`tokenrefresher_refreshes_total{outcome=%q,registry="main"} 1`, test.outcome))
				w.metric(`tokenrefresher_refresh_duration_seconds_count{registry="main"} 1`)
				if text := w.log.String(); test.want == outage.text && !strings.Contains(text, arn) {
					t.Errorf("the log leaves out what AWS said: %s", text)
				}
				s := w.made().Status()
				if good := test.stored || test.old == usable; good != (s.Unusable == nil) || (err == nil) != (s.Failure == nil) {
					t.Errorf("status %+v", s)
				}
				w.quiet(fmt.Sprint(err, s))
			})
		})
	}
}

// TestTokenSizes: tokens have no fixed size; 2.4 and 4.8 KB have been seen.
func TestTokenSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{2368, 4781, 12 << 10} {
			w := newWorld(t)
			big := w.token(1)
			big.Value = tokenfile.NewValue(strings.Repeat("QTpB", size/4))
			w.fetchIs = func(context.Context, int) (tokenfile.Token, error) { return big, nil }
			if err := w.made().Once(t.Context(), 1); err != nil {
				t.Error(err)
			}
			w.inFile(big)
		}
	})
}

// TestOnceGivesUp: it retries, but not for ever.
func TestOnceGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var fetched []time.Duration
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
			fetched = append(fetched, time.Since(start))
			return tokenfile.Token{}, fmt.Errorf("failure %d", n)
		}
		err := w.made().Once(t.Context(), 3)
		if err == nil || err.Error() != "failure 3" {
			t.Errorf("error %v", err)
		}
		if want := []time.Duration{0, time.Second, 3 * time.Second}; !slices.Equal(fetched, want) {
			t.Errorf("fetched at %v, want %v", fetched, want)
		}
	})
}

func TestOnceSucceedsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
			if n < 3 {
				return tokenfile.Token{}, errors.New("failure")
			}
			return w.token(n), nil
		}
		if err := w.made().Once(t.Context(), 3); err != nil {
			t.Error(err)
		}
		w.inFile(w.token(3))
	})
}

// TestStoreFails: a token that cannot be written is reported, and written once
// it can be.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dir := filepath.Dir(w.options.File)
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		w.run()
		w.asleep(1)
		w.metric(`tokenrefresher_refreshes_total{outcome="store_failed",registry="main"} 1`)
		w.metric(`tokenrefresher_store_failures_total{registry="main"} 1`)
		w.metric(`tokenrefresher_token_usable{registry="main"} 0`)
		if text := w.log.String(); !strings.Contains(text, `"level":"ERROR","msg":"refresh failed"`) || !strings.Contains(text, w.options.File) {
			t.Errorf("log: %s", text)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.asleep(2)
		w.inFile(w.token(2))
		w.metric(`tokenrefresher_token_usable{registry="main"} 1`)
		w.quiet()
	})
}

// TestClockSetBack: authsvc recognizes the later token by the later FetchedAt.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.write(w.token(0), -time.Hour)
		if err := w.made().Once(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		got, err := tokenfile.Read(w.options.File)
		if err != nil || !got.FetchedAt.After(old.FetchedAt) {
			t.Errorf("fetched at %v, %v; the one before at %v", got.FetchedAt, err, old.FetchedAt)
		}
	})
}

// TestStops: SIGTERM does not wait for an AWS that hangs.
func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hanging := make(chan struct{})
		w.fetchIs = func(ctx context.Context, _ int) (tokenfile.Token, error) {
			close(hanging)
			<-ctx.Done()
			return tokenfile.Token{}, ctx.Err()
		}
		stop := w.run()
		<-hanging
		waiting := make(chan error)
		go func() {
			_, err := w.made().Refresh(t.Context())
			waiting <- err
		}()
		stop()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waits gets %v", err)
		}
		if text := w.log.String(); strings.Contains(text, "refresh failed") {
			t.Errorf("stopping is no failure: %s", text)
		}
	})
}

func TestMetricsOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.made()
		w.metric(`tokenrefresher_token_expiry_timestamp_seconds{registry="main"} 0`)
		w.metric(`tokenrefresher_token_fetched_timestamp_seconds{registry="main"} 0`)
		w.metric(`tokenrefresher_token_usable{registry="main"} 0`)
		w.metric(`tokenrefresher_refreshes_total{outcome="rejected",registry="main"} 0`)
		if err := w.made().Once(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.pass(90 * time.Second)
		w.metric(fmt.Sprintf(`tokenrefresher_token_expiry_timestamp_seconds{registry="main"} %g`, float64(start.Add(12*time.Hour).Unix())))
		w.metric(fmt.Sprintf(`tokenrefresher_token_fetched_timestamp_seconds{registry="main"} %g`, float64(start.Unix())))
		w.metric(`tokenrefresher_token_usable{registry="main"} 1`)
		w.pass(12 * time.Hour)
		w.metric(`tokenrefresher_token_usable{registry="main"} 0`)
		basic := newWorld(t)
		basic.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) {
			never := w.token(n)
			never.ExpiresAt = time.Time{}
			return never, nil
		}
		if err := basic.made().Once(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		basic.metric(`tokenrefresher_token_expiry_timestamp_seconds{registry="main"} +Inf`)
	})
}
