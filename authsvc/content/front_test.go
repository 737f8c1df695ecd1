package content_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/content"
)

// TestColdHeadStartsNothing: it passes through, although a URL is signed for GET.
func TestColdHeadStartsNothing(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(100_000, 1)
	for name, path := range map[string]string{"blob": w.blob(body), "manifest": w.manifest(image, ociImage)} {
		got := w.ask(http.MethodHead, path)
		want := map[string]string{"blob": "100000", "manifest": fmt.Sprint(len(image))}[name]
		if got.status != http.StatusOK || got.header.Get("Content-Length") != want {
			t.Errorf("%s: status %d, Content-Length %q, want %s", name, got.status, got.header.Get("Content-Length"), want)
		}
		media := map[string]string{"blob": "application/octet-stream", "manifest": ociImage}[name]
		if got.header.Get("Content-Type") != media || got.header.Get("Docker-Content-Digest") != path[strings.LastIndexByte(path, '/')+1:] {
			t.Errorf("%s: %v", name, got.header)
		}
	}
	if n := w.metric("authsvc_content_fetched_bytes_total", ""); n != 0 || len(w.final()) != 0 {
		t.Errorf("%d bytes were fetched", n)
	}
	if got := w.ask(http.MethodHead, "/v2/acme/appliance/blobs/"+sha256Of(nil)); got.status != http.StatusNotFound {
		t.Errorf("what does not exist: status %d", got.status)
	}
}

// TestHeadDuringAFetch knows the size from that.
func TestHeadDuringAFetch(t *testing.T) {
	w := newWorld(t, nil)
	defer w.held(100_000)()
	path := w.blob(bytesOf(200_000, 1))
	w.begin(path)
	before := w.requests("")
	if got := w.ask(http.MethodHead, path); got.status != http.StatusOK || got.header.Get("Content-Length") != "200000" {
		t.Errorf("status %d, Content-Length %q", got.status, got.header.Get("Content-Length"))
	}
	if n := w.requests("") - before; n != 0 {
		t.Errorf("it asked %d times", n)
	}
}

// TestRanges, of an object that is there, one that is being fetched, and a cold one.
func TestRanges(t *testing.T) {
	body := bytesOf(200_000, 1)
	for name, prepare := range map[string]func(*world, string){
		"cold": func(*world, string) {},
		"warm": func(w *world, path string) { w.get(path); w.stored(path); w.idle() },
		"being fetched": func(w *world, path string) {
			release := w.held(int64(len(body)) - 1) // but for the last byte
			w.begin(path)
			go func() {
				for w.readers() < 2 && w.t.Context().Err() == nil {
					time.Sleep(time.Millisecond)
				}
				release()
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for header, want := range map[string]struct{ first, last int }{
				"bytes=0-0": {0, 0}, "bytes=1-": {1, 199_999}, "bytes=100-199": {100, 199}, "bytes=-1000": {199_000, 199_999},
				"bytes=150000-9999999": {150_000, 199_999}, "bytes=199999-": {199_999, 199_999},
			} {
				w := newWorld(t, nil)
				path := w.blob(body)
				prepare(w, path)
				got := w.ask(http.MethodGet, path, "Range", header)
				if got.status != http.StatusPartialContent || !bytes.Equal(got.body, body[want.first:want.last+1]) {
					t.Errorf("%s: status %d with %d bytes, %v", header, got.status, len(got.body), got.err)
				}
				if r := fmt.Sprintf("bytes %d-%d/200000", want.first, want.last); got.header.Get("Content-Range") != r {
					t.Errorf("%s: Content-Range %q, want %q", header, got.header.Get("Content-Range"), r)
				}
			}
		})
	}
}

