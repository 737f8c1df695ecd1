package content_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// TestBrokenFetchIsResumed: a body that breaks off goes on where it ended, and the
// client notices nothing.
func TestBrokenFetchIsResumed(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1<<20, 1)
	path := w.blob(body)
	for name, faults := range map[string][]fault{
		"a body cut off":                {{cut: 300_000}, {cut: 200_000}},
		"cut off before the first byte": {{cut: 1}},
		"errors in between":             {{cut: 300_000}, {status: http.StatusInternalServerError}, {status: http.StatusServiceUnavailable}},
		"a storage without Range":       {{cut: 300_000}, {whole: true}},
	} {
		t.Run(name, func(t *testing.T) {
			w.fault = func(_ string, n int) fault {
				if n < len(faults) {
					return faults[n]
				}
				return fault{}
			}
			w.asked, w.ranges = map[string]int{}, nil
			w.get(path).want(t, body)
			w.stored(path)
			w.idle()
			if n := w.requests("registry"); n != 1 {
				t.Errorf("the registry was asked %d times for a URL that holds", n)
			}
			if !slices.ContainsFunc(w.ranges, func(r string) bool { return r != "" }) {
				t.Error("nothing was asked for by Range")
			}
			w.final()
			w.drop(path)
		})
	}
	if w.metric("authsvc_content_resumed_total", "") == 0 {
		t.Error("no resumption was counted")
	}
}

// TestBrokenAgainAndAgain ends the fetch, and the client sees that it has not all.
func TestBrokenAgainAndAgain(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1<<20, 1)
	path := w.blob(body)
	w.fault = func(_ string, n int) fault {
		if n == 0 {
			return fault{cut: 500_000}
		}
		return fault{status: http.StatusServiceUnavailable}
	}
	if got := w.get(path); got.err == nil {
		t.Errorf("status %d with %d bytes and no error", got.status, len(got.body))
	}
	w.idle()
	if n := w.requests("storage"); n > 10 {
		t.Errorf("the storage was asked %d times", n)
	}
	if found := w.final(); len(found) > 0 {
		t.Errorf("%d files are kept", len(found))
	}
}

// TestStalledFetchIsResumed: nothing more comes, and the connection stays open.
func TestStalledFetchIsResumed(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Origin.Stall = 200 * time.Millisecond })
	body := bytesOf(1<<20, 1)
	until := make(chan struct{})
	defer close(until)
	w.fault = func(_ string, n int) fault {
		if n == 0 {
			return fault{pause: 400_000, until: until}
		}
		return fault{}
	}
	w.get(w.blob(body)).want(t, body)
}

// TestSignedURLExpires: the registry is asked for another.
func TestSignedURLExpires(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1<<20, 1)
	path := w.blob(body)
	w.fault = func(_ string, n int) fault {
		switch n {
		case 0:
			return fault{cut: 500_000}
		case 1:
			return fault{status: http.StatusForbidden} // as the storage says that it has expired
		}
		return fault{}
	}
	w.get(path).want(t, body)
	if n := w.requests("registry"); n != 2 {
		t.Errorf("the registry was asked %d times, want 2", n)
	}
}

