package front

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
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

// serveFile serves an object that is there. It says whether it was.
func (f *Front) serveFile(w http.ResponseWriter, r *http.Request, q question) bool {
	file, entry, err := f.o.Stock.Open(q.ID)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.o.Logger.Error("opening a file failed", "what", q.ID.String(), "error", err)
		}
		return false
	}
	defer func() { _ = file.Close() }() // it was only read
	describe(w.Header(), q.ID, string(entry.Media))
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(file, 0, entry.Size))
	f.o.Stock.Used(q.ID.Digest)
	return true
}
