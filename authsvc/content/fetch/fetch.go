// Package fetch brings objects into the store. Many who want the same object share
// one Flight (flight.go): it downloads (download.go), and each reads what is there
// already, at its own speed (handle.go). How many there are, in total and for each
// customer, is bounded (bounds.go).
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

// Limits bound fetches.
type Limits struct {
	// Total bounds the fetches at a time, PerCustomer those of one customer.
	Total, PerCustomer int
	// MaxBlob and MaxManifest bound the size of an object.
	MaxBlob, MaxManifest int64
	// Linger is how long a fetch goes on when nobody waits for it any more.
	Linger time.Duration
	// MaxTime bounds a fetch.
	MaxTime time.Duration
	// Backoff is the wait before a fetch that broke off is resumed, doubled with
	// each attempt that brings nothing.
	Backoff time.Duration
}

// Options are what a Fetcher needs.
type Options struct {
	Origin  *origin.Client
	Stock   *stock.Stock
	Folder  *disk.Folder
	Limits  Limits
	Logger  *slog.Logger
	Metrics *Metrics
}

// A Request is what to fetch, and for whom.
type Request struct {
	origin.Request
	// Subject is the customer who is charged with the fetch.
	Subject string
	// RequestID is nginx's.
	RequestID string
}

// Errors of Join.
var (
	// ErrStored means that the object has just been stored.
	ErrStored = errors.New("the object is in the store")
	// ErrNone means that there is no fetch to join.
	ErrNone = errors.New("the object is not being fetched")
	// ErrResting means that a fetch has just failed.
	ErrResting = errors.New("fetching the object has just failed")
)

// A Fetcher has the fetches in progress.
type Fetcher struct {
	o      Options
	ctx    context.Context // of all fetches
	cancel context.CancelFunc
	wait   sync.WaitGroup
	bounds bounds

	mu      sync.Mutex
	flights map[object.ID]*Flight
	resting map[object.ID]time.Time // until when
}

// New makes a Fetcher. Close ends it.
func New(o Options) *Fetcher {
	ctx, cancel := context.WithCancel(context.Background())
	return &Fetcher{
		o: o, ctx: ctx, cancel: cancel, bounds: bounds{limits: o.Limits, customers: map[string]int{}},
		flights: map[object.ID]*Flight{}, resting: map[object.ID]time.Time{},
	}
}

// Close cancels all fetches, and waits for their end.
func (f *Fetcher) Close() {
	f.cancel()
	f.wait.Wait()
}

// Join joins the fetch of an object. If there is none, it starts one, provided that
// start is true. Close the handle.
func (f *Fetcher) Join(r Request, start bool) (*Handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight := f.flights[r.ID]; flight != nil && flight.join(r.Authorization) {
		return &Handle{flight: flight}, nil
	}
	switch {
	case f.o.Stock.Has(r.ID):
		return nil, ErrStored
	case !start:
		return nil, ErrNone
	case f.isResting(r.ID):
		return nil, ErrResting
	case !f.o.Origin.Knows(r.Upstream):
		return nil, origin.ErrUpstream
	}
	release, err := f.bounds.enter(r.Subject)
	if err != nil {
		return nil, err
	}
	return &Handle{flight: f.start(r, release), Started: true}, nil
}

// Enter counts something else that asks a registry for a customer, until release.
func (f *Fetcher) Enter(subject string) (release func(), _ error) { return f.bounds.enter(subject) }

// start starts a flight, with one reader. mu is locked.
func (f *Fetcher) start(r Request, release func()) *Flight {
	ctx, cancel := context.WithTimeoutCause(f.ctx, f.o.Limits.MaxTime, fmt.Errorf("it takes longer than %v", f.o.Limits.MaxTime))
	flight := newFlight(r, f.o.Limits.Linger, cancel, f.o.Metrics.readers)
	f.flights[r.ID] = flight
	f.o.Metrics.flights.Inc()
	f.wait.Go(func() {
		defer release()
		defer f.o.Metrics.flights.Dec()
		defer cancel()
		d := &download{fetcher: f, flight: flight, request: r, source: f.o.Origin.Source(r.Request)}
		err := d.run(ctx)
		f.end(r.ID, flight, err)
		d.report(err)
	})
	return flight
}

// end removes a flight. What has failed rests for a while, so that everybody who
// asks goes the plain way at once.
func (f *Fetcher) end(id object.ID, flight *Flight, err error) {
	f.mu.Lock()
	delete(f.flights, id)
	if rest := restAfter(err); rest > 0 && len(f.resting) < maxResting {
		f.resting[id] = time.Now().Add(rest)
	}
	f.mu.Unlock()
	flight.end(err)
}

// maxResting bounds the objects that rest.
const maxResting = 10_000

// restAfter is how long an object rests after an error.
func restAfter(err error) time.Duration {
	_, answered := errors.AsType[*origin.StatusError](err)
	switch {
	case err == nil, answered, errors.Is(err, errAlone):
		return 0
	case errors.Is(err, errWrong):
		return time.Minute
	}
	return 5 * time.Second
}

// isResting says whether an object rests. mu is locked.
func (f *Fetcher) isResting(id object.ID) bool {
	until, ok := f.resting[id]
	if ok && time.Now().Before(until) {
		return true
	}
	delete(f.resting, id)
	if len(f.resting) == maxResting { // make room for those to come
		for other, until := range f.resting {
			if time.Now().After(until) {
				delete(f.resting, other)
			}
		}
	}
	return false
}

// Status describes the fetches in progress, the oldest first.
func (f *Fetcher) Status() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Status, 0, len(f.flights))
	for _, flight := range f.flights {
		all = append(all, flight.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return all
}
