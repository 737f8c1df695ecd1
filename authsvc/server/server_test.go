package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	host   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

type vendor struct {
	authenticate func(credential.Credential) (auth.Decision, error)
}

func (v vendor) Authenticate(_ context.Context, c auth.Caller) (auth.Decision, error) {
	return v.authenticate(c.Credential)
}

// A tokenSource is a token file.
type tokenSource struct {
	current func() (tokenfile.Token, error)
}

func (s tokenSource) Current() (tokenfile.Token, error) { return s.current() }
func (s tokenSource) Wait(context.Context, time.Time) (tokenfile.Token, error) {
	return tokenfile.Token{}, errors.New("no other token comes")
}

// routes lead to one registry, main.
func routes(s tokenSource, logger ...*slog.Logger) *upstream.Routes {
	c := upstream.Config{Name: "main", Timeout: time.Second}
	if len(logger) > 0 {
		c.Logger = logger[0]
	}
	return upstream.NewRoutes(upstream.Route{First: upstream.New(s, c)})
}

// releases are one image with one layer in one repository.
type releases struct{}

func (releases) Find(_ context.Context, repository, d string, want release.Tags) (release.Found, error) {
	switch {
	case repository == "acme/down":
		return release.Found{}, errors.New("dial tcp 10.0.0.2: refused")
	case repository == "acme/appliance" && d == digest && want.Match("1.4"):
		return release.Found{Tag: "1.4"}, nil
	}
	return release.Found{}, nil
}

func (releases) Tags(_ context.Context, repository string) ([]string, bool, error) {
	switch repository {
	case "acme/down":
		return nil, false, errors.New("dial tcp 10.0.0.2: refused")
	case "acme/appliance":
		return []string{"1.3", "1.4", "1.5", "2.0"}, false, nil
	}
	return nil, false, release.ErrNotFound
}

func (releases) Asked(string, string) {}

