package remote_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// only serves a manifest to whoever has one of some passwords.
func only(status int, passwords ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "AWS" || !slices.Contains(passwords, password) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "Your Authorization Token has expired.")
			return
		}
		manifests(map[string]string{"1.0": "x"})(w, r)
	}
}

// TestRejectedToken: one new token and one more try, as nginx does it; and not
// again and again for what no token opens.
func TestRejectedToken(t *testing.T) {
	for _, status := range []int{401, 403} {
		f := serve(t, only(status, "new"))
		f.tokens.renewed = []tokenfile.Token{token("new", 2)}
		c := f.client(t, nil)
		for range 3 {
			if _, err := c.Resolve(t.Context(), "acme/a", "1.0"); err != nil {
				t.Errorf("%d: %v", status, err)
			}
		}
		if f.tokens.asked != 1 || len(f.questions()) != 4 {
			t.Errorf("%d: %d tokens were asked for, and %q", status, f.tokens.asked, f.questions())
		}
	}
}

// TestRejectedForGood: what the registry refuses although it accepts the token
// is a refusal, and not sent again.
func TestRejectedForGood(t *testing.T) {
	f := serve(t, only(403))
	f.tokens.good = true
	c := f.client(t, nil)
	for range 3 {
		_, err := c.Resolve(t.Context(), "acme/a", "1.0")
		errorIs(t, err, "status 403")
	}
	if n := len(f.questions()); n != 3 {
		t.Errorf("%d requests to the registry, want 3", n)
	}
	// A new token that is rejected too ends in the same.
	f.tokens.good, f.tokens.renewed = false, []tokenfile.Token{token("new", 2)}
	_, err := c.Resolve(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "status 403")
	if !errors.Is(err, release.ErrRefused) {
		t.Errorf("error %v, want a refusal", err)
	}
	if n := len(f.questions()); n != 5 {
		t.Errorf("%d requests to the registry, want two more than 3", n)
	}
}

// TestBreaker: a registry that fails is left alone for a moment, and asked
// again after it.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, asked := http.StatusInternalServerError, 0
		registry := roundTripper(func(*http.Request) (*http.Response, error) {
			asked++
			recorder := httptest.NewRecorder()
			recorder.Code = status
			return recorder.Result(), nil
		})
		tokens := &tokens{current: token("current", 1)}
		c, err := remote.New(remote.Options{Upstream: tokens, Transport: registry})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := c.Resolve(t.Context(), "acme/a", "1.0"); err == nil || errors.Is(err, release.ErrNotFound) {
				t.Fatalf("error %v, want an outage", err)
			}
		}
		if asked > 20 {
			t.Errorf("%d requests to a registry that fails", asked)
		}
		status = http.StatusNotFound
		time.Sleep(6 * time.Second)
		for range 2 {
			_, err := c.Resolve(t.Context(), "acme/a", "1.0")
			errorIs(t, err, release.ErrNotFound.Error())
		}
	})
}

// TestRefusalIsAnAnswer: a registry that refuses is asked on, whether or not another token
// could be fetched: who takes the role away stops every tag.
func TestRefusalIsAnAnswer(t *testing.T) {
	for _, status := range []int{401, 403} {
		for _, good := range []bool{true, false} {
			f := serve(t, only(status))
			f.tokens.good = good
			c := f.client(t, nil)
			for range 30 {
				_, resolved := c.Resolve(t.Context(), "acme/a", "1.0")
				_, fetched := c.Manifest(t.Context(), "acme/a", "1.0")
				_, listed := c.Tags(t.Context(), "acme/a")
				for _, err := range []error{resolved, fetched, listed} {
					if !errors.Is(err, release.ErrRefused) {
						t.Fatalf("%d, the token is good: %t: %v, want a refusal", status, good, err)
					}
				}
			}
			if text := c.Trouble(); text != "" {
				t.Errorf("%d: %s", status, text)
			}
		}
	}
	for _, status := range []int{400, 404, 405, 500} {
		if _, err := serve(t, only(status)).client(t, nil).Resolve(t.Context(), "acme/a", "1.0"); err == nil || errors.Is(err, release.ErrRefused) {
			t.Errorf("%d: %v, want no refusal", status, err)
		}
	}
}

// TestPageIsNoManifest: a proxy's page in place of a manifest does not move the tag to it.
func TestPageIsNoManifest(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>sign in")
	}).client(t, nil)
	_, resolved := c.Resolve(t.Context(), "acme/a", "1.0")
	_, fetched := c.Manifest(t.Context(), "acme/a", "1.0")
	for _, err := range []error{resolved, fetched} {
		errorIs(t, err, "expected a manifest")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNoOtherToken(t *testing.T) {
	f := serve(t, only(403))
	_, err := f.client(t, nil).Resolve(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "no other token")
	f.tokens.renewed = []tokenfile.Token{{Host: "other.example", Value: token("new", 2).Value, FetchedAt: time.Unix(2, 0)}}
	_, err = f.client(t, nil).Resolve(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "expected a new token for example.com")
	f.tokens.current = tokenfile.Token{}
	_, err = f.client(t, nil).Resolve(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "there is no token")
	if _, err := f.client(t, nil).Place("acme/a"); err == nil {
		t.Error("a place without a token")
	}
}

// TestRedirects: the Authorization goes to the registry and nowhere else.
func TestRedirects(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		c := f.client(t, nil)
		_, err := c.Manifest(t.Context(), "acme/a", "1.0")
		errorIs(t, err, "a redirect away from it")
		_, err = c.Referrers(t.Context(), "acme/a", digestOf("x"))
		errorIs(t, err, "a redirect away from it")
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("followed %d times", n)
	}
}

// TestBusyRegistry: 429 and 503 are waited for, as long as there is time.
func TestBusyRegistry(t *testing.T) {
	for _, status := range []int{429, 503} {
		var tries atomic.Int32
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if tries.Add(1) < 3 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(status)
				return
			}
			manifests(map[string]string{"1.0": "x"})(w, r)
		})
		if _, err := f.client(t, nil).Resolve(t.Context(), "acme/a", "1.0"); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "25")
		w.WriteHeader(429)
	})
	c := f.client(t, nil)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := c.Resolve(ctx, "acme/a", "1.0")
		cancel()
		errorIs(t, err, "the registry is busy")
	}
	if asked := f.questions(); len(asked) != 1 {
		t.Errorf("asked %q, want once", asked)
	}
	down := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(503)
	})
	_, err := down.client(t, nil).Resolve(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "status 503")
	if asked := down.questions(); len(asked) != 3 {
		t.Errorf("asked %q, want three times", asked)
	}
}

// TestErrorsAreShort: a registry's words may be long, and name the account.
func TestErrorsAreShort(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, strings.Repeat("123456789012 ", 5000))
	}).client(t, nil)
	_, err := c.Manifest(t.Context(), "acme/a", "1.0")
	errorIs(t, err, "status 500")
	if strings.Contains(err.Error(), "123456789012") {
		t.Errorf("%.200s", err)
	}
}
