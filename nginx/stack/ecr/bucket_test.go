package ecr_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// Sources: F = observed at AWS; P = S3 API Reference, "Authenticating Requests: Using
// Query Parameters"; E = S3 API Reference, "Error Responses".
func TestBucket(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	digest, size := w.layer(t)
	good := location(t, w, digest)
	change := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			q := r.URL.Query()
			if q.Set(name, value); value == "" {
				q.Del(name)
			}
			r.URL.RawQuery = q.Encode()
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tt := range []struct {
		name, source string
		change       func(*http.Request)
		pass         time.Duration
		status       int
		body         string
	}{
		{"as signed", "P", func(*http.Request) {}, 0, 200, ""},
		{"with the registry's token", "F; OPA #6728", header("Authorization", w.authorization()), 0, 400, "Only one auth mechanism allowed"},
		{"with any Authorization", "F", header("Authorization", "Bearer x"), 0, 400, "<Code>InvalidArgument</Code>"},
		{"HEAD", "F: signed for GET", func(r *http.Request) { r.Method = "HEAD" }, 0, 403, ""},
		{"PUT", "P", func(r *http.Request) { r.Method = "PUT" }, 0, 403, "SignatureDoesNotMatch"},
		{"another object", "P", func(r *http.Request) { r.URL.Path += "0" }, 0, 403, "SignatureDoesNotMatch"},
		{"another host", "P", func(r *http.Request) { r.Host = "bucket.example" }, 0, 403, "SignatureDoesNotMatch"},
		{"longer life", "P", change("X-Amz-Expires", "86400"), 0, 403, "SignatureDoesNotMatch"},
		{"another signature", "P", change("X-Amz-Signature", strings.Repeat("0", 64)), 0, 403, "SignatureDoesNotMatch"},
		{"no signature", "P", change("X-Amz-Signature", ""), 0, 403, "AccessDenied"},
		{"no date", "P", change("X-Amz-Date", ""), 0, 403, "AccessDenied"},
		{"no query", "P", func(r *http.Request) { r.URL.RawQuery = "" }, 0, 403, "AccessDenied"},
		{"one more parameter", "P", change("response-content-type", "text/html"), 0, 403, "SignatureDoesNotMatch"},
		{"date that is none", "P", change("X-Amz-Date", "today"), 0, 400, "AuthorizationQueryParametersError"},
		{"range", "D", header("Range", "bytes=1-3"), 0, 206, ""},
		{"range outside", "E", header("Range", "bytes=1000000-"), 0, 416, "InvalidRange"},
		{"expired", "P", func(*http.Request) {}, time.Hour + time.Second, 403, "Request has expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.pass(tt.pass)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, good, nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(req)
			got := w.do(t, req)
			if got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("%d %.300q, want %d with %q (source: %s)", got.status, got.body, tt.status, tt.body, tt.source)
			}
			if tt.status == 200 && int64(len(got.body)) != size || tt.status == 206 && len(got.body) != 3 {
				t.Errorf("%d bytes", len(got.body))
			}
			if got.header.Get("X-Amz-Request-Id") == "" || got.header.Get("Server") != "AmazonS3" {
				t.Errorf("headers %v are not S3's", got.header)
			}
		})
	}
}

func TestURLExpiry(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	digest, _ := w.layer(t)
	w.SetURLExpiry(30 * time.Second)
	u, err := url.Parse(location(t, w, digest))
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("X-Amz-Expires"); got != "30" {
		t.Errorf("X-Amz-Expires=%s, want 30", got)
	}
	if strings.Contains(u.Path, digest) || u.Host != w.Bucket.Addr() {
		t.Errorf("location %s is not an opaque key of the bucket", u)
	}
}

// location returns where the front redirects a GET for the blob.
func location(t *testing.T, w *world, digest string) string {
	t.Helper()
	got := w.front(t, "GET", "/v2/"+repository+"/blobs/"+digest, w.authorization())
	if got.status != 307 {
		t.Fatalf("blob: %d %s", got.status, got.body)
	}
	return got.header.Get("Location")
}
