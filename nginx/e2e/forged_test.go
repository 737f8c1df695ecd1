package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// contract lists the headers between nginx and authsvc, in both directions.
var contract = []string{
	"X-Original-Method", "X-Original-URI", "X-Real-IP", "X-Request-ID", "X-Upstream-Rejected", "X-Upstream-Rejected-Token", "X-Upstream-Status",
	"X-Ecr-Authorization", "X-Ecr-Registry", "X-Ecr-Token-Id", "X-Auth-Subject", "X-Auth-License",
	"X-Registry-Status", "X-Registry-Error-Code", "X-Registry-Error-Message",
}

const forgery = "forged"

// TestForgedHeaders: headers of the contract are ignored if a client sends them
// (oauth2-proxy CVE-2026-40575, Caddy GHSA-7r4p-vjf4-gxv4, Traefik
// CVE-2026-39858: forged and underscore-aliased headers were believed).
func TestForgedHeaders(t *testing.T) {
	for _, server := range []string{"", "underscores_in_headers on; ignore_invalid_headers off;"} {
		s := start(t, stack.Options{Interpose: true, Server: server, Tokenrefresher: quick})
		push(t, s, "acme/appliance:1.0")
		issued := s.ECR.TokensIssued()
		for _, name := range contract {
			for _, alias := range []string{name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
				for _, proto := range protocols {
					for _, more := range [][]string{nil, {alias + ": again"}, {"Connection: " + alias}, {"Connection: X-Original-URI, Authorization"}} {
						if proto == "HTTP/2" && more != nil {
							continue // has no Connection header, and one protocol is enough
						}
						s.Forget()
						r := request{proto: proto, uri: manifest, header: append([]string{alias + ": " + forgery}, more...)}
						a := send(t, s, r)
						if a.status != 200 {
							t.Fatalf("%s %q: status %d, want 200", proto, r.header, a.status)
						}
						wantRequestID(t, proto, a)
						wantUnforged(t, s, r)
					}
				}
			}
		}
		if n := s.ECR.TokensIssued() - issued; n != 0 {
			t.Errorf("%d refreshes for forged headers", n)
		}
	}
}

func wantUnforged(t *testing.T, s *stack.Stack, r request) {
	t.Helper()
	for _, asked := range s.Authsvc.Requests() {
		want := map[string]string{"X-Original-Method": "GET", "X-Original-Uri": manifest, "X-Real-Ip": "127.0.0.1", "Authorization": basic(email, secret)}
		for name, value := range want {
			if got := asked.Header[name]; !slices.Equal(got, []string{value}) {
				t.Errorf("%s %q: authsvc was asked with %s %q", r.proto, r.header, name, got)
			}
		}
		for name, values := range asked.Header {
			if _, ok := want[name]; !ok && name != "X-Request-Id" && (name != "User-Agent" || r.proto != "HTTP/2") { // Go's library sends one
				t.Errorf("%s %q: authsvc was asked with %s %q", r.proto, r.header, name, values)
			}
			if slices.Contains(values, forgery) {
				t.Errorf("%s %q: authsvc heard %s %q", r.proto, r.header, name, values)
			}
		}
	}
	for _, sent := range s.ECR.Front.Requests() {
		if got := sent.Header.Values("Authorization"); len(got) != 1 || got[0] == basic(email, secret) || !strings.HasPrefix(got[0], "Basic QVdT") {
			t.Errorf("%s %q: the registry was sent %d Authorization headers", r.proto, r.header, len(got))
		}
		for name, values := range sent.Header {
			if slices.Contains(values, forgery) {
				t.Errorf("%s %q: the registry heard %s %q", r.proto, r.header, name, values)
			}
		}
	}
}

// TestForgedCredentials: nothing from the client that could be a credential, or
// change the meaning of the request, goes upstream.
func TestForgedCredentials(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	for _, name := range []string{
		"Proxy-Authorization", "Cookie", "X-Amz-Security-Token", "X-Amz-Date", "X-Amz-Content-Sha256", "X-HTTP-Method-Override",
		"X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via", "TE", "Upgrade",
	} {
		s.Forget()
		if a := send(t, s, request{uri: manifest, header: []string{name + ": " + forgery}}); a.status != 200 {
			t.Errorf("%s: status %d", name, a.status)
		}
		for _, sent := range s.ECR.Front.Requests() {
			if got := sent.Header.Values(name); len(got) > 0 {
				t.Errorf("the registry heard %s %q", name, got)
			}
		}
	}
}

// TestTwoAuthorizations: two Authorization headers are refused as ambiguous.
func TestTwoAuthorizations(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	bad := "Authorization: " + basic(email, "wrong")
	good := "Authorization: " + basic(email, secret)
	for _, header := range [][]string{{bad, good}, {good, bad}, {good, good}} {
		for _, proto := range protocols {
			a := send(t, s, request{proto: proto, uri: manifest, header: header, anonymous: true})
			if a.status < 400 {
				t.Errorf("%s: two Authorization headers: status %d", proto, a.status)
			}
		}
	}
	if n := s.ECR.Front.Received(); n != 0 {
		t.Errorf("%d of them reached the registry", n)
	}
}

// TestInternalLocations: anybody who could reach them would read the token.
func TestInternalLocations(t *testing.T) {
	s := start(t, stack.Options{Interpose: true, Server: "include registry/dedicated.conf;"})
	for _, uri := range []string{
		"/_registry/authorize", "/_registry/authorize-again", "/_registry/report", "/_registry/authorize/", "/_registry/", "/_registry/authorize?x", "//_registry/authorize",
		"/_registry%2fauthorize", "/x/../_registry/authorize", "/v2/../_registry/authorize", "/v2/%2e%2e/_registry/authorize", "/@registry_again",
	} {
		for _, proto := range protocols[:2] { // the HTTP/2 library does not send these
			a := send(t, s, request{proto: proto, uri: uri})
			if a.status < 400 {
				t.Errorf("%s %s: status %d", proto, uri, a.status)
			}
			wantNoLeak(t, uri, a)
		}
	}
	for _, asked := range s.Authsvc.Requests() { // by auth_request, for paths under /v2/
		if asked.URI != "/authorize" || !strings.HasPrefix(asked.Header.Get("X-Original-Uri"), "/v2/") {
			t.Errorf("authsvc was asked %s about %s", asked.URI, asked.Header.Get("X-Original-Uri"))
		}
	}
}

// TestHosts: the client's Host header changes nothing.
func TestHosts(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	for _, host := range []string{"docker.vendor.com", "evil.example", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "authsvc", "[::1]:80"} {
		s.Forget()
		if a := send(t, s, request{uri: manifest, header: []string{"Host: " + host}}); a.status != http.StatusOK {
			t.Errorf("Host %s: status %d", host, a.status)
		}
		for _, sent := range s.ECR.Front.Requests() {
			if sent.Host != s.ECR.Name() {
				t.Errorf("Host %s: the registry was asked as %s", host, sent.Host)
			}
		}
	}
}
