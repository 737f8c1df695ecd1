// Package front answers nginx, for objects that nginx has not found as files.
// question.go has the contract's headers. An object that is there after all is
// served from its file (answer.go); one that is not is fetched, and streamed
// meanwhile (stream.go); what is not worth a fetch is passed through (pass.go).
//
// Whatever fails before the first byte is answered with a status that nginx turns
// into the plain way, and after it by breaking the connection off.
package front

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

// Options are what a Front needs.
type Options struct {
	Stock   *stock.Stock
	Fetcher *fetch.Fetcher
	Origin  *origin.Client
	// MaxRequests bounds the requests at a time.
	MaxRequests int
	// FirstByte bounds the wait for the first byte. nginx's own must be longer.
	FirstByte time.Duration
	// RangeWait is how long a request for a part waits for the fetch to reach it.
	RangeWait time.Duration
	// WriteTime bounds the wait for nginx to take more.
	WriteTime time.Duration
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

// A Front is the handler of nginx's requests.
type Front struct {
	o        Options
	requests *prometheus.CounterVec
	room     chan struct{} // has an element for each request
}

// A way is how a request was answered.
type way string

const (
	fromFile  way = "file"     // it was there after all
	started   way = "fetch"    // started a fetch
	joined    way = "join"     // joined one
	passed    way = "pass"     // passed through, nothing is kept
	refused   way = "refused"  // by the registry
	declined  way = "declined" // the plain way, before the first byte
	broken    way = "broken"   // broken off, after the first byte
	absent    way = "absent"   // not a file, and nginx asked for one alone
	unwanted  way = "unwanted" // a media type that the client does not accept
	malformed way = "malformed"
)

var ways = []way{fromFile, started, joined, passed, refused, declined, broken, absent, unwanted, malformed}

// New makes a Front.
func New(o Options) *Front {
	f := &Front{o: o, room: make(chan struct{}, o.MaxRequests), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_content_requests_total",
		Help: "Requests from nginx, by how they were answered: file; fetch (started one) and join; pass (through, nothing is kept); refused (by the registry); declined (nginx goes the plain way); broken (off, after the first byte); absent (not a file, and nginx asked for one alone); unwanted (the client does not accept the manifest's media type, and goes the plain way); malformed (nginx's configuration is wrong).",
	}, []string{"way"})}
	o.Metrics.MustRegister(f.requests)
	for _, w := range ways {
		f.requests.WithLabelValues(string(w))
	}
	return f
}

// errUnwanted means that the client does not accept the media type.
var errUnwanted = errors.New("the client does not accept the media type")

// errCrowded means that there are too many requests.
var errCrowded = errors.New("there are too many requests at a time")

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := parse(r)
	if err != nil {
		f.o.Logger.Error("nginx's request does not follow the contract", "error", err)
		f.count(malformed)
		empty(w, http.StatusBadRequest)
		return
	}
	q.until = time.Now().Add(f.o.FirstByte)
	select {
	case f.room <- struct{}{}:
		defer func() { <-f.room }()
		f.count(f.answer(r.Context(), w, q))
	default:
		f.count(f.decline(w, q, errCrowded))
	}
}

func (f *Front) count(how way) { f.requests.WithLabelValues(string(how)).Inc() }

// answer answers a question. A fetch that somebody else has started may have
// failed for a reason that is theirs alone, such as another repository.
func (f *Front) answer(ctx context.Context, w http.ResponseWriter, q question) way {
	for range 3 {
		if how := f.serveFile(w, q); how != "" {
			return how
		}
		if q.kept() {
			empty(w, http.StatusServiceUnavailable)
			return absent
		}
		handle, err := f.o.Fetcher.Join(q.Request, q.ranges.starts() && !q.head)
		switch {
		case errors.Is(err, fetch.ErrStored):
			continue
		case errors.Is(err, fetch.ErrNone):
			return f.pass(ctx, w, q)
		case err != nil:
			return f.decline(w, q, err)
		}
		how, err := f.stream(ctx, w, q, handle)
		if how != "" {
			return how
		}
		if refusal, ok := errors.AsType[*origin.StatusError](err); !ok || handle.Started {
			return f.decline(w, q, err)
		} else if ctx.Err() != nil {
			return f.decline(w, q, refusal)
		}
	}
	return f.decline(w, q, fs.ErrNotExist)
}

// decline answers before the first byte. What the registry says about the token or
// the object is passed on; for everything else nginx goes the plain way.
func (f *Front) decline(w http.ResponseWriter, q question, err error) way {
	if refusal, ok := errors.AsType[*origin.StatusError](err); ok {
		if refusal.RetryAfter != "" {
			w.Header().Set("Retry-After", refusal.RetryAfter)
		}
		empty(w, refusal.Status)
		return refused
	}
	if errors.Is(err, errUnwanted) {
		empty(w, http.StatusNotAcceptable)
		return unwanted
	}
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, errCrowded), errors.Is(err, fetch.ErrBusy), errors.Is(err, fetch.ErrResting), errors.Is(err, stock.ErrFull), errors.Is(err, fs.ErrNotExist):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errSlow):
		status = http.StatusGatewayTimeout
	}
	f.o.Logger.Warn("nginx goes the plain way", "request_id", q.RequestID, "object", q.ID.String(), "status", status, "error", err)
	empty(w, status)
	return declined
}

// empty answers with a status and nothing else.
func empty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
