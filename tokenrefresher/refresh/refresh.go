// Package refresh keeps the token of a registry fresh. It fetches a new one (from
// package ecr or basic), tests it (package probe), stores it (package tokenfile),
// and sleeps. After a failure it backs off, and leaves the last good token in place
// until it expires.
//
// Where to read on: attempt.go is one refresh, schedule.go says when the next is
// due, force.go is a refresh on request, file.go keeps the file as it should be.
package refresh

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A Source fetches a registry's token.
type Source interface {
	// Fetch returns a new token, with FetchedAt not set. If its error has a
	// method Detail() string, the detail is logged and shown nowhere else.
	Fetch(context.Context) (tokenfile.Token, error)
	// Owns says whether a token found in the file can be from Fetch: for this
	// registry, and not from before a change of the configuration.
	Owns(tokenfile.Token) bool
}

// A Prober tests a token at its registry. Its error wraps probe.ErrRejected if the
// registry refuses the token; after any other error the token may still be good.
type Prober interface {
	Try(context.Context, tokenfile.Token) error
}

// Options configure a Registry.
type Options struct {
	// Name is the registry's in logs, metrics and requests.
	Name string
	// File is where the token is stored; Group the file's group, empty for
	// the process's own.
	File, Group string
	Source      Source
	// Prober tests new tokens; nil to store them untested.
	Prober   Prober
	Schedule Schedule
	// Timeout bounds one refresh.
	Timeout time.Duration
	// ForcedEvery is the minimum time between two requested refreshes.
	ForcedEvery time.Duration
	// Random returns a number from [0, 1).
	Random  func() float64
	Logger  *slog.Logger
	Metrics *Metrics
}

// look is how often the file is checked between refreshes. It also bounds how late
// a refresh is after the machine slept or its clock was set, which a process's
// timers do not notice.
const look = 15 * time.Second

// A Registry is a registry whose token is kept fresh. It is safe for concurrent
// use.
type Registry struct {
	o       Options
	limiter *rate.Limiter
	// life ends when Run does, and ends the requested refreshes with it.
	life context.Context
	end  context.CancelFunc
	wake chan struct{}

	// storing is held while the file and current are brought into line.
	storing sync.Mutex
	// problem is the last problem with restoring the file; it is logged once.
	problem string

	flight singleflight.Group
	mu     sync.Mutex // guards what follows
	flying bool
	// current is the last good token, zero if there never was one.
	current  tokenfile.Token
	due      time.Time
	failures int   // in a row
	failure  error // the last attempt's, nil if it succeeded
}

// New makes a Registry. It does nothing until Run, Once, Refresh or Newer.
func New(o Options) *Registry {
	life, end := context.WithCancel(context.Background())
	o.Logger = o.Logger.With("registry", o.Name)
	r := &Registry{
		o: o, limiter: rate.NewLimiter(rate.Every(o.ForcedEvery), 1),
		life: life, end: end, wake: make(chan struct{}, 1),
	}
	o.Metrics.watch(r)
	return r
}

// Name returns the registry's name.
func (r *Registry) Name() string { return r.o.Name }

// Run keeps the token fresh until ctx ends. It starts with the token in the file,
// and fetches no new one while that is fresh enough, so that restarts do not cause
// a storm of requests.
func (r *Registry) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, r.end)()
	r.tidy()
	if r.takeOver() {
		r.reconcile()
	}
	for ctx.Err() == nil {
		wait := time.Until(r.dueAt())
		if wait <= 0 {
			<-r.join()
			select {
			case <-r.wake: // by this very refresh
			default:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-time.After(min(wait, look)):
			r.reconcile()
		}
	}
	r.settle()
}

// Once fetches, tests and stores one token, in at most the given number of
// attempts. Its error is the last attempt's.
func (r *Registry) Once(ctx context.Context, attempts int) error {
	defer context.AfterFunc(ctx, r.end)()
	r.tidy()
	r.takeOver()
	for {
		result := <-r.join()
		if attempts--; result.Err == nil || attempts <= 0 {
			return result.Err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(r.dueAt())):
		}
	}
}

// settle waits for a refresh in progress, which ends at once when life ends.
func (r *Registry) settle() {
	r.end()
	r.mu.Lock()
	flying := r.flying
	r.mu.Unlock()
	if flying {
		<-r.join()
	}
}

// Status is the state of a registry's token.
type Status struct {
	Name string
	// Token is the token in the file, zero if none can be read.
	Token tokenfile.Token
	// Unusable is why customers cannot be served from the file, nil if they can.
	Unusable error
	// Failure is the last attempt's, nil if it succeeded.
	Failure error
}

// Status reads the file, as authsvc does, and returns the current state.
func (r *Registry) Status() Status {
	t, err := r.stored()
	r.mu.Lock()
	defer r.mu.Unlock()
	return Status{Name: r.o.Name, Token: t, Unusable: err, Failure: r.failure}
}

// next is when the token that follows t is due.
func (r *Registry) next(t tokenfile.Token) time.Time {
	return r.bounded(r.o.Schedule.Next(t, r.o.Random()))
}

// bounded returns due, or one interval from now if that is earlier: a clock that
// was wrong when a token was fetched cannot delay a refresh further.
func (r *Registry) bounded(due time.Time) time.Time {
	s := r.o.Schedule
	if latest := time.Now().Round(0).Add(max(s.Interval, s.BackoffInitial, s.BackoffMax)); due.After(latest) {
		return latest
	}
	return due
}

// dueAt is when the next refresh is due. It is bounded again each time, since
// the clock may have been set back.
func (r *Registry) dueAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = r.bounded(r.due)
	return r.due
}

func (r *Registry) token() tokenfile.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}
