package web_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/authsvc/credential"
)

func client(t testing.TB, url string) *web.Client {
	t.Helper()
	c, err := web.New(web.Config{URL: url, Refuses: func(a web.Answer) bool { return a.Status == http.StatusForbidden }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t testing.TB, handler http.HandlerFunc) *web.Client {
	t.Helper()
	service := httptest.NewServer(handler)
	t.Cleanup(service.Close)
	return client(t, service.URL)
}

func ask(ctx context.Context, t testing.TB, c *web.Client, path string) (web.Answer, error) {
	t.Helper()
	u, err := c.Below(path)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(request)
}

// TestMaxConns: however many ask at a time, the service sees 64 connections at
// most, and everybody is answered.
func TestMaxConns(t *testing.T) {
	const all, most = 200, 64
	var asking, opened atomic.Int64
	full := make(chan struct{})
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asking.Add(1) == most {
			close(full)
		}
		<-full
	}))
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	service.Start()
	t.Cleanup(service.Close)
	c := client(t, service.URL)
	var group sync.WaitGroup
	for range all {
		group.Go(func() {
			if answer, err := ask(t.Context(), t, c, "x"); err != nil || answer.Status != http.StatusOK {
				t.Errorf("%+v, %v", answer, err)
			}
		})
	}
	group.Wait()
	if opened.Load() != most {
		t.Errorf("%d connections, want %d", opened.Load(), most)
	}
}

// TestErrorsHoldNoURL: a path or query may hold what a customer typed.
func TestErrorsHoldNoURL(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := ask(ctx, t, c, "users/ann@acme.example"); err == nil || strings.Contains(err.Error(), "ann@") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("error %v, want one that names the host and not the user", err)
	}
	cancel()
	if _, err := ask(ctx, t, c, "users/ann@acme.example"); err == nil || strings.Contains(err.Error(), "ann@") {
		t.Errorf("error %v", err)
	}
}

// TestTrace: the service gets the trace that the question came with, and no other.
func TestTrace(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%q", r.Header["Traceparent"]) })
	for _, want := range []struct{ trace, sent string }{{trace, `["` + trace + `"]`}, {"", "[]"}} {
		answer, err := ask(auth.WithTraceparent(t.Context(), want.trace), t, c, "x")
		if err != nil || string(answer.Body) != want.sent {
			t.Errorf("the service was sent %s, want %s; %v", answer.Body, want.sent, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	tests := []struct {
		contentType string
		status      int
		json        bool
	}{
		{"application/json", 200, true}, {"application/json;charset=utf-8", 403, true}, {"APPLICATION/PROBLEM+JSON", 500, true},
		{"text/html", 403, false}, {"application/jsonp", 200, false}, {"text/json+x", 200, false}, {"json", 200, false}, {"", 200, false},
	}
	for _, test := range tests {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{test.contentType}
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte("body"))
		})
		answer, err := ask(t.Context(), t, c, "x")
		if err != nil || answer.JSON != test.json || answer.Status != test.status || answer.Refused != (test.status == 403) || string(answer.Body) != "body" {
			t.Errorf("%q: %+v, %v", test.contentType, answer, err)
		}
	}
}

func TestBearer(t *testing.T) {
	if got, ok := web.Bearer(credential.NewSecret("a/b==")); !ok || got != "Bearer a/b==" {
		t.Errorf("%q, %v", got, ok)
	}
	if got, ok := web.Bearer(credential.NewSecret("a\r\nHost: x")); ok {
		t.Errorf("%q is a Bearer token", got)
	}
}
