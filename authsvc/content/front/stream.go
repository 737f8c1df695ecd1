package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// errSlow means that there was no first byte in time.
var errSlow = errors.New("there was no first byte in time")

// errNotReached means that a fetch has not reached a part in time.
var errNotReached = errors.New("the fetch has not reached the part in time")

// buffers are what an answer holds of a body.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// stream answers from a fetch, and leaves it. It returns how, or an error before
// the first byte.
func (f *Front) stream(ctx context.Context, w http.ResponseWriter, q question, handle *fetch.Handle) (way, error) {
	defer handle.Close()
	how := joined
	if handle.Started {
		how = started
	}
	timed, cancel := context.WithTimeoutCause(ctx, f.o.FirstByte, errSlow)
	defer cancel()
	if q.ranges != nil && !q.head {
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
	if err := f.copy(ctx, w, handle, part); err != nil {
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
	part := origin.Part{First: 0, Last: size - 1, Size: size}
	if q.ranges != nil {
		var ok bool
		if part, ok = q.ranges.of(size); !ok {
			return part, &origin.RangeError{ContentRange: "bytes */" + strconv.FormatInt(size, 10)}
		}
	}
	if !q.head && part.Length() > 0 {
		if _, err := handle.Wait(ctx, part.First); err != nil {
			return part, err
		}
	}
	describe(w.Header(), q.ID, string(media))
	return part, nil
}

// copy copies a part as it comes.
func (f *Front) copy(ctx context.Context, w http.ResponseWriter, handle *fetch.Handle, part origin.Part) error {
	control := http.NewResponseController(w)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // the connection is used again
	buffer := buffers.Get().(*[64 << 10]byte)                    //nolint:errcheck,forcetypeassert // the pool has nothing else
	defer buffers.Put(buffer)
	for offset := part.First; offset <= part.Last; {
		available, err := handle.Wait(ctx, offset)
		if err != nil {
			return err
		}
		n := min(int64(len(buffer)), part.Last+1-offset, available-offset)
		if read, err := handle.ReadAt(buffer[:n], offset); int64(read) < n {
			return fmt.Errorf("reading what was written: %w", err)
		}
		if err := f.write(w, control, buffer[:n]); err != nil {
			return err
		}
		offset += n
	}
	return nil
}

// write passes bytes on to nginx at once.
func (f *Front) write(w http.ResponseWriter, control *http.ResponseController, p []byte) error {
	if err := control.SetWriteDeadline(time.Now().Add(f.o.WriteTime)); err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return err
	}
	return control.Flush()
}

// breakOff breaks the connection off: the client must not take what it has for the
// whole.
func (f *Front) breakOff(q question, err error) {
	if !errors.Is(err, context.Canceled) { // by nginx, whose client has left
		f.o.Logger.Error("broke an answer off", "request_id", q.RequestID, "object", q.ID.String(), "error", err)
	}
	f.count(broken)
	panic(http.ErrAbortHandler)
}
