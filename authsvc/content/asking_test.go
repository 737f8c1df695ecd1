package content_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// blob puts a blob into the registry, and returns its path.
func (w *world) blob(body []byte) string {
	path := "/v2/acme/appliance/blobs/" + sha256Of(body)
	w.put(path, thing{body: body})
	return path
}

// manifest puts a manifest into the registry, and returns its path.
func (w *world) manifest(body, media string) string {
	path := "/v2/acme/appliance/manifests/" + sha256Of([]byte(body))
	w.put(path, thing{body: []byte(body), media: media})
	return path
}

// objectOf is what the path of a blob or a manifest names.
func objectOf(path string) string {
	kind := "blob "
	if strings.Contains(path, "/manifests/") {
		kind = "manifest "
	}
	return kind + path[strings.LastIndexByte(path, '/')+1:]
}

// question makes a request as nginx does. headers are pairs of name and value.
func (w *world) question(ctx context.Context, method, path string, headers ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://store/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Store-Upstream": "main", "X-Store-Path": path, "X-Store-Object": objectOf(path),
		"Authorization": token, "X-Auth-Subject": "ann", "X-Request-Id": "5f3a9c01",
	} {
		r.Header.Set(name, value)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// An answer is a response with its body, and the error of reading that.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (w *world) ask(method, path string, headers ...string) answer {
	w.t.Helper()
	response, err := w.client.Do(w.question(w.t.Context(), method, path, headers...))
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, body, err}
}

func (w *world) get(path string) answer {
	w.t.Helper()
	return w.ask(http.MethodGet, path)
}

// want fails unless the answer is the whole body.
func (a answer) want(t *testing.T, body []byte) {
	t.Helper()
	if a.err != nil || a.status != http.StatusOK || !bytes.Equal(a.body, body) {
		t.Fatalf("got status %d, %d bytes, error %v; want all %d bytes", a.status, len(a.body), a.err, len(body))
	}
	if a.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("Content-Length %q, want %d", a.header.Get("Content-Length"), len(body))
	}
}
