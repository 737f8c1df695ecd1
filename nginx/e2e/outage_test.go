package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// impatient is settings/authsvc-timeouts.conf for tests that wait for timeouts.
var impatient = map[string]string{"authsvc-timeouts.conf": `
proxy_connect_timeout 300ms;
proxy_send_timeout 300ms;
proxy_read_timeout 300ms;
`}

const tagsList = "/v2/acme/appliance/tags/list"

// wantUnavailable checks that a pull and a ping report an outage, in each protocol
// and method.
func wantUnavailable(t *testing.T, s *stack.Stack, uris ...string) {
	t.Helper()
	for _, uri := range uris {
		every(t, s, request{uri: uri}, func(r request, a answer) { wantError(t, r, a, 503, "UNAVAILABLE") })
	}
}

func TestAuthsvcIsDown(t *testing.T) {
	s := start(t, stack.Options{Settings: impatient})
	push(t, s, "acme/appliance:1.0")
	wantPull := func() {
		t.Helper()
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
	}
	wantPull()

	if err := s.PauseAuthsvc(); err != nil { // it accepts connections, and does not answer
		t.Fatal(err)
	}
	wantUnavailable(t, s, manifest, "/v2/", tagsList)
	if err := s.ResumeAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantPull()

	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, s, manifest, "/v2/", tagsList)
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPull()
}

// TestAuthsvcAnswersGarbage: bytes that are not HTTP, or incomplete.
func TestAuthsvcAnswersGarbage(t *testing.T) {
	s := start(t, stack.Options{Settings: impatient})
	push(t, s, "acme/appliance:1.0")
	var garbage string
	_, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(garbage)) // nginx may close before the end
		_ = conn.Close()
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"not HTTP":        "garbage",
		"a page":          "<html>200 OK</html>\r\n\r\n",
		"half a header":   "HTTP/1.1 200 OK\r\nX-Ecr-Reg",
		"a long header":   "HTTP/1.1 200 OK\r\nX-Ecr-Registry: " + strings.Repeat("a", 100<<10) + "\r\n\r\n",
		"a bad status":    "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
		"null in a value": "HTTP/1.1 200 OK\r\nX-Ecr-Registry: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"no status":       "HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			garbage = text
			wantUnavailable(t, s, manifest, "/v2/") // not lists: nginx/README.md, "Limits"
		})
	}
}

func TestRegistryIsDown(t *testing.T) {
	for _, noStream := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept connections: %v", !noStream), func(t *testing.T) {
			s := start(t, stack.Options{NoStream: noStream, Settings: map[string]string{}})
			push(t, s, "acme/appliance:1.0")
			if a := get(t, s, manifest); a.status != 200 {
				t.Fatalf("status %d, want 200", a.status)
			}
			s.ECR.Front.Inject(standin.Fault{Reset: true})
			wantUnavailable(t, s, manifest)
			s.ECR.Front.ClearFaults()
			if a := get(t, s, manifest); a.status != 200 {
				t.Errorf("after the outage: status %d, want 200", a.status)
			}
			if err := s.ECR.Front.Close(); err != nil {
				t.Fatal(err)
			}
			wantUnavailable(t, s, manifest)
		})
	}
}

func TestNoDNS(t *testing.T) {
	s := start(t, stack.Options{NoStream: true})
	s.DNS.Fail(true)
	wantUnavailable(t, s, manifest)
}

// TestRegistrysCertificate: nginx rejects a certificate of another CA, or for
// another name.
func TestRegistrysCertificate(t *testing.T) {
	for _, noStream := range []bool{false, true} {
		s := start(t, stack.Options{NoStream: noStream})
		push(t, s, "acme/appliance:1.0")
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
		other, err := pki.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		trust := func(file string) {
			t.Helper()
			err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
				o.Settings = map[string]string{"upstream.conf": fmt.Sprintf("resolver %s valid=1s ipv6=off;\nproxy_ssl_trusted_certificate %s;\n", s.DNS.Addr(), file)}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		trust(other.File)
		wantUnavailable(t, s, manifest)
		if got := s.ECR.Front.Received(); got != 1 {
			t.Errorf("the registry received %d requests, want the first one alone", got)
		}
	}
}

// TestRegistryByAnotherName: the certificate must be for the name in the token file.
func TestRegistryByAnotherName(t *testing.T) {
	s := start(t, stack.Options{NoStream: true})
	token := tokenOf(t, s)
	const name = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"
	if err := s.DNS.Set(name, 0, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.ECR.Host())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ecr-Registry", name+":"+port)
		w.Header().Set("X-Ecr-Token-Id", "1")
		w.Header().Set("X-Ecr-Authorization", token)
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, s, manifest)
	if got := s.ECR.Front.Received(); got != 0 {
		t.Errorf("the registry received %d requests under a name that is not its own", got)
	}
}

// TestVendorsAPIIsDown: known customers are served, others are told about the
// outage, and nobody is told "wrong password".
func TestVendorsAPIIsDown(t *testing.T) {
	s := start(t, stack.Options{Authsvc: map[string]any{"cache.ttl": "1s"}})
	push(t, s, "acme/appliance:1.0")
	if a := get(t, s, manifest); a.status != 200 {
		t.Fatalf("status %d, want 200", a.status)
	}
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS} {
		server.Inject(standin.Fault{Status: 500, Body: "<html>"})
	}
	stranger := request{uri: manifest, user: "new@acme.example", password: "another-token"}
	wantError(t, stranger, send(t, s, stranger), 503, "UNAVAILABLE")
	waitFor(t, "the API to be asked about the known customer", func() bool {
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("a known customer in an outage: status %d, want 200", a.status)
		}
		return strings.Contains(s.Log("authsvc"), `"cache":"stale"`)
	})
	// A refusal ends access, even in an outage.
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS} {
		server.ClearFaults()
	}
	s.Vendor.RemoveAccount(secret)
	waitFor(t, "the removed account's refusal", func() bool { return get(t, s, manifest).status == 401 })
}

func TestNoToken(t *testing.T) {
	s := start(t, stack.Options{Timeout: 2 * time.Second})
	if err := s.StopTokenrefresher(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.TokenFile(), "{")
	if a := get(t, s, "/v2/"); a.status != 200 {
		t.Errorf("a broken file took the place of a good token: status %d", a.status)
	}
	if err := s.RestartAuthsvc(t.Context()); err == nil {
		t.Error("authsvc is ready without a token")
	}
	wantUnavailable(t, s, manifest, tagsList)
	if a := get(t, s, "/v2/"); a.status != 200 {
		t.Errorf("docker login, which fetches nothing and needs no token: status %d", a.status)
	}
	if matches, err := filepath.Glob(s.TokenFile() + "*"); err != nil || len(matches) != 1 {
		t.Errorf("files of the token: %q, %v", matches, err)
	}
}