func token(secret string) tokenfile.Token {
	return tokenfile.Token{Host: host, Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:" + secret))), FetchedAt: now}
}

func pattern(t testing.TB, glob string) auth.Pattern {
	t.Helper()
	p, err := auth.NewPattern(glob)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fixture is a server with one customer, ann, whose token is "t0ken".
type fixture struct {
	handler http.Handler
	private http.Handler
	log     *bytes.Buffer
	numbers *prometheus.Registry
	trouble string // what is wrong, and no reason not to serve
}

func newFixture(t testing.TB, change func(*server.Options)) *fixture {
	t.Helper()
	known := auth.Decision{Subject: "ann@example.com", User: "ann@example.com", Cache: auth.Hit, Grants: auth.NewGrants([]auth.Grant{
		{Repository: pattern(t, "acme/appliance"), Tag: pattern(t, "1.*"), Expires: now.Add(time.Hour), License: "lic_1"},
		{Repository: pattern(t, "acme/ended"), Tag: pattern(t, "*"), Expires: now.Add(-24 * time.Hour), License: "lic_2"},
	}...)}
	f := &fixture{log: &bytes.Buffer{}, numbers: prometheus.NewRegistry()}
	logger := slog.New(slog.NewJSONHandler(f.log, nil))
	registries := routes(tokenSource{func() (tokenfile.Token, error) { return token("current"), nil }}, logger)
	options := server.Options{
		Decider: &decision.Decider{Authenticator: vendor{func(c credential.Credential) (auth.Decision, error) {
			if c.User != "ann@example.com" || c.Secret.Reveal() != "t0ken" {
				return auth.Decision{Refusal: auth.WrongCredential, Cache: auth.Miss}, nil
			}
			return known, nil
		}}, Rules: &entitlement.Rules{Releases: releases{}, Renew: `renew at "https://vendor.com/?a=ä"`,
			Now: func() time.Time { return now }}, Routes: registries, Key: credential.NewKey([]byte("key"))},
		Realm:       "docker.vendor.com",
		MaxRequests: 2,
		Logger:      logger,
		Metrics:     server.NewMetrics(f.numbers),
		Registries:  registries,
	}
	registries.Register(f.numbers)
	if change != nil {
		change(&options)
	}
	f.handler = server.New(options)
	f.private = server.NewPrivate(decider(&options).Routes, f.numbers, func() []string {
		if f.trouble == "" {
			return nil
		}
		return []string{f.trouble}
	})
	return f
}

func decider(o *server.Options) *decision.Decider { return o.Decider.(*decision.Decider) }

// number is the value of a counter without labels.
func (f fixture) number(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.numbers.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return 0
}

// metrics are what Prometheus gets.
func (f *fixture) metrics() string {
	w := httptest.NewRecorder()
	f.private.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func basic(userPass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userPass))
}

func (f *fixture) ask(path, method, uri, authorization string, more ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("X-Original-Method", method)
	r.Header.Set("X-Original-URI", uri)
	r.Header.Set("X-Request-ID", "request-1")
	r.Header.Set("X-Real-IP", "192.0.2.1")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Add(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Result()
}

// hashed is how a user is named whom nobody has confirmed.
func hashed(user string) string {
	return "user:" + credential.NewKey([]byte("key")).Hash("user", user).Short()
}

const challenge = `Basic realm="docker.vendor.com", charset="UTF-8"`

// TestAuthorize is the contract with nginx, a row a case.
func TestAuthorize(t *testing.T) {
	right := basic("ann@example.com:t0ken")
	allowed := map[string]string{
		"X-Ecr-Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:current")), "X-Ecr-Registry": host,
		"X-Ecr-Token-Id": "main.20261123T120000.000000000Z", "X-Auth-Subject": "ann@example.com", "X-Auth-License": "lic_1",
		"X-Ecr-Path": "", "X-Ecr-Standby": "", // routes_test.go has those
	}
	tests := []struct {
		name, method, uri, authorization string
		more                             []string
		wantStatus                       int
		want                             map[string]string
	}{
		{name: "tag", uri: "/v2/acme/appliance/manifests/1.4", authorization: right, wantStatus: 200, want: allowed},
		{name: "head", method: "HEAD", uri: "/v2/acme/appliance/manifests/1.4", authorization: right, wantStatus: 200, want: allowed},
		{name: "digest", uri: "/v2/acme/appliance/blobs/" + digest, authorization: right, wantStatus: 200, want: allowed},
		{name: "no credential", uri: "/v2/acme/appliance/manifests/1.4", wantStatus: 401, want: map[string]string{
			"WWW-Authenticate": challenge, "X-Registry-Error-Code": "UNAUTHORIZED",
			"X-Registry-Error-Message": "authentication is required: run docker login with your e-mail and your API token"}},
		{name: "malformed credential", uri: "/v2/acme/appliance/manifests/1.4", authorization: "Basic !", wantStatus: 401, want: map[string]string{
			"WWW-Authenticate": challenge, "X-Registry-Error-Code": "UNAUTHORIZED",
			"X-Registry-Error-Message": "the credential is malformed: run docker login again with your e-mail and your API token"}},
		{name: "two credentials", uri: "/v2/acme/appliance/manifests/1.4", authorization: right, more: []string{"Authorization", right},
			wantStatus: 401, want: map[string]string{"WWW-Authenticate": challenge, "X-Registry-Error-Code": "UNAUTHORIZED"}},
		{name: "wrong password", uri: "/v2/acme/appliance/manifests/1.4", authorization: basic("ann@example.com:wrong"), wantStatus: 401,
			want: map[string]string{"WWW-Authenticate": challenge, "X-Registry-Error-Code": "UNAUTHORIZED", "X-Auth-Subject": hashed("ann@example.com"),
				"X-Registry-Error-Message": "the e-mail or the API token is wrong"}},
		// eurotech/auth-ecr-proxy: any password passed when the URI held "blobs" or "manifests".
		{name: "wrong password for a blob", uri: "/v2/acme/appliance/blobs/" + digest, authorization: basic("ann@example.com:wrong"), wantStatus: 401,
			want: map[string]string{"WWW-Authenticate": challenge, "X-Registry-Error-Code": "UNAUTHORIZED"}},
		// A token pasted as the user name must not stand in a log.
		{name: "unknown user", uri: "/v2/a/manifests/1", authorization: basic("t0ken-in-the-wrong-place:x"), wantStatus: 401,
			want: map[string]string{"X-Auth-Subject": hashed("t0ken-in-the-wrong-place")}},
		{name: "tag never licensed", uri: "/v2/acme/appliance/manifests/2.0", authorization: right, wantStatus: 403,
			want: map[string]string{"X-Registry-Status": "404", "X-Registry-Error-Code": "MANIFEST_UNKNOWN",
				"X-Registry-Error-Message": "acme/appliance:2.0 does not exist or is not part of your license"}},
		{name: "repository never licensed", uri: "/v2/acme/other/manifests/1.4", authorization: right, wantStatus: 403,
			want: map[string]string{"X-Registry-Status": "404", "X-Registry-Error-Code": "NAME_UNKNOWN"}},
		{name: "license expired", uri: "/v2/acme/ended/manifests/1", authorization: right, wantStatus: 403,
			want: map[string]string{"X-Registry-Status": "403", "X-Registry-Error-Code": "DENIED", "X-Auth-License": "lic_2",
				"X-Registry-Error-Message": `license lic_2 expired on 2026-11-22; renew at \"https://vendor.com/?a=\u00e4\"`}},
		{name: "push", method: "PUT", uri: "/v2/acme/appliance/manifests/1.4", authorization: right, wantStatus: 403,
			want: map[string]string{"X-Registry-Status": "405", "X-Registry-Error-Code": "UNSUPPORTED"}},
		{name: "path to be normalized", uri: "/v2/acme/appliance/../other/manifests/1.4", authorization: right, wantStatus: 403,
			want: map[string]string{"X-Registry-Status": "400", "X-Registry-Error-Code": "NAME_INVALID"}},
		// Authelia GHSA-68wm-pfjf-wqp6: a malformed request made the verify endpoint answer 200.
		{name: "no URI", uri: "", authorization: right, wantStatus: 403, want: map[string]string{"X-Registry-Status": "404"}},
		// Whoever was in the socket's group read ECR's token with any account,
		// by a ping: nothing is fetched, so there is none.
		{name: "ping", uri: "/v2/", authorization: right, wantStatus: 200, want: map[string]string{
			"X-Auth-Subject": "ann@example.com", "X-Ecr-Authorization": "", "X-Ecr-Registry": "", "X-Ecr-Token-Id": ""}},
		{name: "rejected token", uri: "/v2/acme/appliance/manifests/1.4", authorization: right,
			more: []string{"X-Upstream-Rejected", "403", "X-Upstream-Rejected-Token", "main.x"}, wantStatus: 200,
			want: map[string]string{"X-Ecr-Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:current"))}},
		// oauth2-proxy CVE-2026-34457: a health check by User-Agent answered 200 on the auth path.
		{name: "health check", uri: "/v2/acme/appliance/manifests/1.4", more: []string{"User-Agent", "ELB-HealthChecker/2.0"}, wantStatus: 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = http.MethodGet
			}
			got := newFixture(t, nil).ask("/authorize", method, test.uri, test.authorization, test.more...)
			isContract(t, got)
			if got.StatusCode != test.wantStatus {
				t.Errorf("status %d, want %d", got.StatusCode, test.wantStatus)
			}
			if fetches := got.StatusCode == 200 && test.uri != "/v2/"; fetches != (got.Header.Get("X-Ecr-Authorization") != "") {
				t.Errorf("a request that fetches (%t) with the Authorization %q", fetches, got.Header.Get("X-Ecr-Authorization"))
			}
			for name, want := range test.want {
				if value := got.Header.Get(name); value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
		})
	}
}

