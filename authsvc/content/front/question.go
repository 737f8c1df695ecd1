package front

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// The headers of the contract with nginx. README.md of the store documents them.
const (
	headerUpstream  = "X-Store-Upstream"
	headerPath      = "X-Store-Path"
	headerDigest    = "X-Store-Digest"
	headerSubject   = "X-Auth-Subject"
	headerRequestID = "X-Request-Id"
)

// maxHeader bounds each header, in bytes. A token of ECR has a few thousand.
const maxHeader = 16 << 10

// A question is a request of nginx.
type question struct {
	fetch.Request
	head   bool
	ranges *span // nil for the whole object
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
	values := map[string]*string{
		headerUpstream: &q.Upstream, headerPath: &q.Path, "Authorization": &q.Authorization,
	}
	for name, to := range values {
		value, err := single(r.Header, name)
		if err != nil {
			return q, err
		}
		if value == "" {
			return q, fmt.Errorf("expected the header %s", name)
		}
		*to = value
	}
	digest, err := single(r.Header, headerDigest)
	if err != nil {
		return q, err
	}
	if q.ID, err = parseID(q.Path, digest); err != nil {
		return q, err
	}
	q.Subject, q.RequestID = logText(r.Header.Get(headerSubject)), logText(r.Header.Get(headerRequestID))
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

// parseID reads which object is asked for. The digest is the one that authsvc has
// judged, and the path is what nginx would forward: they must name the same.
func parseID(path, text string) (object.ID, error) {
	digest, ok := object.ParseDigest(text)
	if !ok {
		return object.ID{}, fmt.Errorf("expected a digest in %s, found %.100q", headerDigest, text)
	}
	request, refusal := registry.Parse(http.MethodGet, path)
	if refusal != nil {
		return object.ID{}, fmt.Errorf("expected the path of a blob or manifest in %s: %s", headerPath, refusal.Message)
	}
	kind, ok := map[registry.Kind]object.Kind{registry.Blob: object.Blob, registry.Manifest: object.Manifest}[request.Kind]
	if !ok || strings.Contains(path, "?") || request.Reference.Digest != digest.String() {
		return object.ID{}, fmt.Errorf("expected the path of the blob or manifest %s in %s, found %.300q", digest, headerPath, path)
	}
	return object.ID{Kind: kind, Digest: digest}, nil
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