// TestRangeThatIsNotReached passes through while the fetch goes on, and so does one
// that begins later, if there is no fetch: it starts none.
func TestRangeThatIsNotReached(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.RangeWait = 50 * time.Millisecond })
	body := bytesOf(200_000, 1)
	path := w.blob(body)
	part := func() {
		t.Helper()
		got := w.ask(http.MethodGet, path, "Range", "bytes=150000-150999")
		if got.status != http.StatusPartialContent || !bytes.Equal(got.body, body[150_000:151_000]) || got.err != nil {
			t.Errorf("status %d with %d bytes, %v", got.status, len(got.body), got.err)
		}
	}
	part()
	if n := w.metric("authsvc_content_fetched_bytes_total", ""); n != 0 {
		t.Errorf("a part of a cold blob started a fetch of %d bytes", n)
	}
	until := make(chan struct{})
	w.asked = map[string]int{}
	w.fault = func(_ string, n int) fault {
		if n == 0 {
			return fault{pause: 100_000, until: until}
		}
		return fault{}
	}
	w.begin(path)
	part()
	close(until)
	w.stored(path)
	if n := w.metric("authsvc_content_requests_total", `"pass"`); n != 2 {
		t.Errorf("%d requests passed through, want 2", n)
	}
}

// TestPassedPartIsNeverTheWhole: nothing whole goes out unverified.
func TestPassedPartIsNeverTheWhole(t *testing.T) {
	w := newWorld(t, nil)
	path := w.blob(bytesOf(1000, 1))
	if got := w.ask(http.MethodGet, path, "Range", "bytes=-1000"); got.status != http.StatusBadGateway {
		t.Errorf("status %d with %d bytes", got.status, len(got.body))
	}
	// The storage answers with more than it was asked for.
	w.fault = func(string, int) fault { return fault{whole: true} }
	if got := w.ask(http.MethodGet, path, "Range", "bytes=500-999"); got.status != http.StatusBadGateway {
		t.Errorf("without Range: status %d with %d bytes", got.status, len(got.body))
	}
	// A body that ends early is seen as such.
	w.fault = func(string, int) fault { return fault{cut: 100} }
	if got := w.ask(http.MethodGet, path, "Range", "bytes=500-999"); got.err == nil {
		t.Errorf("cut off: status %d with %d bytes and no error", got.status, len(got.body))
	}
}

func TestUnsatisfiableRanges(t *testing.T) {
	w := newWorld(t, nil)
	path := w.blob(bytesOf(1000, 1))
	for _, how := range []string{"cold", "warm"} {
		if got := w.ask(http.MethodHead, path, "Range", "bytes=0-5"); got.status != http.StatusOK || got.header.Get("Content-Length") != "1000" {
			t.Errorf("%s: HEAD has no parts: status %d, %v", how, got.status, got.header)
		}
		for _, header := range []string{"bytes=1000-", "bytes=5000-6000", "bytes=-0"} {
			got := w.ask(http.MethodGet, path, "Range", header)
			if got.status != http.StatusRequestedRangeNotSatisfiable || len(got.body) > 0 {
				t.Errorf("%s, %s: status %d with %d bytes", how, header, got.status, len(got.body))
			}
		}
		w.get(path)
		w.stored(path)
	}
}

// TestIgnoredRanges: the whole is a right answer to what need not be understood.
func TestIgnoredRanges(t *testing.T) {
	w := newWorld(t, nil)
	for i, header := range []string{"", "bytes", "bytes=", "bytes=a-b", "items=0-5", "bytes=5-4", "bytes=0-1,5-6", "bytes=+1-2", "bytes=0x1-", "bytes=99999999999999999999-"} {
		body := bytesOf(1000, uint64(i))
		w.ask(http.MethodGet, w.blob(body), "Range", header).want(t, body)
	}
}

// TestSlowRegistry: nginx gets its status before it gives up itself.
func TestSlowRegistry(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.FirstByte = 50 * time.Millisecond })
	until := make(chan struct{})
	w.status = func(string) int { <-until; return 0 }
	path := w.blob(bytesOf(200_000, 1))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		if got := w.ask(method, path); got.status != http.StatusGatewayTimeout {
			t.Errorf("%s: status %d", method, got.status)
		}
	}
	close(until)
	w.stored(path) // the fetch went on
}

