package content_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/pki"
)

// token is the Authorization that the registry accepts.
const token = "Basic QVdTOnRva2Vu"

// A remote is a strict registry with the storage behind it: it redirects to URLs
// that are signed for GET, for a time, and once an Authorization comes along it
// refuses. Each has its own TLS server.
type remote struct {
	t                 *testing.T
	registry, storage *httptest.Server
	authority         *pki.Authority

	mu      sync.Mutex
	objects map[string]thing // by path
	asked   map[string]int   // by "registry GET /v2/…", "storage GET /v2/…"
	ranges  []string         // that the storage was asked for
	// location, if set, replaces the Location of a redirect.
	location func(signed string) string
	// status, if set, is the registry's answer to a path; 0 for the usual one.
	status func(path string) int
	// fault, if set, changes the nth answer of the storage with a path.
	fault func(path string, n int) fault
}

type thing struct {
	body  []byte
	media string // of a manifest, which the registry answers itself
}

// A fault is what is wrong with an answer. The zero value is right.
type fault struct {
	status int
	body   []byte // instead of the object's
	// cut breaks the connection off after so many bytes of the answer; 0 for not.
	cut int64
	// pause waits for the channel after so many bytes of the answer.
	pause int64
	until <-chan struct{}
	// noLength leaves Content-Length out, whole ignores Range.
	noLength, whole bool
	encoding        string
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	authority, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{t: t, authority: authority, objects: map[string]thing{}, asked: map[string]int{}}
	r.registry = r.serve("registry", r.serveRegistry)
	r.storage = r.serve("storage", r.serveStorage)
	return r
}

func (r *remote) serve(name string, handler http.HandlerFunc) *httptest.Server {
	certificate, err := r.authority.Issue(name, "127.0.0.1")
	if err != nil {
		r.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.Config.ErrorLog = silent
	s.StartTLS()
	r.t.Cleanup(s.Close)
	return s
}

// host is HOST:PORT of a server.
func host(s *httptest.Server) string { return s.Listener.Addr().String() }

func (r *remote) put(path string, o thing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[path] = o
}

// count notes a request, and returns how many like it there were before.
func (r *remote) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[what]++
	return r.asked[what] - 1
}

// requests are those so far that begin with what.
func (r *remote) requests(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for key, count := range r.asked {
		if strings.HasPrefix(key, what) {
			n += count
		}
	}
	return n
}

func (r *remote) serveRegistry(w http.ResponseWriter, q *http.Request) {
	r.count("registry " + q.Method + " " + q.URL.Path)
	r.mu.Lock()
	o, found := r.objects[q.URL.Path]
	status, location := r.status, r.location
	r.mu.Unlock()
	if status != nil {
		if n := status(q.URL.Path); n != 0 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(n)
			return
		}
	}
	switch {
	case q.Header.Get("Authorization") != token:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "arn:aws:sts::123456789012:assumed-role/secret")
	case !found:
		w.WriteHeader(http.StatusNotFound)
	case o.media != "":
		if !strings.Contains(q.Header.Get("Accept"), "application/vnd.oci.image.index.v1+json") {
			r.t.Errorf("a manifest was asked for with Accept %q", q.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", o.media)
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
		_, _ = w.Write(o.body)
	default:
		to := fmt.Sprintf("https://%s%s?signed=%s&expires=%d", host(r.storage), q.URL.Path, http.MethodGet, time.Now().Add(time.Hour).UnixNano())
		if location != nil {
			to = location(to)
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

func (r *remote) serveStorage(w http.ResponseWriter, q *http.Request) {
	n := r.count("storage " + q.Method + " " + q.URL.Path)
	r.mu.Lock()
	o := r.objects[q.URL.Path]
	f := fault{}
	if r.fault != nil {
		f = r.fault(q.URL.Path, n)
	}
	r.ranges = append(r.ranges, q.Header.Get("Range"))
	r.mu.Unlock()
	if q.Header.Get("Authorization") != "" {
		r.t.Error("the storage got an Authorization")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if !signatureHolds(q) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	f.answer(w, q, o.body)
}

func signatureHolds(q *http.Request) bool {
	values, err := url.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return false
	}
	expires, err := strconv.ParseInt(values.Get("expires"), 10, 64)
	return err == nil && values.Get("signed") == q.Method && time.Now().UnixNano() < expires
}

// answer answers with a body, and with what is wrong.
func (f fault) answer(w http.ResponseWriter, q *http.Request, body []byte) {
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	if f.body != nil {
		body = f.body
	}
	h := w.Header()
	if f.encoding != "" {
		h.Set("Content-Encoding", f.encoding)
	}
	part, status := body, http.StatusOK
	if ranges := q.Header.Get("Range"); ranges != "" && !f.whole {
		first, last, ok := byteRange(ranges, len(body))
		if !ok {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(body)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
		part, status = body[first:last+1], http.StatusPartialContent
	}
	if !f.noLength {
		h.Set("Content-Length", strconv.Itoa(len(part)))
	}
	w.WriteHeader(status)
	f.send(w, part)
}

func (f fault) send(w http.ResponseWriter, part []byte) {
	flush := func() { _ = http.NewResponseController(w).Flush() }
	if f.until != nil {
		n := min(f.pause, int64(len(part)))
		_, _ = w.Write(part[:n])
		flush()
		<-f.until
		part = part[n:]
	}
	if f.cut > 0 && f.cut < int64(len(part)) {
		_, _ = w.Write(part[:f.cut])
		flush()
		panic(http.ErrAbortHandler)
	}
	if f.noLength {
		flush() // or the server would know the length
	}
	_, _ = io.Copy(w, bytes.NewReader(part))
}

// byteRange reads a header Range as the storage does.
func byteRange(ranges string, size int) (first, last int, ok bool) {
	text, _ := strings.CutPrefix(ranges, "bytes=")
	from, to, _ := strings.Cut(text, "-")
	last = size - 1
	if from == "" {
		n, err := strconv.Atoi(to)
		return max(0, size-n), last, err == nil && n > 0
	}
	first, err := strconv.Atoi(from)
	if err != nil || first >= size {
		return 0, 0, false
	}
	if n, err := strconv.Atoi(to); err == nil {
		last = min(n, last)
	}
	return first, last, first <= last
}
