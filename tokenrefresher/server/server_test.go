package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/server"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var fetched = time.Date(2026, 11, 23, 18, 0, 0, 5, time.UTC)

// registry is a server.Registry of functions.
type registry struct {
	name    string
	status  refresh.Status
	refresh func(context.Context) (tokenfile.Token, error)
	newer   func(context.Context, time.Time) (tokenfile.Token, error)
}

func (r registry) Name() string           { return r.name }
func (r registry) Status() refresh.Status { return r.status }
func (r registry) Refresh(ctx context.Context) (tokenfile.Token, error) {
	return r.refresh(ctx)
}
func (r registry) Newer(ctx context.Context, t time.Time) (tokenfile.Token, error) {
	return r.newer(ctx, t)
}

// ends is a registry whose refreshes end with err.
func ends(name string, err error) registry {
	token := tokenfile.Token{FetchedAt: fetched}
	return registry{
		name:    name,
		refresh: func(context.Context) (tokenfile.Token, error) { return token, err },
		newer: func(_ context.Context, t time.Time) (tokenfile.Token, error) {
			if err == nil && !t.Equal(fetched.Add(-1)) {
				err = fmt.Errorf("newer than %v", t)
			}
			return token, err
		},
	}
}

func TestControl(t *testing.T) {
	registries := []server.Registry{
		ends("main", nil),
		ends("down", errors.New("asking ECR for a token: AccessDeniedException (status 400)")),
		ends("limited", &refresh.LimitedError{RetryAfter: 1500 * time.Millisecond}),
		registry{name: "hangs", refresh: func(ctx context.Context) (tokenfile.Token, error) {
			<-ctx.Done()
			return tokenfile.Token{}, fmt.Errorf("waiting for the refresh: %w", ctx.Err())
		}},
	}
	const good = `{"fetchedAt":"2026-11-23T18:00:00.000000005Z"}`
	tests := []struct {
		name, method, url string
		status            int
		retryAfter, body  string
	}{
		{"refreshed", "POST", "/refresh?registry=main", 200, "", good},
		{"newer", "POST", "/refresh?registry=main&newer_than=2026-11-23T18:00:00.000000004Z", 200, "", good},
		{"newer, another zone", "POST", "/refresh?registry=main&newer_than=2026-11-23T19:00:00.000000004%2B01:00", 200, "", good},
		{"failed", "POST", "/refresh?registry=down", 502, "", `{"error":"asking ECR for a token: AccessDeniedException (status 400)"}`},
		{"limited", "POST", "/refresh?registry=limited", 429, "2", `{"error":"a refresh was asked for already; the next is allowed in 1.5s"}`},
		{"hangs", "POST", "/refresh?registry=hangs", 503, "", `{"error":"waiting for the refresh: context deadline exceeded"}`},
		{"no such registry", "POST", "/refresh?registry=other", 404, "", `{"error":"there is no registry \"other\""}`},
		{"no time", "POST", "/refresh?registry=main&newer_than=yesterday", 400, "", `{"error":"newer_than: expected an RFC 3339 time, found \"yesterday\""}`},
		// It refreshed all.
		{"malformed query", "POST", "/refresh?registry=%zz", 400, "", `{"error":"expected a query such as registry=NAME\u0026newer_than=TIME, found a malformed one"}`},
		{"semicolon", "POST", "/refresh?registry=main;newer_than=x", 400, "", `{"error":"expected a query such as registry=NAME\u0026newer_than=TIME, found a malformed one"}`},
		{"unknown parameter", "POST", "/refresh?repository=main", 400, "", `{"error":"expected the parameters registry and newer_than, found \"repository\""}`},
		{"empty registry", "POST", "/refresh?registry=", 400, "", `{"error":"registry: expected one value or none"}`},
		{"two registries", "POST", "/refresh?registry=main&registry=down", 400, "", `{"error":"registry: expected one value or none"}`},
		{"get", "GET", "/refresh?registry=main", 405, "", `{"message":"Method Not Allowed"}`},
		{"another path", "POST", "/", 404, "", `{"message":"Not Found"}`},
	}
	handler := server.NewControl(registries, 10*time.Millisecond)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.url, nil))
			if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.body || w.Header().Get("Retry-After") != test.retryAfter {
				t.Errorf("got %d %s, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestControlAll(t *testing.T) {
	tests := []struct {
		name       string
		registries []server.Registry
		status     int
		body       string
	}{
		{"good", []server.Registry{ends("a", nil), ends("b", nil)}, 200,
			`{"registries":{"a":{"fetchedAt":"2026-11-23T18:00:00.000000005Z"},"b":{"fetchedAt":"2026-11-23T18:00:00.000000005Z"}}}`},
		{"one failed", []server.Registry{ends("a", errors.New("AWS is down")), ends("b", nil), ends("c", &refresh.LimitedError{RetryAfter: time.Second})}, 502,
			`{"registries":{"a":{"error":"AWS is down"},"b":{"fetchedAt":"2026-11-23T18:00:00.000000005Z"},"c":{"error":"a refresh was asked for already; the next is allowed in 1s"}}}`},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		server.NewControl(test.registries, time.Minute).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/refresh", nil))
		if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.body {
			t.Errorf("%s: got %d %s", test.name, w.Code, w.Body)
		}
	}
}

func TestPrivate(t *testing.T) {
	numbers := prometheus.NewRegistry()
	numbers.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "a_number", Help: "A number."}, func() float64 { return 3 }))
	usable := registry{name: "a"}
	failing := registry{name: "b", status: refresh.Status{Failure: errors.New("AWS is down")}} // its token is good
	unusable := registry{name: "c", status: refresh.Status{Unusable: errors.New("there is no token")}}
	both := registry{name: "d", status: refresh.Status{Unusable: errors.New("there is no token"), Failure: errors.New("AWS is down")}}
	tests := []struct {
		registries []server.Registry
		path       string
		status     int
		want       string
	}{
		{[]server.Registry{unusable}, "/healthz", 200, "ok\n"},
		{[]server.Registry{usable, failing}, "/readyz", 200, "a: ok\nb: ok\n"},
		{[]server.Registry{usable, unusable, both}, "/readyz", 503, "a: ok\nc: not ready: there is no token\nd: not ready: there is no token; the last refresh failed: AWS is down\n"},
		{nil, "/metrics", 200, "a_number 3\n"},
		{nil, "/refresh", http.StatusNotFound, ""},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		server.NewPrivate(test.registries, numbers).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", test.path, nil))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: got %d %s", test.path, w.Code, w.Body)
		}
	}
}