// TestNotTheContract: a mistake in nginx's configuration is refused, and asks
// nobody.
func TestNotTheContract(t *testing.T) {
	w := newWorld(t, nil)
	path := w.blob(bytesOf(1000, 1))
	other := "sha256:" + strings.Repeat("0", 64)
	for name, change := range map[string]func(*http.Request){
		"no path":               func(r *http.Request) { r.Header.Del("X-Store-Path") },
		"no object":             func(r *http.Request) { r.Header.Del("X-Store-Object") },
		"no upstream":           func(r *http.Request) { r.Header.Del("X-Store-Upstream") },
		"the digest of another": func(r *http.Request) { r.Header.Set("X-Store-Object", "blob "+other) },
		"another kind":          func(r *http.Request) { r.Header.Set("X-Store-Object", "manifest "+path[len(path)-71:]) },
		"a kind nobody knows":   func(r *http.Request) { r.Header.Set("X-Store-Object", "layer "+path[len(path)-71:]) },
		"no kind":               func(r *http.Request) { r.Header.Set("X-Store-Object", path[len(path)-71:]) },
		"a digest in capitals":  func(r *http.Request) { r.Header.Set("X-Store-Object", "blob "+strings.ToUpper(sha256Of(nil))) },
		"a path as a digest":    func(r *http.Request) { r.Header.Set("X-Store-Object", "blob ../../etc/passwd") },
		"two objects":           func(r *http.Request) { r.Header.Add("X-Store-Object", "blob "+other) },
		"no path for a digest without an authorization": func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Store-Object", "blob ../../etc/passwd")
		},
		"two paths":             func(r *http.Request) { r.Header.Add("X-Store-Path", path) },
		"two authorizations":    func(r *http.Request) { r.Header.Add("Authorization", token) },
		"a long authorization":  func(r *http.Request) { r.Header.Set("Authorization", strings.Repeat("x", 20_000)) },
		"a tag":                 func(r *http.Request) { r.Header.Set("X-Store-Path", "/v2/acme/appliance/manifests/1.9") },
		"a list":                func(r *http.Request) { r.Header.Set("X-Store-Path", "/v2/acme/appliance/tags/list") },
		"another place":         func(r *http.Request) { r.Header.Set("X-Store-Path", "/latest/meta-data/") },
		"another host":          func(r *http.Request) { r.Header.Set("X-Store-Path", "https://example.com"+path) },
		"a host by two slashes": func(r *http.Request) { r.Header.Set("X-Store-Path", "//example.com"+path) },
		"dots": func(r *http.Request) {
			r.Header.Set("X-Store-Path", "/v2/acme/../appliance/blobs/"+path[len(path)-71:])
		},
		"percent":                  func(r *http.Request) { r.Header.Set("X-Store-Path", strings.Replace(path, "acme", "%61cme", 1)) },
		"another method":           func(r *http.Request) { r.Method = http.MethodPost },
		"a method that nobody has": func(r *http.Request) { r.Method = "GETS" },
		"a body": func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
		},
	} {
		r := w.question(context.Background(), http.MethodGet, path)
		change(r)
		response, err := w.client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("Content-Length") != "0" {
			t.Errorf("%s: status %d", name, response.StatusCode)
		}
	}
	if got := w.ask(http.MethodGet, path, "X-Store-Upstream", "none"); got.status != http.StatusBadGateway {
		t.Errorf("an upstream that is not configured: status %d", got.status)
	}
	if n := w.requests(""); n != 0 {
		t.Errorf("somebody was asked %d times", n)
	}
}

// TestKeptAlone: without an Authorization the store gives what it has, and starts
// nothing.
func TestKeptAlone(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1000, 1)
	path := w.blob(body)
	if got := w.ask(http.MethodGet, path, "Authorization", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("what is not there: status %d", got.status)
	}
	if n := w.requests(""); n != 0 {
		t.Errorf("somebody was asked %d times", n)
	}
	w.get(path).want(t, body)
	w.stored(path)
	w.ask(http.MethodGet, path, "Authorization", "", "X-Store-Upstream", "", "X-Store-Path", "").want(t, body)
}

