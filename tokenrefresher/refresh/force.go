package refresh

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A LimitedError refuses a refresh that was requested too soon after the last.
type LimitedError struct {
	// RetryAfter is when the next will be allowed.
	RetryAfter time.Duration
}

// Error implements error.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("a refresh was asked for already; the next is allowed in %v", e.RetryAfter.Round(time.Millisecond))
}

// Newer returns the token in the file if it was fetched after newerThan;
// otherwise it refreshes as Refresh does.
func (r *Registry) Newer(ctx context.Context, newerThan time.Time) (tokenfile.Token, error) {
	r.reconcile()
	if t, err := r.stored(); err == nil && t.FetchedAt.After(newerThan) {
		return t, nil
	}
	t, err := r.Refresh(ctx)
	if err == nil && !t.FetchedAt.After(newerThan) {
		t, err = r.Refresh(ctx) // the first call joined a refresh that began earlier
	}
	if err != nil {
		// It may have been limited because of a refresh that just ended.
		if t, err := r.stored(); err == nil && t.FetchedAt.After(newerThan) {
			return t, nil
		}
	}
	if err == nil && !t.FetchedAt.After(newerThan) {
		err = fmt.Errorf("expected a token fetched after %s, found one from %s",
			newerThan.UTC().Format(time.RFC3339Nano), t.FetchedAt.Format(time.RFC3339Nano))
	}
	return t, err
}

// Refresh fetches, tests and stores a token now, or joins a refresh in progress.
// Its error is a *LimitedError if called too soon, or ctx's if ctx ended; then the
// refresh itself goes on.
func (r *Registry) Refresh(ctx context.Context) (tokenfile.Token, error) {
	r.mu.Lock()
	if !r.flying {
		now := time.Now()
		reservation := r.limiter.ReserveN(now, 1)
		if wait := reservation.DelayFrom(now); wait > 0 {
			reservation.CancelAt(now)
			r.mu.Unlock()
			r.o.Metrics.limited(r.o.Name)
			return tokenfile.Token{}, &LimitedError{RetryAfter: wait}
		}
	}
	result := r.joinLocked()
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return tokenfile.Token{}, fmt.Errorf("waiting for the refresh: %w", ctx.Err())
	case r := <-result:
		t, _ := r.Val.(tokenfile.Token)
		return t, r.Err
	}
}

// join starts a refresh, or joins the one in progress.
func (r *Registry) join() <-chan singleflight.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joinLocked()
}

// joinLocked needs mu, so that a caller who finds flying set joins that same
// flight.
func (r *Registry) joinLocked() <-chan singleflight.Result {
	r.flying = true
	return r.flight.DoChan("", func() (any, error) {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.flying = false
			r.flight.Forget("")
		}()
		return r.refresh()
	})
}
