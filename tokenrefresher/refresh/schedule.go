package refresh

import (
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A Schedule says when the next refresh is due.
type Schedule struct {
	// Interval is the time between refreshes.
	Interval time.Duration
	// Margin is how long before its expiry a token is replaced, if that is
	// earlier than Interval says. A token that lives for less than twice Margin
	// is replaced halfway through its life.
	Margin time.Duration
	// Jitter is the maximum random time by which a refresh is made earlier, so
	// that a fleet does not refresh all at once; at most a quarter of the wait.
	Jitter time.Duration
	// BackoffInitial is the wait after a failure, doubled with each further one
	// up to BackoffMax. Up to half of it is taken off at random.
	BackoffInitial, BackoffMax time.Duration
}

// Next returns when the token that follows t is due. Random is from [0, 1).
func (s Schedule) Next(t tokenfile.Token, random float64) time.Time {
	wait := s.Interval
	if !t.ExpiresAt.IsZero() {
		life := t.ExpiresAt.Sub(t.FetchedAt)
		wait = min(wait, max(life-s.Margin, life/2))
	}
	wait -= time.Duration(random * float64(min(s.Jitter, wait/4)))
	// A token that expires very soon must not cause refreshes without a pause.
	return t.FetchedAt.Add(max(wait, s.BackoffInitial))
}

// Backoff returns the wait after one or more consecutive failures. Random is from
// [0, 1).
func (s Schedule) Backoff(failures int, random float64) time.Duration {
	wait := s.BackoffInitial
	for ; failures > 1 && wait < s.BackoffMax; failures-- {
		wait *= 2
	}
	wait = min(wait, s.BackoffMax)
	return wait - time.Duration(random*float64(wait/2))
}
