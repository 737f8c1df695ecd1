package refresh

import (
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A Schedule says when the next refresh is due.
type Schedule struct {
	// Interval is the time from one refresh to the next.
	Interval time.Duration
	// Margin is how long before a token expires the next is fetched, if that
	// is earlier than Interval says. A token that lives for less than twice
	// Margin is replaced in the middle of its life.
	Margin time.Duration
	// Jitter is by how much a refresh is earlier at random, so that a fleet
	// does not ask at one moment; a quarter of the wait at most.
	Jitter time.Duration
	// BackoffInitial is the wait after a failure, doubled with each further
	// one up to BackoffMax, of which up to a half is taken off at random.
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
	// A token that is hardly alive must not make us ask without a pause.
	return t.FetchedAt.Add(max(wait, s.BackoffInitial))
}

// Backoff returns the wait after failures in a row, of which there is at least
// one. Random is from [0, 1).
func (s Schedule) Backoff(failures int, random float64) time.Duration {
	wait := s.BackoffInitial
	for ; failures > 1 && wait < s.BackoffMax; failures-- {
		wait *= 2
	}
	wait = min(wait, s.BackoffMax)
	return wait - time.Duration(random*float64(wait/2))
}