// isContract checks what holds for every answer to auth_request.
func isContract(t *testing.T, got *http.Response) {
	t.Helper()
	body, _ := io.ReadAll(got.Body)
	if len(body) > 0 || got.Header.Get("Content-Length") != "0" {
		t.Errorf("body %q, Content-Length %q: nginx uses the connection again only after an empty body", body, got.Header.Get("Content-Length"))
	}
	h := got.Header
	if h.Get("X-Ecr-Authorization") == "" && h.Get("X-Ecr-Token-Id")+h.Get("X-Ecr-Path")+h.Get("X-Ecr-Standby") != "" {
		t.Errorf("what to forward without a key: %v", h)
	}
	switch got.StatusCode {
	case 200:
		if (h.Get("X-Ecr-Authorization") == "") != (h.Get("X-Ecr-Registry") == "") || h.Get("X-Auth-Subject") == "" || h.Get("X-Registry-Error-Code") != "" {
			t.Errorf("200 with %v", h)
		}
	case 401:
		if h.Get("Www-Authenticate") == "" || h.Get("X-Registry-Error-Code") == "" || h.Get("X-Registry-Error-Message") == "" || h.Get("X-Ecr-Authorization") != "" {
			t.Errorf("401 with %v", h)
		}
	case 403:
		if h.Get("X-Registry-Status") == "" || h.Get("X-Registry-Error-Code") == "" || h.Get("X-Registry-Error-Message") == "" || h.Get("X-Ecr-Authorization") != "" {
			t.Errorf("403 with %v", h)
		}
	default:
		t.Errorf("status %d; nginx knows 200, 401 and 403", got.StatusCode)
	}
}

