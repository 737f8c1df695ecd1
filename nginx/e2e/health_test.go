package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// health is the path of the health check for load balancers.
const health = "/_registry/health"

// wantHealth checks what a balancer is told, in each protocol and method, and that
// it is told nothing else.
func wantHealth(t *testing.T, s *stack.Stack, status int, word string) {
	t.Helper()
	every(t, s, request{uri: health, anonymous: true}, func(r request, a answer) {
		if r.method == http.MethodHead && a.body == "" {
			a.body = word
		}
		if a.status != status || a.body != word {
			t.Errorf("%s %s: %d %q, want %d %q", r.proto, r.method, a.status, a.body, status, word)
		}
		if got := a.header.Get("Content-Type"); got != "text/plain" {
			t.Errorf("%s %s: Content-Type %q", r.proto, r.method, got)
		}
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s: Cache-Control %q", r.proto, r.method, got)
		}
		wantRequestID(t, r.proto+" "+r.method, a)
		wantNoLeak(t, r.proto+" "+r.method, a)
		known := map[string]bool{"Server": true, "Date": true, "Content-Type": true, "Content-Length": true, "Connection": true,
			"Cache-Control": true, "X-Request-Id": true, "X-Content-Type-Options": true}
		for name := range a.header {
			if !known[name] {
				t.Errorf("%s %s: also has %s: %q", r.proto, r.method, name, a.header[name])
			}
		}
	})
}

// TestHealth: a balancer learns whether this machine can serve pulls, and nobody
// learns more.
func TestHealth(t *testing.T) {
	s := start(t, stack.Options{Interpose: true})
	push(t, s, "acme/appliance:1.0")
	wantHealth(t, s, 200, "ok\n")
	wantHealthElsewhere(t, s)
	for _, asked := range s.Authsvc.Requests() {
		if asked.URI == "/health" && len(asked.Header) != 0 {
			t.Errorf("authsvc was told of the client: %v", asked.Header)
		}
	}
	// What all machines share takes none of them out.
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS, s.ECR.Front} {
		server.Inject(standin.Fault{Reset: true})
		wantHealth(t, s, 200, "ok\n")
		server.ClearFaults()
	}
	// Whatever is not authsvc's answer is none.
	for _, fault := range []standin.Fault{{Status: 401}, {Status: 404, Body: leaky}, {Status: 500, Body: leaky}, {Status: 302}, {Reset: true}, {Hang: true}} {
		fault.Match = standin.Path("/health")
		s.Authsvc.Inject(fault)
		wantHealth(t, s, 503, "authsvc\n")
		s.Authsvc.ClearFaults()
	}
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, s, 503, "authsvc\n")
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, s, 200, "ok\n")

	if err := s.StopTokenrefresher(); err != nil {
		t.Fatal(err)
	}
	expired := tokenfile.Token{Host: s.ECR.Host(), Value: tokenfile.NewValue("QVdTOng="), FetchedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now()}
	if err := tokenfile.Write(s.TokenFile(), expired); err != nil {
		t.Fatal(err)
	}
	answers := func(status int) func() bool {
		return func() bool { return send(t, s, request{uri: health, anonymous: true}).status == status }
	}
	waitFor(t, "authsvc to read the expired token", answers(503))
	wantHealth(t, s, 503, "token\n")
	if err := s.StartTokenrefresher(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new token", answers(200))
	wantHealth(t, s, 200, "ok\n")
	if log := s.Log("authsvc"); strings.Contains(log, health) || strings.Contains(log, `"kind":"invalid"`) {
		t.Error("health checks are in authsvc's log")
	}
}

// wantHealthElsewhere: a server for balancers alone has the same check.
func wantHealthElsewhere(t *testing.T, s *stack.Stack) {
	t.Helper()
	err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
		o.Servers = "server { listen " + s.Host + "; server_name balancer.example; include registry/health.conf; location / { return 404; } }"
	})
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]int{health: 200, "/_registry/ask-health": 404, "/v2/": 404} {
		a := send(t, s, request{uri: uri, anonymous: true, header: []string{"Host: balancer.example"}})
		if a.status != want || want == 200 && a.body != "ok\n" {
			t.Errorf("%s in another server: %d %q, want %d", uri, a.status, a.body, want)
		}
	}
}

// TestHealthOfARefusedClient: limits of the surrounding server hold for the health
// check, and look like nothing else.
func TestHealthOfARefusedClient(t *testing.T) {
	s := start(t, stack.Options{})
	for config, status := range map[string]int{"deny all;": 403, "limit_req zone=x;": 503, "limit_req zone=x; limit_req_status 429;": 429} {
		err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
			o.HTTP, o.Server = "limit_req_zone $server_name zone=x:1m rate=1r/m;", config
		})
		if err != nil {
			t.Fatal(err)
		}
		send(t, s, request{uri: health, anonymous: true}) // takes what the limit has
		wantHealth(t, s, status, "refused\n")
		for _, uri := range []string{"/_registry/ask-health", "/_registry/ask-health/"} {
			if a := send(t, s, request{uri: uri, anonymous: true}); a.status < 400 {
				t.Errorf("%s: status %d", uri, a.status)
			}
		}
	}
}
