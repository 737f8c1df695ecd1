package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// describe sets the headers that each answer with an object has.
func describe(h http.Header, id object.ID, contentType string) {
	if id.Kind == object.Blob {
		contentType = object.OctetStream
	}
	h.Set("Content-Type", contentType)
	h.Set("Docker-Content-Digest", id.Digest.String())
	h.Set("ETag", `"`+id.Digest.String()+`"`)
	h.Set("Accept-Ranges", "bytes")
}

// begin writes the header of an answer with the whole object, or with a part.
func begin(w http.ResponseWriter, part origin.Part, isPart bool) {
	w.Header().Set("Content-Length", strconv.FormatInt(part.Length(), 10))
	if !isPart {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Range", "bytes "+strconv.FormatInt(part.First, 10)+"-"+strconv.FormatInt(part.Last, 10)+"/"+strconv.FormatInt(part.Size, 10))
	w.WriteHeader(http.StatusPartialContent)
}

// unsatisfiable answers that there is no such part.
func unsatisfiable(w http.ResponseWriter, contentRange string) {
	h := w.Header()
	h.Del("Content-Type")
	h.Set("Content-Range", contentRange)
	empty(w, http.StatusRequestedRangeNotSatisfiable)
}

// partOf is the part of an object of a size that a question asks for.
func (q question) partOf(size int64) (origin.Part, error) {
	if q.ranges == nil {
		return origin.Part{Last: size - 1, Size: size}, nil
	}
	part, ok := q.ranges.of(size)
	if !ok {
		return part, &origin.RangeError{ContentRange: "bytes */" + strconv.FormatInt(size, 10)}
	}
	return part, nil
}

// serveFile serves an object that is there. It says how; empty if it was not there.
func (f *Front) serveFile(w http.ResponseWriter, q question) way {
	file, entry, err := f.o.Stock.Open(q.ID)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.o.Logger.Error("opening a file failed", "what", q.ID.String(), "error", err)
		}
		return ""
	}
	defer func() { _ = file.Close() }() // it was only read
	if !q.accepts(entry.Media) {
		return f.decline(w, q, errUnwanted)
	}
	f.o.Stock.Used(q.ID.Digest)
	part, err := q.partOf(entry.Size)
	if refusal, ok := errors.AsType[*origin.RangeError](err); ok {
		unsatisfiable(w, refusal.ContentRange)
		return fromFile
	}
	describe(w.Header(), q.ID, string(entry.Media))
	begin(w, part, q.ranges != nil)
	if q.head {
		return fromFile
	}
	if err := f.send(w, io.NewSectionReader(file, part.First, part.Length()), part.Length()); err != nil {
		f.breakOff(q, err)
	}
	return fromFile
}

// buffers are what an answer holds of a body.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// send passes n bytes on as they come.
func (f *Front) send(w http.ResponseWriter, from io.Reader, n int64) error {
	control := http.NewResponseController(w)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // the connection is used again
	buffer := buffers.Get().(*[64 << 10]byte)                    //nolint:errcheck,forcetypeassert // the pool has nothing else
	defer buffers.Put(buffer)
	for n > 0 {
		read, err := from.Read(buffer[:min(n, int64(len(buffer)))])
		if read > 0 {
			if err := f.write(w, control, buffer[:read]); err != nil {
				return err
			}
		}
		if n -= int64(read); err != nil && n > 0 {
			return fmt.Errorf("%d bytes before its end: %w", n, err)
		}
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
