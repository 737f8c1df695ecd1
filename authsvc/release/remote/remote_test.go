package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
)

// manifests serves some by reference, with ECR's headers.
func manifests(of map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := of[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"in the registry with id '123456789012'"}]}`)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.URL.Query().Get("x") == "" {
			w.Header().Set("Docker-Content-Digest", digestOf(body))
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, body)
		}
	}
}

func TestManifest(t *testing.T) {
	biggest := `{"x":"` + strings.Repeat("x", 4<<20-8) + `"}`
	c := serve(t, manifests(map[string]string{
		"1.0": `{"a":1}`, digestOf(`{"a":1}`): `{"a":1}`, digestOf("asked"): "answered",
		"biggest": biggest, "bigger": biggest + " ", digestOf(biggest + " "): biggest + " ", "broken": "{",
	})).client(t, nil)
	tests := []struct {
		reference, want string
		err             error
		text            string
	}{
		{reference: "1.0", want: `{"a":1}`},
		{reference: digestOf(`{"a":1}`), want: `{"a":1}`},
		{reference: "biggest", want: biggest},
		{reference: "broken", want: "{"},
		{reference: "bigger", err: release.ErrTooBig},
		{reference: digestOf(biggest + " "), err: release.ErrTooBig},
		{reference: "none", err: release.ErrNotFound},
		{reference: digestOf("none"), err: release.ErrNotFound},
		{reference: digestOf("asked"), text: "does not match requested digest"},
	}
	for _, test := range tests {
		t.Run(test.reference, func(t *testing.T) {
			m, err := c.Manifest(t.Context(), "acme/a", test.reference)
			switch {
			case test.text != "":
				errorIs(t, err, test.text)
			case !errors.Is(err, test.err):
				t.Errorf("error %v, want %v", err, test.err)
			case err == nil && (string(m.Body) != test.want || m.Digest != digestOf(test.want)):
				t.Errorf("got %s %.100q", m.Digest, m.Body)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	serveAll := manifests(map[string]string{"1.0": "x", "bare": "y"})
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bare") { // no Docker-Content-Digest
			r.URL.RawQuery = "x=1"
		}
		serveAll(w, r)
	})
	c := f.client(t, nil)
	for tag, want := range map[string]string{"1.0": digestOf("x"), "bare": digestOf("y")} {
		if got, err := c.Resolve(t.Context(), "acme/a", tag); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", tag, got, err, want)
		}
	}
	if _, err := c.Resolve(t.Context(), "acme/a", "none"); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	if !slices.Contains(f.questions(), "HEAD /v2/acme/a/manifests/1.0") || slices.Contains(f.questions(), "GET /v2/acme/a/manifests/1.0") {
		t.Errorf("asked %q", f.questions())
	}
}

// TestNamesOfOneLetter: the grammar allows them; go-containerregistry's parser
// of names does not.
func TestNamesOfOneLetter(t *testing.T) {
	c := serve(t, manifests(map[string]string{"1": "x"})).client(t, nil)
	if m, err := c.Manifest(t.Context(), "a", "1"); err != nil || m.Digest != digestOf("x") {
		t.Errorf("got %s, %v", m.Digest, err)
	}
}

// TestTags reads lists as ECR pages them: an absolute link that leaves out the
// port, with an opaque last.
func TestTags(t *testing.T) {
	tests := []struct {
		name  string
		link  string
		want  []string
		error string
	}{
		{name: "as ECR", link: `<https://example.com/v2/acme/a/tags/list?last=eyJ%2BIn0%3D&n=1000>; rel="next"`, want: []string{"a", "b"}},
		{name: "relative", link: `</v2/acme/a/tags/list?last=eyJ%2BIn0%3D&n=1000>; rel="next"`, want: []string{"a", "b"}},
		{name: "none", want: []string{"a"}},
		{name: "another host", link: `<https://evil.example/v2/acme/a/tags/list?n=1>; rel="next"`, error: "to stay at example.com"},
		{name: "another host, no scheme", link: `<//evil.example/v2/acme/a/tags/list?n=1>; rel="next"`, error: "to stay at example.com"},
		{name: "a user", link: `<https://x@example.com/v2/acme/a/tags/list?n=1>; rel="next"`, error: "expected a link"},
		{name: "without TLS", link: `<http://example.com/v2/acme/a/tags/list?n=1>; rel="next"`, error: "to stay at example.com"},
		{name: "another path", link: `</metrics>; rel="next"`, error: "expected a link"},
		{name: "no link", link: `x`, error: "expected a link"},
		{name: "no end", link: `</v2/`, error: "expected a link"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("last") == "eyJ+In0=" {
					_, _ = io.WriteString(w, `{"name":"acme/a","tags":["b"]}`)
					return
				}
				if test.link != "" {
					w.Header().Set("Link", test.link)
				}
				_, _ = io.WriteString(w, `{"name":"acme/a","tags":["a"]}`)
			})
			got, err := f.client(t, nil).Tags(t.Context(), "acme/a")
			if test.error != "" {
				errorIs(t, err, test.error)
			} else if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if asked := f.questions(); asked[0] != "GET /v2/acme/a/tags/list?n=1000" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func TestBadLists(t *testing.T) {
	endless := `</v2/acme/a/tags/list?last=x>; rel="next"`
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"unknown repository": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, release.ErrNotFound.Error()},
		"HTML":               {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "invalid character"},
		"half":               {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"tags":["a",`) }, "EOF"},
		"one page without end": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"tags":["`+strings.Repeat("x", 5<<20)+`"]}`)
		}, release.ErrTooBig.Error()},
		"pages without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", endless)
			_, _ = io.WriteString(w, `{"tags":["a"`+strings.Repeat(`,"b"`, 999)+`]}`)
		}, "at most 100000 tags"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, test.answer).client(t, nil).Tags(t.Context(), "acme/a")
			errorIs(t, err, test.want)
		})
	}
}

