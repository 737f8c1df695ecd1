package upstream

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// So many failures within failWindow, and requests go to the stand-by.
	maxFailures = 5
	failWindow  = 10 * time.Second
	// firstPause is how long the registry is not asked then. It doubles with each
	// failure that follows, up to maxPause.
	firstPause = 5 * time.Second
	maxPause   = time.Minute
	// When it answers a ping again, it gets a request each trialEvery, and all of
	// them when it has not failed for trialFor.
	trialEvery = time.Second
	trialFor   = 10 * time.Second
	pingFor    = 5 * time.Second
)

// A state says who is asked first.
type state int32

const (
	serving state = iota // the registry
	down                 // its stand-by
	trial                // its stand-by, and now and then the registry
)

// A standing is a registry's that has a stand-by. nginx tells of failures, and of
// nothing else, so a registry is believed to serve when it answers authsvc's own ping
// and customers' requests have not failed for a while.
type standing struct {
	state atomic.Int32

	mu       sync.Mutex
	failures [maxFailures]time.Time // the last ones while it served
	oldest   int                    // index in failures
	until    time.Time              // down: when it is asked; trial: when it is believed
	pause    time.Duration
	asking   bool
	tried    time.Time
}

func (s *standing) is(is state) bool { return state(s.state.Load()) == is }

// Admits says whether a request should go to the registry rather than to its
// stand-by. A registry on trial admits one now and then, and this was its turn.
func (u *Upstream) Admits() bool {
	s := &u.standing
	if s.is(serving) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := u.now()
	switch u.move(now) {
	case down:
		return false
	case trial:
		if now.Sub(s.tried) < trialEvery {
			return false
		}
		s.tried = now
	}
	return true
}

// Serves is Admits for who only looks. It moves the standing on too, or a registry that
// nobody asks for would stay down.
func (u *Upstream) Serves() bool {
	s := &u.standing
	if s.is(serving) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return u.move(u.now()) == serving
}

// move moves the standing on with time. It needs standing.mu.
func (u *Upstream) move(now time.Time) state {
	s := &u.standing
	switch {
	case now.Before(s.until), s.is(serving):
	case s.is(trial):
		s.pause = 0 // the failures are older than failWindow
		s.state.Store(int32(serving))
		u.logger.Info("the registry serves again")
	case !s.asking: // it is down
		s.asking = true
		go u.askAgain()
	}
	return state(s.state.Load())
}

// askAgain pings a registry that is down.
func (u *Upstream) askAgain() {
	ctx, cancel := context.WithTimeout(context.Background(), pingFor)
	defer cancel()
	alive := u.answers(ctx)
	s := &u.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
	now := u.now()
	if !alive {
		s.until = now.Add(s.nextPause())
		return
	}
	s.state.Store(int32(trial))
	s.until, s.tried = now.Add(trialFor), time.Time{}
}

// answers says whether the registry answers at all.
func (u *Upstream) answers(ctx context.Context) bool {
	token, err := u.Current()
	if err != nil || u.transport == nil {
		return err == nil
	}
	status, err := Ping(ctx, u.transport, token)
	return err == nil && status < http.StatusInternalServerError
}

func (s *standing) nextPause() time.Duration {
	s.pause = min(max(firstPause, 2*s.pause), maxPause)
	return s.pause
}

// noteFailed notes a failure while it serves, and says whether there were too many.
func (s *standing) noteFailed(now time.Time) bool {
	s.failures[s.oldest] = now
	s.oldest = (s.oldest + 1) % maxFailures
	first := s.failures[s.oldest]
	return !first.IsZero() && now.Sub(first) <= failWindow
}

// failed counts a failure that nginx has seen.
func (u *Upstream) failed(status string) {
	status = u.noteFailure(status)
	if !u.hasStandby {
		return
	}
	s := &u.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	now := u.now()
	switch u.move(now) {
	case serving:
		if !s.noteFailed(now) {
			return
		}
		u.logger.Warn("the registry fails; its stand-by serves what is known", "status", status)
	case down:
		return // it was asked before
	}
	s.state.Store(int32(down))
	s.until = now.Add(s.nextPause())
}