// TestOutage: an outage is 503, never a 401 that makes the customer doubt the
// password (tailscale nginx-auth, nginx-ldap-auth), and its details are the
// operator's.
func TestOutage(t *testing.T) {
	internal := errors.New("dial tcp 10.0.0.1: refused")
	tests := []struct {
		name   string
		more   []string
		change func(*server.Options)
		cause  string
	}{
		{name: "vendor down", change: func(o *server.Options) {
			decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) { return auth.Decision{}, internal }}
		}},
		{name: "panic", change: func(o *server.Options) {
			decider(o).Authenticator = vendor{func(c credential.Credential) (auth.Decision, error) { panic(c) }}
		}},
		{name: "no token", change: func(o *server.Options) {
			decider(o).Routes = routes(tokenSource{func() (tokenfile.Token, error) { return tokenfile.Token{}, internal }})
		}},
		{name: "no new token", more: []string{"X-Upstream-Rejected", "403", "X-Upstream-Rejected-Token", "main." + upstream.ID(token("current"))}, change: func(o *server.Options) {
			decider(o).Routes = routes(tokenSource{func() (tokenfile.Token, error) { return token("current"), nil }})
		}, cause: "the registry rejects the token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, test.change)
			got := f.ask("/authorize", "GET", "/v2/acme/appliance/manifests/1.4", basic("ann@example.com:t0ken"), test.more...)
			isContract(t, got)
			h := got.Header
			if got.StatusCode != 403 || h.Get("X-Registry-Status") != "503" || h.Get("Retry-After") == "" || h.Get("X-Registry-Error-Code") != "UNAVAILABLE" {
				t.Errorf("status %d with %v", got.StatusCode, h)
			}
			if strings.Contains(h.Get("X-Registry-Error-Message"), "10.0.0.1") {
				t.Error("the customer is shown the operator's details")
			}
			if test.name != "panic" && !strings.Contains(f.log.String(), cmp.Or(test.cause, internal.Error())) {
				t.Errorf("the log does not tell the cause: %s", f.log)
			}
			if panics := f.number(t, "authsvc_panics_total"); (panics == 1) != (test.name == "panic") {
				t.Errorf("%g panics are counted", panics)
			}
			if strings.Contains(f.log.String(), "t0ken") {
				t.Errorf("the log has the secret: %s", f.log)
			}
		})
	}
}