func TestReferrers(t *testing.T) {
	subject := digestOf("subject")
	entry := func(name string) string { return `{"digest":"` + digestOf(name) + `"}` }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   []string
		err    error
		text   string
	}{
		{name: "two pages", answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json; charset=utf-8")
			if r.URL.Query().Get("last") == "" {
				w.Header().Set("Link", `<https://example.com`+r.URL.Path+`?last=x>; rel="next"`)
				_, _ = io.WriteString(w, `{"manifests":[`+entry("a")+`]}`)
				return
			}
			_, _ = io.WriteString(w, `{"manifests":[`+entry("b")+`]}`)
		}, want: []string{digestOf("a"), digestOf("b")}},
		{name: "none", answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"manifests":[]}`) }},
		{name: "not known", answer: status(404), err: release.ErrNotFound},
		{name: "not supported", answer: status(405), err: release.ErrUnsupported},
		{name: "not understood", answer: status(400), err: release.ErrUnsupported},
		{name: "down", answer: status(500), text: "status 500"},
		{name: "HTML", answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, text: "an index of referrers"},
		{name: "pages without end", answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<`+r.URL.Path+`?last=x>; rel="next"`)
			_, _ = io.WriteString(w, `{"manifests":[`+entry("a")+strings.Repeat(","+entry("a"), 9_999)+`]}`)
		}, text: "at most 100000 referrers"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			patient := func(o *remote.Options) { o.Timeout = time.Minute } // on a busy machine
			got, err := serve(t, test.answer).client(t, patient).Referrers(t.Context(), "acme/a", subject)
			switch {
			case test.text != "":
				errorIs(t, err, test.text)
			case !errors.Is(err, test.err):
				t.Errorf("error %v, want %v", err, test.err)
			case err == nil && !slices.Equal(got, test.want):
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	f := serve(t, manifests(map[string]string{"1.0": "x"}))
	tests := []struct {
		name   string
		host   string
		change func(*remote.Options)
		want   string
	}{
		{name: "another authority", host: host, change: func(o *remote.Options) { o.CAFile = "" }, want: "unknown authority"},
		{name: "another name", host: "other.example", want: "not other.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f.tokens.current = token("key", 1)
			f.tokens.current.Host = test.host
			_, err := f.client(t, test.change).Manifest(t.Context(), "acme/a", "1.0")
			errorIs(t, err, test.want)
		})
	}
	if asked := f.questions(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
	for file, want := range map[string]string{"/does/not/exist": "/does/not/exist", "remote_test.go": "PEM"} {
		_, err := remote.New(remote.Options{Upstream: f.tokens, CAFile: file})
		errorIs(t, err, want)
	}
}

// TestBounds: requests at once, and the time for one.
func TestBounds(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		manifests(map[string]string{"1.0": "x"})(w, r)
	})
	c := f.client(t, func(o *remote.Options) { o.Requests = 2 })
	failed := make(chan error)
	for range 4 {
		go func() {
			_, err := c.Resolve(t.Context(), "acme/a", "1.0")
			failed <- err
		}()
	}
	<-arrived
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Resolve(ctx, "acme/a", "1.0"); !errors.Is(err, context.Canceled) {
		t.Errorf("one who does not wait: %v", err)
	}
	if n := len(f.questions()); n != 2 {
		t.Errorf("%d requests at once, want 2", n)
	}
	close(release)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}

	hangs := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := hangs.client(t, func(o *remote.Options) { o.Timeout = 50 * time.Millisecond }).Tags(t.Context(), "acme/a")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a registry that hangs: %v", err)
	}
}
