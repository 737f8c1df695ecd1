package front

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// The headers of the contract with nginx. README.md of the store documents them.
const (
	headerUpstream  = "X-Store-Upstream"
	headerPath      = "X-Store-Path"
	headerObject    = "X-Store-Object"
	headerSubject   = "X-Auth-Subject"
	headerRequestID = "X-Request-Id"
)

// unverified begins the part of a subject that a client chooses, as authsvc writes it.
const unverified = " (unverified: "

// maxHeader bounds each header, in bytes. A token of ECR has a few thousand.
const maxHeader = 16 << 10

// A question is a request of nginx.
type question struct {
	fetch.Request
	head   bool
	ranges *span // nil for the whole object
	// accept is the client's Accept lines.
	accept []string
	// until bounds the wait for the first byte, whatever is tried until then.
	until time.Time
}

// parse reads a request. It refuses whatever nginx does not send: a mistake in
// nginx's configuration must not look like an answer.
func parse(r *http.Request) (question, error) {
	q := question{head: r.Method == http.MethodHead}
	if !q.head && r.Method != http.MethodGet {
		return q, errors.New("expected GET or HEAD")
	}
	if r.ContentLength != 0 {
		return q, errors.New("expected no body")
	}
	var object string
	values := map[string]*string{
		headerUpstream: &q.Upstream, headerPath: &q.Path, "Authorization": &q.Authorization, headerObject: &object,
	}
	for name, to := range values {
		var err error
		if *to, err = single(r.Header, name); err != nil {
			return q, err
		}
	}
	q.Upstream, _, _ = strings.Cut(q.Upstream, ".") // a token's ID has the registry's name before a dot
	q.Path, _, _ = strings.Cut(q.Path, "?")         // a client may send one, which says nothing about an object
	if err := q.identify(object); err != nil {
		return q, err
	}
	q.accept = r.Header.Values("Accept")
	// The customer, without the name that they have typed: the bounds count by it.
	q.Subject, _, _ = strings.Cut(logText(r.Header.Get(headerSubject)), unverified)
	q.RequestID = logText(r.Header.Get(headerRequestID))
	condition := r.Header.Get("If-Range") // RFC 9110, section 13.1.5
	if condition != "" && condition != `"`+q.ID.Digest.String()+`"` {
		return q, nil
	}
	if ranges := r.Header.Values("Range"); len(ranges) == 1 && !q.head { // RFC 9110, section 14.2
		q.ranges = parseRange(ranges[0])
	}
	return q, nil
}

// single returns a header that is there at most once.
func single(h http.Header, name string) (string, error) {
	values := h.Values(name)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", fmt.Errorf("expected the header %s once, found it %d times", name, len(values))
	case len(values[0]) > maxHeader:
		return "", fmt.Errorf("expected at most %d bytes of the header %s, found %d", maxHeader, name, len(values[0]))
	}
	return values[0], nil
}

// kept says whether only a file is asked for: there is no Authorization to fetch it with.
func (q question) kept() bool { return q.Authorization == "" }

// identify reads which object is asked for. The object is the one that authsvc has
// allowed, and the path is what will be fetched: they must name the same.
func (q *question) identify(text string) error {
	var ok bool
	if q.ID, ok = object.ParseID(text); !ok {
		return fmt.Errorf("expected a blob or manifest and its digest in %s, found %.100q", headerObject, text)
	}
	if q.kept() {
		return nil
	}
	if q.Upstream == "" {
		return fmt.Errorf("expected the header %s", headerUpstream)
	}
	request, refusal := registry.Parse(http.MethodGet, q.Path)
	if refusal != nil {
		return fmt.Errorf("expected the path of a blob or manifest in %s: %s", headerPath, refusal.Message)
	}
	if request.Kind.String()+" "+request.Reference.Digest != q.ID.String() {
		return fmt.Errorf("expected the path of the %s in %s, found %.300q", q.ID, headerPath, q.Path)
	}
	return nil
}

// accepts says whether the client takes a media type (RFC 9110, section 12.5.1). A
// client without an Accept takes every one, and so does each for a blob.
func (q question) accepts(media object.Media) bool {
	if len(q.accept) == 0 || q.ID.Kind == object.Blob {
		return true
	}
	for entry := range strings.SplitSeq(strings.Join(q.accept, ","), ",") {
		kind, parameters, err := mime.ParseMediaType(entry)
		if err != nil || strings.Trim(parameters["q"], "0.") == "" && parameters["q"] != "" {
			continue
		}
		if kind == string(media) || kind == "*/*" || kind == "application/*" {
			return true
		}
	}
	return false
}

// logText is how a log shows what came from outside: printable ASCII, 255 bytes at
// most.
func logText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 255)])
}

// ask is what the question is for the registry.
func (q question) ask() origin.Request { return q.Request.Request }