// TestFirstByteInTime: nothing before the first byte takes longer than nginx waits, also
// not a part that a fetch does not reach, and that is asked for alone then.
func TestFirstByteInTime(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.FirstByte, c.RangeWait = 2*time.Second, 2*time.Second })
	until := make(chan struct{})
	w.status = func(string) int { <-until; return 0 }
	path := w.blob(bytesOf(200_000, 1))
	first := make(chan struct{})
	go func() {
		defer close(first)
		w.get(path)
	}()
	eventually(t, "a fetch", func() bool { return w.readers() == 1 })
	w.client.Timeout = 3500 * time.Millisecond // as nginx, which waits half a second longer than the store
	if got := w.ask(http.MethodGet, path, "Range", "bytes=10-19"); got.status != http.StatusGatewayTimeout {
		t.Errorf("status %d, %v, want 504", got.status, got.err)
	}
	close(until)
	<-first
}

// TestIfRange: a part of another version is not given.
func TestIfRange(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1000, 1)
	path := w.blob(body)
	w.ask(http.MethodGet, path, "Range", "bytes=5-9", "If-Range", `"another"`).want(t, body)
	if got := w.ask(http.MethodGet, path, "Range", "bytes=5-9", "If-Range", `"`+sha256Of(body)+`"`); got.status != http.StatusPartialContent {
		t.Errorf("status %d, want 206", got.status)
	}
}

// TestAsNginxAsks: nginx sends the ID of the registry's token, which begins with the
// registry's name, and the client's query.
func TestAsNginxAsks(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1000, 1)
	path := w.blob(body)
	w.ask(http.MethodGet, path, "X-Store-Upstream", "main.20261123T120000.000000000Z", "X-Store-Path", path+"?ns=docker.vendor.com").want(t, body)
}

// TestAccept: a client that does not accept a manifest's media type goes the plain way,
// whether the manifest is cold, passes through, or is there.
func TestAccept(t *testing.T) {
	const other = "application/vnd.docker.distribution.manifest.v2+json"
	for name, test := range map[string]struct {
		accept []string
		status int
	}{
		"none":                 {nil, 200},
		"its type":             {[]string{ociImage}, 200},
		"in a list":            {[]string{other + ", " + ociImage}, 200},
		"in another line":      {[]string{other, "text/html", ociImage}, 200},
		"with a weight":        {[]string{ociImage + ";q=0.5"}, 200},
		"in capitals":          {[]string{strings.ToUpper(ociImage)}, 200},
		"any":                  {[]string{other + ", */*"}, 200},
		"any application":      {[]string{"application/*"}, 200},
		"another":              {[]string{other}, 406},
		"never":                {[]string{ociImage + "; q=0.0"}, 406},
		"nothing that is read": {[]string{";;;,,"}, 406},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			ask := func(what, method, path string, status int) {
				r := w.question(t.Context(), method, path)
				r.Header["Accept"] = test.accept
				response, err := w.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if response.StatusCode != status {
					t.Errorf("%s: status %d, want %d", what, response.StatusCode, status)
				}
			}
			path, blob := w.manifest(image, ociImage), w.blob(bytesOf(10, 1))
			ask("cold HEAD", http.MethodHead, path, test.status)
			ask("cold", http.MethodGet, path, test.status)
			w.stored(path)
			ask("warm", http.MethodGet, path, test.status)
			ask("warm HEAD", http.MethodHead, path, test.status)
			ask("a blob", http.MethodGet, blob, http.StatusOK)
		})
	}
}

// TestTokenIsNotLogged, nor a signed URL.
func TestTokenIsNotLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.get(w.blob(bytesOf(1000, 1)))
	w.get("/v2/acme/appliance/blobs/" + sha256Of([]byte("missing")))
	w.status = func(string) int { return http.StatusInternalServerError }
	w.get(w.blob(bytesOf(1000, 2)))
	w.idle()
	w.stop()
	for _, secret := range []string{token, "signed=", "expires="} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %s:\n%s", secret, w.log)
		}
	}
}
