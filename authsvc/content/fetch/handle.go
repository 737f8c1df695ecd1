package fetch

import (
	"context"
	"errors"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// A Handle is one reader's view of a fetch. It is not safe for concurrent use.
type Handle struct {
	flight *Flight
	// Started says that this reader's request started the fetch.
	Started bool
}

// Close leaves the fetch, which goes on for others.
func (h *Handle) Close() { h.flight.part() }

// Info waits until size and media type are known.
func (h *Handle) Info(ctx context.Context) (size int64, media object.Media, _ error) {
	f := h.flight
	err := h.wait(ctx, func() bool {
		size, media = f.size, f.media
		return f.known
	})
	return size, media, err
}

// Wait waits until there is more than offset bytes, and returns how many there
// are. The last byte is there only when all have been verified.
func (h *Handle) Wait(ctx context.Context, offset int64) (available int64, _ error) {
	f := h.flight
	err := h.wait(ctx, func() bool {
		available = f.written
		if !f.verified {
			available = min(available, f.size-1)
		}
		return available > offset
	})
	return available, err
}

// ReadAt reads what Wait says is there. It reads that whole, or fails.
func (h *Handle) ReadAt(p []byte, offset int64) (int, error) {
	return h.flight.file.ReadAt(p, offset) // the file stays open until Close
}

// wait waits until done is true. What can be read still can be when the fetch has
// failed.
func (h *Handle) wait(ctx context.Context, done func() bool) error {
	f := h.flight
	for {
		f.mu.Lock()
		ready, ended, err, changed := done(), f.ended, f.err, f.changed
		f.mu.Unlock()
		switch {
		case ready:
			return nil
		case ended:
			return errors.Join(err, errEnded)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errEnded means that the fetch has ended before there was what a reader waits for.
var errEnded = errors.New("the fetch has ended")
