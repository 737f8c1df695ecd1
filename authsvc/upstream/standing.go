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
	failures int       // since from
	from     time.Time // when failures were first counted
	until    time.Time // down: when it is asked; trial: when it is believed
	pause    time.Duration
	asking   bool
	tried    time.Time
}

func (s *standing) down() bool { return state(s.state.Load()) != serving }

// Admits says whether a request should go to the registry rather than to its
// stand-by.
func (u *Upstream) Admits() bool {
	return state(u.standing.state.Load()) == serving || u.move(time.Now())
}

// move moves the standing on with time, and says whether a request should go to the
// registry now.
func (u *Upstream) move(now time.Time) bool {
	s := &u.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state(s.state.Load()) {
	case down:
		if now.Before(s.until) || s.asking {
			return false
		}
		s.asking = true
		go u.askAgain()
		return false
	case trial:
		if now.Before(s.until) {
			if now.Sub(s.tried) < trialEvery {
				return false
			}
			s.tried = now
			return true
		}
		s.failures, s.pause = 0, 0
		s.state.Store(int32(serving))
		u.logger.Info("the registry serves again")
	}
	return true
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
	now := time.Now()
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
		return false
	}
	status, err := u.ping(ctx, token)
	return err == nil && status < http.StatusInternalServerError
}

func (s *standing) nextPause() time.Duration {
	s.pause = min(max(firstPause, 2*s.pause), maxPause)
	return s.pause
}

// failed counts a failure that nginx has seen.
func (u *Upstream) failed(status string, now time.Time) {
	u.noteFailure(status)
	s := &u.standing
	if !u.hasStandby {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state(s.state.Load()) {
	case serving:
		if now.Sub(s.from) > failWindow {
			s.from, s.failures = now, 0
		}
		if s.failures++; s.failures < maxFailures {
			return
		}
		u.logger.Warn("the registry fails; its stand-by serves what is known", "status", status)
	case down:
		return // it was asked before
	}
	s.state.Store(int32(down))
	s.until = now.Add(s.nextPause())
}