func TestUnknownPathIsNoAllowance(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/", "/authorize/", "/healthz", "/metrics", "/v2/", "/v2/x"} {
		isContract(t, f.ask(path, "GET", "/v2/", basic("ann@example.com:t0ken")))
	}
}

// TestReport: nginx's reports are counted, and decide nothing. An outage brings
// one for each request, and its log must stay readable.
func TestReport(t *testing.T) {
	f := newFixture(t, nil)
	wantCounts := func(counts map[string]int) {
		t.Helper()
		for status, n := range counts {
			if want := fmt.Sprintf("authsvc_nginx_registry_failures_total{status=%q,upstream=\"main\"} %d\n", status, n); !strings.Contains(f.metrics(), want) {
				t.Errorf("expected %s in the metrics:\n%s", want, f.metrics())
			}
		}
	}
	wantCounts(map[string]int{"502": 0, "504": 0, "other": 0})
	for _, status := range []string{"502", "504", "502", "500", "", "502\n", "t0ken"} {
		got := f.ask("/report", "GET", "/v2/", basic("ann@example.com:t0ken"), "X-Upstream-Status", status)
		if got.StatusCode != 204 || len(got.Header) != 0 {
			t.Errorf("status %q: %d %v, want 204 and no header", status, got.StatusCode, got.Header)
		}
	}
	wantCounts(map[string]int{"502": 2, "504": 1, "other": 4})
	if log := f.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `"msg":"nginx cannot reach the registry","upstream":"main","status":"502"`) {
		t.Errorf("expected the first of the reports alone in the log, found %s", log)
	}
	if !strings.Contains(f.metrics(), "authsvc_decision_duration_seconds_count 0\n") || strings.Contains(f.metrics()+f.log.String(), "t0ken") {
		t.Errorf("a report is a decision, or shows what it was sent:\n%s\n%s", f.metrics(), f.log)
	}
}

// TestUnverifiedUser: where the source confirms no user, the typed one stands
// beside the account, marked, and without what a header cannot hold.
func TestUnverifiedUser(t *testing.T) {
	f := newFixture(t, func(o *server.Options) {
		decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) {
			return auth.Decision{Subject: "account-1"}, nil
		}}
	})
	got := f.ask("/authorize", "GET", "/v2/", basic("ä@b\u2028:t0ken"))
	if subject := got.Header.Get("X-Auth-Subject"); subject != "account-1 (unverified: ?@b?)" {
		t.Errorf("X-Auth-Subject: %q", subject)
	}
	for _, want := range []string{`"subject":"account-1"`, `"unverified_user":"?@b?"`} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%s is not in the log line %s", want, f.log)
		}
	}
}

// TestTooManyGuesses: 429 with a time, in the contract's form.
func TestTooManyGuesses(t *testing.T) {
	f := newFixture(t, func(o *server.Options) {
		decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) {
			return auth.Decision{Refusal: auth.TooManyGuesses, RetryAfter: 7 * time.Second}, nil
		}}
	})
	got := f.ask("/authorize", "GET", "/v2/", basic("ann@example.com:t0ken"))
	isContract(t, got)
	if h := got.Header; h.Get("X-Registry-Status") != "429" || h.Get("Retry-After") != "7" || h.Get("X-Registry-Error-Code") != "TOOMANYREQUESTS" {
		t.Errorf("%v", h)
	}
}

// TestOverload: more questions than listen.max_requests are an outage at once,
// and when those before are answered all is as it was.
func TestOverload(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(o *server.Options) {
		decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) {
			asked <- struct{}{}
			<-answer
			return auth.Decision{Subject: "ann"}, nil
		}}
	})
	ask := func() *http.Response { return f.ask("/authorize", "GET", "/v2/", basic("ann@example.com:t0ken")) }
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() { isContract(t, ask()) })
		<-asked
	}
	got := ask()
	isContract(t, got)
	if got.Header.Get("X-Registry-Status") != "503" || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	close(answer)
	waiting.Wait()
	go func() { <-asked }()
	if got := ask(); got.StatusCode != 200 {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

// TestClientThatLeft: whoever ends a pull by Ctrl-C is no outage.
func TestClientThatLeft(t *testing.T) {
	f := newFixture(t, func(o *server.Options) {
		decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) {
			return auth.Decision{}, fmt.Errorf("asking the vendor: %w", context.Canceled)
		}}
	})
	isContract(t, f.ask("/authorize", "GET", "/v2/acme/appliance/manifests/1.4", basic("ann@example.com:t0ken")))
	for _, want := range []string{`"level":"INFO"`, `"decision":"canceled"`} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%s is not in the log line %s", want, f.log)
		}
	}
}

