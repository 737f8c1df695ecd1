package front

import (
	"context"
	"errors"
	"net/http"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// errSlow means that there was no first byte in time.
var errSlow = errors.New("there was no first byte in time")

// errNotReached means that a fetch has not reached a part in time.
var errNotReached = errors.New("the fetch has not reached the part in time")

// stream answers from a fetch, and leaves it. It returns how, or an error before
// the first byte.
func (f *Front) stream(ctx context.Context, w http.ResponseWriter, q question, handle *fetch.Handle) (way, error) {
	defer handle.Close()
	how := joined
	if handle.Started {
		how = started
	}
	timed, cancel := context.WithDeadlineCause(ctx, q.until, errSlow)
	defer cancel()
	if q.ranges != nil {
		timed, cancel = context.WithTimeoutCause(timed, f.o.RangeWait, errNotReached)
		defer cancel()
	}
	part, err := f.wait(timed, q, handle, w)
	unsatisfied, isUnsatisfied := errors.AsType[*origin.RangeError](err)
	switch {
	case isUnsatisfied:
		unsatisfiable(w, unsatisfied.ContentRange)
		return how, nil
	case errors.Is(err, errNotReached):
		return f.pass(ctx, w, q), nil
	case err != nil:
		return "", err
	}
	begin(w, part, q.ranges != nil)
	if q.head {
		return how, nil
	}
	if err := f.send(w, &follower{ctx, handle, part.First}, part.Length()); err != nil {
		f.breakOff(q, err)
	}
	return how, nil
}

// wait waits until an answer can begin: until there is a byte of it.
func (f *Front) wait(ctx context.Context, q question, handle *fetch.Handle, w http.ResponseWriter) (origin.Part, error) {
	size, media, err := handle.Info(ctx)
	if err != nil {
		return origin.Part{}, err
	}
	part, err := q.partOf(size)
	if err != nil {
		return part, err
	}
	if !q.head && part.Length() > 0 {
		if _, err := handle.Wait(ctx, part.First); err != nil {
			return part, err
		}
	}
	if !q.accepts(media) {
		return part, errUnwanted
	}
	describe(w.Header(), q.ID, string(media))
	return part, nil
}

// A follower reads from a fetch, as far as it has come.
type follower struct {
	ctx    context.Context //nolint:containedctx // of the request that it reads for
	handle *fetch.Handle
	offset int64
}

// Read implements io.Reader.
func (f *follower) Read(p []byte) (int, error) {
	available, err := f.handle.Wait(f.ctx, f.offset)
	if err != nil {
		return 0, err
	}
	n, err := f.handle.ReadAt(p[:min(int64(len(p)), available-f.offset)], f.offset)
	f.offset += int64(n)
	return n, err
}
