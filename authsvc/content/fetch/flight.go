package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/object"
)

// errAlone cancels a fetch that nobody waits for.
var errAlone = errors.New("nobody waits for it any more")

// A Flight is the fetch of one object, as its readers see it.
type Flight struct {
	request Request // the one that started it
	began   time.Time
	linger  time.Duration
	cancel  context.CancelFunc
	count   prometheus.Gauge // of readers

	mu      sync.Mutex
	changed chan struct{} // closed at each progress
	readers int
	alone   *time.Timer // cancels the fetch when nobody is left
	left    bool        // alone has cancelled it
	// authorization is the latest that a reader brought.
	authorization string

	file     *disk.Pending
	known    bool // size and media can be told
	size     int64
	media    object.Media
	written  int64
	verified bool
	ended    bool
	err      error // if it ended
}

// newFlight makes a flight with one reader.
func newFlight(r Request, linger time.Duration, cancel context.CancelFunc, count prometheus.Gauge) *Flight {
	f := &Flight{
		request: r, authorization: r.Authorization, began: time.Now(), linger: linger, cancel: cancel,
		readers: 1, count: count, changed: make(chan struct{}),
	}
	count.Inc()
	f.alone = time.AfterFunc(linger, f.leave)
	f.alone.Stop()
	return f
}

// leave cancels the fetch, unless somebody has joined.
func (f *Flight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers == 0 && !f.ended {
		f.left = true
		f.cancel()
	}
}

// join adds a reader. It is false if the flight has been cancelled, or has failed.
func (f *Flight) join(authorization string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left || f.ended {
		return false
	}
	f.alone.Stop()
	f.readers++
	f.count.Inc()
	f.authorization = authorization
	return true
}

// part ends a reader.
func (f *Flight) part() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	f.count.Dec()
	switch {
	case f.readers > 0:
	case f.ended:
		f.closeFile()
	default:
		f.alone.Reset(f.linger)
	}
}

// closeFile closes the file after the end of both the fetch and its readers.
func (f *Flight) closeFile() {
	if f.file != nil {
		_ = f.file.Close() // it was synced before, or is of no use
		f.file = nil
	}
}

// tell changes what readers see.
func (f *Flight) tell(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// end ends the fetch.
func (f *Flight) end(err error) {
	f.tell(func() {
		f.ended, f.err = true, err
		f.alone.Stop()
		if f.readers == 0 {
			f.closeFile()
		}
	})
}

// latest returns the latest Authorization, and whether the fetch was cancelled
// because nobody waits for it.
func (f *Flight) latest() (authorization string, left bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.authorization, f.left
}

// A Status is a fetch in figures.
type Status struct {
	Object   string  `json:"object"`
	Upstream string  `json:"upstream"`
	Path     string  `json:"path"`
	Subject  string  `json:"subject"` // who started it
	Size     int64   `json:"size"`    // 0 as long as it is not known
	Written  int64   `json:"written"`
	Readers  int     `json:"readers"`
	Seconds  float64 `json:"seconds"`
}

func (f *Flight) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Status{
		Object: f.request.ID.String(), Upstream: f.request.Upstream, Path: f.request.Path, Subject: f.request.Subject,
		Size: f.size, Written: f.written, Readers: f.readers, Seconds: time.Since(f.began).Seconds(),
	}
}