func TestPrivate(t *testing.T) {
	down := func(o *server.Options) {
		decider(o).Routes = routes(tokenSource{func() (tokenfile.Token, error) { return tokenfile.Token{}, errors.New("expired") }})
	}
	tests := []struct {
		path   string
		change func(*server.Options)
		status int
		want   string
		// trouble is one for which a balancer must not take the machine out.
		trouble string
	}{
		{"/healthz", nil, 200, "ok\n", ""},
		{"/healthz", down, 200, "ok\n", ""},
		{"/readyz", nil, 200, "ok\n", ""},
		{"/readyz", down, 503, "not ready: expired\n", ""},
		{"/readyz", nil, 200, "ok\ndegraded: the vendor's API fails\n", "the vendor's API fails"},
		{"/metrics", nil, 200, `authsvc_decisions_total{cache="hit",outcome="allow"} 1`, ""},
		{"/metrics", nil, 200, `authsvc_decisions_total{cache="none",outcome="pagination_number_invalid"} 0`, ""},
		{"/metrics", nil, 200, "authsvc_requests_in_flight 0\n", ""},
		{"/metrics", nil, 200, "authsvc_max_requests_in_flight 2\n", ""},
		{"/metrics", nil, 200, `authsvc_upstream_token_expiry_timestamp_seconds{upstream="main"} +Inf`, ""},
		{"/metrics", nil, 200, "authsvc_decision_duration_seconds_count 1", ""},
	}
	for _, test := range tests {
		f := newFixture(t, test.change)
		f.trouble = test.trouble
		f.ask("/authorize", "GET", "/v2/acme/appliance/manifests/1.4", basic("ann@example.com:t0ken"))
		w := httptest.NewRecorder()
		f.private.ServeHTTP(w, httptest.NewRequest("GET", test.path, nil))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %d %s", test.path, w.Code, w.Body, test.status, test.want)
		}
	}
}

// BenchmarkDecision is one whole decision for a credential that the cache
// knows: headers in, headers out, and the log line.
func BenchmarkDecision(b *testing.B) {
	f := newFixture(b, func(o *server.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
		decider(o).Authenticator = authtest.NewCache(source{decider(o).Authenticator.(vendor)},
			auth.CacheConfig{TTL: time.Hour, RefusalTTL: time.Hour, MaxEntries: 10, MaxRefusals: 10})
		current := token("current")
		decider(o).Routes = routes(tokenSource{func() (tokenfile.Token, error) { return current, nil }})
	})
	r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
	r.Header.Set("X-Original-Method", "GET")
	r.Header.Set("X-Original-URI", "/v2/acme/appliance/manifests/1.4")
	r.Header.Set("X-Real-IP", "192.0.2.1")
	r.Header.Set("X-Request-ID", "5f3a9c015f3a9c015f3a9c015f3a9c01")
	r.Header.Set("Authorization", basic("ann@example.com:t0ken"))
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		f.handler.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// source makes a vendor an auth.Source.
type source struct{ vendor }

func (s source) Authenticate(_ context.Context, c credential.Credential) (auth.Decision, error) {
	return s.authenticate(c)
}

func (source) Bearer() bool { return true }

// discard is a response that is not kept, so that it costs nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) Write(text []byte) (int, error) { return len(text), nil }
func (d *discard) WriteHeader(status int)         { d.status = status }
