package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/probe"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// An outcome is how an attempt ended, for the metrics and the log.
type outcome string

const (
	refreshed   outcome = "refreshed"    // fetched, tested and stored
	untried     outcome = "untried"      // stored without a test, since the registry could not be asked and the old token was unusable
	fetchFailed outcome = "fetch_failed" // there is no new token
	rejected    outcome = "rejected"     // the registry refuses the new token
	probeFailed outcome = "probe_failed" // the registry could not be asked, and the old token is still usable
	storeFailed outcome = "store_failed" // the new token could not be written
)

var outcomes = []outcome{refreshed, untried, fetchFailed, rejected, probeFailed, storeFailed}

// refresh makes one attempt and records its outcome. It only runs in the flight.
func (r *Registry) refresh() (tokenfile.Token, error) {
	if err := r.life.Err(); err != nil {
		return tokenfile.Token{}, fmt.Errorf("stopping: %w", err)
	}
	began := time.Now()
	t, how, err := r.attempt()
	took := time.Since(began)
	r.o.Metrics.observe(r.o.Name, how, took)

	r.mu.Lock()
	r.failure = err
	if err == nil {
		r.failures = 0
		r.due = r.next(t)
	} else {
		r.failures++
		r.due = time.Now().Add(r.o.Schedule.Backoff(r.failures, r.o.Random()))
	}
	due := r.due
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // the loop has not seen the last wake yet, and will read due then
	}
	r.report(t, how, err, took, due)
	return t, err
}

// attempt returns the new token, if it is in the file now. It never replaces a
// good token with one that is not known to be good.
func (r *Registry) attempt() (tokenfile.Token, outcome, error) {
	ctx, cancel := context.WithTimeout(r.life, r.o.Timeout)
	defer cancel()
	t, err := r.o.Source.Fetch(ctx)
	if err != nil {
		return tokenfile.Token{}, fetchFailed, err
	}
	old := r.token()
	now := time.Now()
	t.FetchedAt = after(now, old.FetchedAt)
	if err := errors.Join(t.Check(), t.Usable(now)); err != nil {
		return tokenfile.Token{}, fetchFailed, fmt.Errorf("checking the new token: %w", err)
	}
	how := refreshed
	if r.o.Prober != nil {
		err := r.o.Prober.Try(ctx, t)
		switch {
		case err == nil:
		case errors.Is(err, probe.ErrRejected):
			return tokenfile.Token{}, rejected, err
		case old.Usable(now) == nil || r.life.Err() != nil:
			return tokenfile.Token{}, probeFailed, err
		default:
			how = untried
			r.o.Logger.Warn("storing the new token untested: the old one is not usable", withDetail(err)...)
		}
	}
	if err := r.store(t); err != nil {
		return tokenfile.Token{}, storeFailed, err
	}
	return t, how, nil
}

// after returns now, or the moment after previous if the clock was set back, so
// that a newer token always has a later FetchedAt: authsvc relies on that. The
// result has no monotonic reading, since a file does not keep it.
func after(now, previous time.Time) time.Time {
	now = now.Round(0).UTC()
	if now.After(previous) {
		return now
	}
	return previous.Add(1)
}

func (r *Registry) report(t tokenfile.Token, how outcome, err error, took time.Duration, due time.Time) {
	attributes := []any{"outcome", string(how), "duration_ms", float64(took.Microseconds()) / 1000, "next", due.UTC()}
	if err == nil {
		r.o.Logger.Info("token refreshed", append(attributes, "token", t)...)
		return
	}
	if errors.Is(err, context.Canceled) && r.life.Err() != nil {
		r.o.Logger.Info("refresh canceled: stopping")
		return
	}
	attributes = append(attributes, withDetail(err)...)
	// Only a warning while customers are served with the old token.
	level := slog.LevelWarn
	old := r.token()
	if unusable := old.Usable(time.Now()); unusable != nil {
		level = slog.LevelError
		attributes = append(attributes, "unusable", unusable.Error())
	} else {
		attributes = append(attributes, "kept", old)
	}
	r.o.Logger.Log(context.Background(), level, "refresh failed", attributes...)
}

// withDetail returns an error as log attributes, with the detail that only the
// operator may see.
func withDetail(err error) []any {
	attributes := []any{"error", err.Error()}
	var detailed interface {
		error
		Detail() string
	}
	if errors.As(err, &detailed) && detailed.Detail() != "" {
		attributes = append(attributes, "detail", detailed.Detail())
	}
	return attributes
}
