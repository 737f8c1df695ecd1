package upstream_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var fetched = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func token(secret string, fetchedAt time.Time) tokenfile.Token {
	return tokenfile.Token{Host: "registry.example.com", FetchedAt: fetchedAt,
		Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:" + secret)))}
}

// source is a token file in memory.
type source struct {
	mu      sync.Mutex
	current tokenfile.Token
	err     error
	changed chan struct{}
}

func newSource(t tokenfile.Token) *source { return &source{current: t, changed: make(chan struct{})} }

func (s *source) Current() (tokenfile.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.err
}

func (s *source) Wait(ctx context.Context, newerThan time.Time) (tokenfile.Token, error) {
	for {
		s.mu.Lock()
		current, changed := s.current, s.changed
		s.mu.Unlock()
		if current.FetchedAt.After(newerThan) {
			return current, nil
		}
		select {
		case <-ctx.Done():
			return tokenfile.Token{}, ctx.Err()
		case <-changed:
		}
	}
}

func (s *source) replace(t tokenfile.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = t
	close(s.changed)
	s.changed = make(chan struct{})
}

// refresher is a tokenrefresher's control socket.
func refresher(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer)
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return "unix:" + path
}

func TestCurrent(t *testing.T) {
	expired := token("a", fetched)
	expired.ExpiresAt = time.Now().Add(-time.Second)
	tests := []struct {
		name   string
		source *source
		want   string
	}{
		{"good", newSource(token("a", fetched)), ""},
		// ecr-credential-helper #679, rules_img #715: an expired token was
		// handed out although it was known to be expired.
		{"expired", newSource(expired), "expired"},
		{"none", &source{err: errors.New("no file yet")}, "no file yet"},
	}
	for _, test := range tests {
		_, err := upstream.New(test.source, upstream.Config{RefreshSocket: "", RefreshName: "main", Timeout: time.Second}).Current()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// TestRenewAsksOnce: however many requests a dead token fails, one refresh is
// asked for (nginx-s3-gateway #591: all refreshed at once when it ended).
func TestRenewAsksOnce(t *testing.T) {
	old, renewed := token("old", fetched), token("renewed", fetched.Add(time.Hour))
	s := newSource(old)
	var asked atomic.Int32
	arrived := make(chan struct{})
	socket := refresher(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if got := r.Method + " " + r.URL.RequestURI(); got != "POST /refresh?registry=main&newer_than=2026-11-23T12%3A00%3A00Z" {
			t.Errorf("asked by %s", got)
		}
		<-arrived
		s.replace(renewed)
	})
	u := upstream.New(s, upstream.Config{RefreshSocket: socket, RefreshName: "main", Timeout: 30 * time.Second})
	var done sync.WaitGroup
	for i := range 50 {
		done.Go(func() {
			if i == 49 {
				close(arrived)
			}
			got, err := u.Renew(t.Context(), upstream.ID(old))
			if err != nil || got.Authorization() != renewed.Authorization() {
				t.Errorf("got a token of %v, %v", got.FetchedAt, err)
			}
		})
	}
	done.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("%d refreshes were asked for", n)
	}
}

func TestRenewTakesWhatHasArrived(t *testing.T) {
	renewed := token("renewed", fetched.Add(time.Hour))
	socket := refresher(t, func(http.ResponseWriter, *http.Request) { t.Error("a refresh was asked for") })
	got, err := upstream.New(newSource(renewed), upstream.Config{RefreshSocket: socket, RefreshName: "main", Timeout: time.Second}).Renew(t.Context(), upstream.ID(token("old", fetched)))
	if err != nil || got.Authorization() != renewed.Authorization() {
		t.Errorf("got a token of %v, %v", got.FetchedAt, err)
	}
}

