package stock

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/time/rate"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// scrubChunk is read at a time.
const scrubChunk = 1 << 20

// A Scrub reads all files again, and removes those whose content is not that of
// their name.
type Scrub struct {
	// Rate bounds the reading, in bytes a second; 0 for as fast as possible.
	Rate int64
	// Wrong is called for each file that was wrong; nil for nothing.
	Wrong func(object.ID)
}

// ScrubForever scrubs, with a pause after each time through, until ctx ends.
func (s *Stock) ScrubForever(ctx context.Context, scrub Scrub, pause time.Duration) {
	for ctx.Err() == nil {
		start := s.o.Now()
		files, err := s.Scrub(ctx, scrub)
		if err == nil {
			s.o.Logger.Info("all files were read again", "files", files, "duration_s", int(s.o.Now().Sub(start).Seconds()))
			s.o.Metrics.scrubbed.SetToCurrentTime()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Scrub goes once through all files. It ends early only if ctx does.
func (s *Stock) Scrub(ctx context.Context, scrub Scrub) (files int, _ error) {
	limiter := rate.NewLimiter(rate.Inf, scrubChunk)
	if scrub.Rate > 0 {
		limiter.SetLimit(rate.Limit(scrub.Rate))
	}
	buffer := make([]byte, scrubChunk)
	for _, id := range s.all() {
		err := s.check(ctx, id, limiter, buffer)
		switch {
		case ctx.Err() != nil:
			return files, ctx.Err()
		case errors.Is(err, fs.ErrNotExist): // evicted meanwhile
			continue
		case errors.Is(err, errWrong):
			// gone at once: nginx serves whatever has a final name
			s.Remove(id, Wrong)
			s.o.Logger.Error("removed a file that was wrong", "what", id.String(), "error", err)
			if scrub.Wrong != nil {
				scrub.Wrong(id)
			}
		case err != nil: // too many open files, or the like, says nothing about the file
			s.o.Logger.Warn("reading a file again failed", "error", err)
		}
		files++
	}
	return files, nil
}

func (s *Stock) all() []object.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]object.ID, 0, len(s.entries))
	for id := range s.entries {
		ids = append(ids, id)
	}
	return ids
}

// check reads one file, and says what is wrong with it.
func (s *Stock) check(ctx context.Context, id object.ID, limiter *rate.Limiter, buffer []byte) (err error) {
	file, e, err := s.Open(id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := id.Digest.NewHash()
	for offset := int64(0); offset < e.Size; {
		n := min(int64(len(buffer)), e.Size-offset)
		if err := limiter.WaitN(ctx, int(n)); err != nil {
			return err
		}
		if read, err := file.ReadAt(buffer[:n], offset); int64(read) < n {
			return errors.Join(errWrong, err)
		}
		_, _ = h.Write(buffer[:n]) // never fails
		s.o.Metrics.scrubbedBytes.Add(float64(n))
		offset += n
	}
	if !id.Digest.IsSum(h) {
		return errWrong
	}
	return nil
}