// TestRedirects: the store goes only to hosts on the list, over TLS, and never back
// to the registry. The stand-in for the storage fails the test if it ever gets an
// Authorization.
func TestRedirects(t *testing.T) {
	other := newRemote(t) // with another authority
	w := newWorld(t, func(c *content.Config) {
		c.Origin.Redirects = append(c.Origin.Redirects, host(other.storage), c.Origin.Upstreams[0].Host)
	})
	swap := func(from, to string) func(string) string {
		return func(signed string) string { return strings.Replace(signed, from, to, 1) }
	}
	storage := host(w.storage)
	for name, location := range map[string]func(string) string{
		"a host that is not on the list": swap(storage, "storage.example.com"),
		"a port that is not on the list": swap(storage, "127.0.0.1:443"),
		"a host that begins with it":     swap(storage, storage+".example.com"),
		"a host that it begins with":     swap(storage, "1"+storage),
		"without TLS":                    swap("https://", "http://"),
		"another scheme":                 swap("https://"+storage, "file://"),
		"a user":                         swap("https://", "https://user:password@"),
		"back to the registry":           swap(storage, host(w.registry)),
		"to the registry by a path":      func(string) string { return "/v2/" },
		"without a scheme, elsewhere":    func(string) string { return "//storage.example.com/" },
		"no URL":                         func(string) string { return "https://%zz" },
		"control characters":             func(string) string { return "https://" + storage + "/\x7f" },
		"nothing":                        func(string) string { return "" },
		"in capitals":                    swap("127.0.0.1", "LOCALHOST"),
		"a certificate of others":        swap(storage, host(other.storage)),
	} {
		t.Run(name, func(t *testing.T) {
			body := bytesOf(1000, uint64(len(name)))
			w.mu.Lock()
			w.location = location
			w.mu.Unlock()
			path := w.blob(append(body, name...))
			before := w.requests("registry")
			if got := w.get(path); got.err != nil || got.status != http.StatusBadGateway {
				t.Errorf("status %d, %v", got.status, got.err)
			}
			if head := w.ask(http.MethodHead, path); head.status != http.StatusBadGateway {
				t.Errorf("HEAD: status %d", head.status)
			}
			// one GET; for HEAD one more of each
			if n := w.requests("registry") - before; n > 3 {
				t.Errorf("the registry was asked %d times", n)
			}
			if n := w.requests("storage"); n != 0 {
				t.Errorf("the storage was asked %d times", n)
			}
		})
	}
}

// TestUpstreamsCertificate: a registry with another's certificate gets no token.
func TestUpstreamsCertificate(t *testing.T) {
	other := newRemote(t)
	w := newWorld(t, func(c *content.Config) {
		c.Origin.Upstreams = append(c.Origin.Upstreams, origin.Upstream{Name: "other", Host: host(other.registry)})
	})
	path := w.blob(bytesOf(1000, 1))
	if got := w.ask(http.MethodGet, path, "X-Store-Upstream", "other"); got.status != http.StatusBadGateway {
		t.Errorf("status %d", got.status)
	}
	if n := other.requests(""); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestRegistryRefuses: nginx sees the registry's status, to renew the token or to
// tell the client, and nothing else of the answer.
func TestRegistryRefuses(t *testing.T) {
	w := newWorld(t, nil)
	missing := "/v2/acme/appliance/blobs/" + sha256Of([]byte("missing"))
	if got := w.get(missing); got.status != http.StatusNotFound {
		t.Errorf("not found: %d", got.status)
	}
	path := w.blob(bytesOf(1000, 1))
	if got := w.ask(http.MethodGet, path, "Authorization", "Basic old"); got.status != http.StatusUnauthorized || len(got.body) > 0 {
		t.Errorf("a bad token: %d, %q", got.status, got.body)
	}
	for status, want := range map[int]int{401: 401, 403: 403, 404: 404, 429: 429, 400: 502, 500: 502, 503: 502, 200: 502, 204: 502} {
		path := w.blob(bytesOf(1000, uint64(status)))
		w.mu.Lock()
		w.status = func(string) int { return status }
		w.mu.Unlock()
		got := w.get(path)
		if got.status != want || len(got.body) > 0 {
			t.Errorf("registry's %d: status %d, %d bytes", status, got.status, len(got.body))
		}
		if want == 429 && got.header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
	}
	w.idle()
	w.final()
}

// TestRefusalIsNotTheOthers: who joins a fetch that the registry refuses for
// another repository asks for its own.
func TestRefusalIsNotTheOthers(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(100_000, 1)
	right := w.blob(body)
	wrong := strings.Replace(right, "acme/appliance", "acme/other", 1)
	asked, answer := make(chan struct{}), make(chan struct{})
	w.status = func(path string) int {
		if path != wrong {
			return 0
		}
		close(asked)
		<-answer
		return http.StatusForbidden
	}
	statuses := make(chan int, 1)
	go func() { statuses <- w.get(wrong).status }()
	<-asked
	go func() {
		// until it has joined
		for w.readers() < 2 {
			time.Sleep(time.Millisecond)
		}
		close(answer)
	}()
	w.get(right).want(t, body)
	if status := <-statuses; status != http.StatusForbidden {
		t.Errorf("the other got status %d", status)
	}
}