func TestRenewFails(t *testing.T) {
	status := func(code int) func(*testing.T) string {
		return func(t *testing.T) string {
			return refresher(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		}
	}
	tests := []struct {
		name   string
		socket func(*testing.T) string
		want   string
	}{
		{"not configured", func(*testing.T) string { return "" }, "refresh_socket is not set"},
		{"no tokenrefresher", func(t *testing.T) string { return "unix:" + filepath.Join(t.TempDir(), "none.sock") }, "asking tokenrefresher"},
		{"rate limit", status(http.StatusTooManyRequests), "status 429"},
		{"refresh failed", status(http.StatusBadGateway), "status 502"},
		{"file does not change", status(http.StatusOK), "deadline exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			old := token("old", fetched)
			_, err := upstream.New(newSource(old), upstream.Config{RefreshSocket: test.socket(t), RefreshName: "main", Timeout: 100 * time.Millisecond}).Renew(t.Context(), upstream.ID(old))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestRenewRefusesExpired: a clock that is wrong must not make a token good.
func TestRenewRefusesExpired(t *testing.T) {
	old := token("old", fetched)
	s := newSource(old)
	socket := refresher(t, func(http.ResponseWriter, *http.Request) {
		renewed := token("renewed", fetched.Add(time.Hour))
		renewed.ExpiresAt = time.Now().Add(-time.Minute)
		s.replace(renewed)
	})
	_, err := upstream.New(s, upstream.Config{RefreshSocket: socket, RefreshName: "main", Timeout: 5 * time.Second}).Renew(t.Context(), upstream.ID(old))
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("error %v, want expired", err)
	}
}

func TestRenewLeavesWithTheCaller(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	socket := refresher(t, func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	old := token("old", fetched)
	if _, err := upstream.New(newSource(old), upstream.Config{RefreshSocket: socket, RefreshName: "main", Timeout: 5 * time.Second}).Renew(ctx, upstream.ID(old)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the caller's context", err)
	}
}

// TestValues are those of the token, and made once for it.
func TestValues(t *testing.T) {
	u := registry("eu", nil)
	old, renewed := token("old", fetched), token("renewed", fetched.Add(time.Hour))
	for _, token := range []tokenfile.Token{old, old, renewed, old} {
		got := u.Values(token)
		if len(got.Authorization) != 1 || got.Authorization[0] != token.Authorization() || len(got.Host) != 1 || got.Host[0] != token.Host ||
			len(got.TokenID) != 1 || got.TokenID[0] != u.TokenID(token) {
			t.Errorf("the values of the token of %v are %v", token.FetchedAt, got)
		}
		if again := u.Values(token); again != got {
			t.Error("made twice for one token")
		}
	}
}

// answers is a registry that answers the ping by a status.
type answers struct {
	status int
	asked  atomic.Int64
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	recorder := httptest.NewRecorder()
	if r.URL.String() != "https://registry.example.com/v2/" || r.Header.Get("Authorization") == "" {
		recorder.Code = http.StatusTeapot
	} else {
		recorder.Code = a.status
	}
	return recorder.Result(), nil
}

// TestRefusedRequestRenewsNothing: a customer whose license is wider than the
// role made tokens be renewed every 10 s. A token that the registry accepts is
// not answered by fetching another.
func TestRefusedRequestRenewsNothing(t *testing.T) {
	current := token("current", fetched)
	for status, good := range map[int]bool{200: true, 401: false, 403: false, 500: false, 429: false} {
		s := newSource(current)
		var refreshes atomic.Int64
		socket := refresher(t, func(http.ResponseWriter, *http.Request) {
			refreshes.Add(1)
			s.replace(token("renewed", fetched.Add(time.Hour)))
		})
		registry := &answers{status: status}
		u := upstream.New(s, upstream.Config{RefreshSocket: socket, RefreshName: "main", Timeout: 5 * time.Second, Transport: registry})
		for range 3 {
			_, err := u.Renew(t.Context(), upstream.ID(current))
			if errors.Is(err, upstream.ErrTokenIsGood) != good || !good && err != nil {
				t.Errorf("ping %d: %v", status, err)
			}
		}
		if n := refreshes.Load(); good != (n == 0) || n > 1 || registry.asked.Load() != 1 {
			t.Errorf("ping %d: %d refreshes, %d questions to the registry", status, n, registry.asked.Load())
		}
	}
}
