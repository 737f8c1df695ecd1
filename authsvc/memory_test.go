package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestEveryCustomersPasswordLiesInMemory: authsvc's memory held each customer's
// password, in clear, for as long as the entry in the cache: 100,000 of
// 100,000. Nothing that outlives a request keeps one. So when 1,000 customers
// are in the cache, and others have asked since, the passwords of the 1,000 are
// gone.
//
// "Others have asked since", because nobody wipes memory that is free: it holds
// what it held until it is used again. So do the buffers of connections, of
// which there are few.
func TestEveryCustomersPasswordLiesInMemory(t *testing.T) {
	const marked, others, most = 1000, 3000, 10
	p := startProgram(t)
	for i := range marked {
		p.logIn(t, fmt.Sprintf("marked-%04d@acme.example", i), fmt.Sprintf("%s%04d-of-a-customer", mark, i))
	}
	if held(t, p.pid) == 0 {
		t.Error("no password was found right after its use: the search finds nothing")
	}
	for i := range others {
		p.logIn(t, fmt.Sprintf("nobody-%04d@acme.example", i), fmt.Sprintf("not-marked-%05d-of-a-customer", i))
	}
	if entries := fmt.Sprintf("authsvc_cache_entries{kind=\"accepted\",source=\"kloudless\"} %d\n", marked+others); !strings.Contains(p.get(t, p.private, "/metrics", nil), entries) {
		t.Error("not all customers are in the cache")
	}
	n := held(t, p.pid)
	t.Logf("the passwords of %d of %d customers are in memory", n, marked)
	if n > most {
		t.Errorf("the passwords of %d of %d customers are in memory, want %d at most", n, marked, most)
	}
}

// A started is authsvc as a process of its own, before a vendor's API that
// accepts every token.
type started struct {
	pid            int
	asked, private *http.Client
}

func startProgram(t *testing.T) started {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	vendor := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"objects":[{"id":"lic_1","active":true,"expiration":null,"docker_releases":[{"repository":"acme/*","tags":["1.*"]}]}]}`)
	}))
	vendor.EnableHTTP2 = true
	vendor.StartTLS()
	t.Cleanup(vendor.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vendor.Certificate().Raw})
	if err := os.WriteFile(path("ca.pem"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	token := tokenfile.Token{Host: "registry.example.com", FetchedAt: time.Now(), Value: tokenfile.NewValue("QVdTOmtleQ==")}
	if err := tokenfile.Write(path("main.json"), token); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path("authsvc"), ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	program := exec.CommandContext(t.Context(), path("authsvc"), "--config", "", "--listen.address", "unix:"+path("asked"), "--private.address", "unix:"+path("private"),
		"--upstream.token_file", path("main.json"), "--upstream.refresh_socket", "", "--kloudless.url", vendor.URL, "--kloudless.ca_file", path("ca.pem"))
	program.Env = []string{"GOGC=50"} // so that the collector has run since
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	})
	for range 1000 {
		if _, err := os.Stat(path("private")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return started{program.Process.Pid, dialing(t, path("asked")), dialing(t, path("private"))}
}

// dialing is a client of a unix socket.
func dialing(t *testing.T, socket string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (p started) get(t *testing.T, c *http.Client, path string, change func(*http.Request)) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://authsvc"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, response.StatusCode, err)
	}
	return string(body)
}

// logIn asks what nginx asks when a customer logs in.
func (p started) logIn(t *testing.T, user, password string) {
	t.Helper()
	p.get(t, p.asked, "/authorize", func(r *http.Request) {
		r.SetBasicAuth(user, password)
		r.Header.Set("X-Original-Method", http.MethodGet)
		r.Header.Set("X-Original-URI", "/v2/")
		r.Header.Set("X-Real-IP", "192.0.2.1")
	})
}

// mark begins a password, and base64Mark the credential of its user.
const mark = "marked-password-"

var base64Mark = base64.StdEncoding.EncodeToString([]byte("marked"))

// held counts the marked passwords that a process's memory holds, in clear or
// as they come in Authorization.
func held(t *testing.T, pid int) int {
	t.Helper()
	found := map[string]bool{}
	for content := range memoryOf(t, pid) {
		for at := range indexes(content, mark) {
			found[string(content[at+len(mark):][:4])] = true
		}
		for at := range indexes(content, base64Mark) { // of "marked-0000"
			if user, err := base64.StdEncoding.DecodeString(string(content[at:][:16])); err == nil {
				found[string(user[7:11])] = true
			}
		}
	}
	return len(found)
}

// indexes yields where a text begins that has 16 more bytes after it.
func indexes(content []byte, text string) iter.Seq[int] {
	return func(yield func(int) bool) {
		for from := 0; ; {
			i := bytes.Index(content[from:], []byte(text))
			if i < 0 || from+i+len(text)+16 > len(content) || !yield(from+i) {
				return
			}
			from += i + len(text)
		}
	}
}

// memoryOf yields what a process can write to (proc(5)).
func memoryOf(t *testing.T, pid int) iter.Seq[[]byte] {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func([]byte) bool) {
		defer memory.Close() //nolint:errcheck // read only
		for line := range strings.Lines(string(maps)) {
			var from, to uint64
			var mode string
			if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if !strings.HasPrefix(mode, "rw") {
				continue
			}
			content, _ := io.ReadAll(io.NewSectionReader(memory, int64(from), int64(to-from))) // what has gone since is not there
			if !yield(content) {
				return
			}
		}
	}
}
