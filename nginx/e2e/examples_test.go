package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/pki"
)

// examples returns the nginx configurations in nginx/examples.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/*.conf")
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "logrotate.conf" })
	if err != nil || len(files) < 2 {
		t.Fatalf("examples %q, %v", files, err)
	}
	return files
}

// TestExamples: each example, and each nginx snippet in a README, passes nginx -t
// without a warning, with and without HTTP/2, in each version of nginx, and is
// reachable over IPv6.
func TestExamples(t *testing.T) {
	texts := snippets(t)
	for _, file := range examples(t) {
		texts[filepath.Base(file)] = readFile(t, file)
	}
	for _, nginx := range nginxes(t) {
		for name, text := range texts {
			for what, adapt := range map[string]func(string) string{
				"as it is": func(text string) string { return text }, "with HTTP/2": func(text string) string { return withHTTP2(nginx.version, text) },
			} {
				t.Run(fmt.Sprintf("%d.%d %s %s", nginx.version[0], nginx.version[1], name, what), func(t *testing.T) {
					test := prepareExample(t, nginx, adapt(text), nil)
					if out, err := test("-t").CombinedOutput(); err != nil {
						t.Errorf("nginx -t: %v\n%s", err, out)
					} else if strings.Contains(string(out), "[warn]") {
						t.Errorf("nginx -t warns:\n%s", out)
					}
				})
			}
		}
	}
	for name, text := range texts {
		v4, v6 := listens(text, `\d+`), listens(text, `\[::\]:\d+`)
		if len(v4) == 0 || len(v4) != len(v6) {
			t.Errorf("%s listens on %q of IPv4 and %q of IPv6", name, v4, v6)
		}
	}
}

func listens(text, address string) []string {
	return regexp.MustCompile(`(?m)^\s*listen\s+`+address+`\b`).FindAllString(text, -1)
}

// snippets returns the nginx snippets in the READMEs, completed.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, file := range []string{"../README.md", "../../README.md"} {
		for i, m := range regexp.MustCompile("(?ms)^ *```nginx\n(.*?)^ *```").FindAllStringSubmatch(readFile(t, file), -1) {
			indent := regexp.MustCompile(`(?m)^   `) // inside a list
			texts[fmt.Sprintf("%s, part %d", strings.TrimPrefix(file, "../"), i+1)] = "events {}\npid /run/nginx.pid;\n" + indent.ReplaceAllString(m[1], "")
		}
	}
	if len(texts) < 2 {
		t.Fatalf("found %d pieces of nginx's configuration in the READMEs", len(texts))
	}
	return texts
}

// withHTTP2 enables HTTP/2 as the comment in tls.conf says.
func withHTTP2(version stack.Version, text string) string {
	if version.Before(1, 25, 1) {
		return regexp.MustCompile(`(?m)^(\s*listen\s.* ssl);`).ReplaceAllString(text, "$1 http2;")
	}
	if commented := regexp.MustCompile(`(?m)^(\s*)#(http2 +on;)`); commented.MatchString(text) {
		return commented.ReplaceAllString(text, "$1$2")
	}
	return regexp.MustCompile(`(?m)^(\s*listen\s+443 ssl;)`).ReplaceAllString(text, "$1 http2 on;")
}

// newExample calls prepareExample with a file for this machine's nginx, with HTTP/2.
func newExample(t *testing.T, file string, more map[string]string) func(...string) *exec.Cmd {
	t.Helper()
	nginx := nginxes(t)[0]
	return prepareExample(t, nginx, withHTTP2(nginx.version, readFile(t, file)), more)
}

// prepareExample puts a configuration and the includes into a directory, with a
// certificate, and this machine's free ports, users and paths instead of a
// production machine's. It returns how to run nginx there.
func prepareExample(t *testing.T, nginx nginx, text string, more map[string]string) func(...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "registry"), os.DirFS("../registry")); err != nil {
		t.Fatal(err)
	}
	if nginx.version.Before(1, 21, 0) { // as the file says
		file := filepath.Join(dir, "registry", "settings", "client-certificate.conf")
		writeFile(t, file, strings.ReplaceAll(readFile(t, file), " $registry_nothing;", ` "";`))
	}
	for _, sub := range []string{"tls", "log", "lib"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := pki.New(filepath.Join(dir, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Issue("docker.vendor.com", "docker.vendor.com", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	replaced := text
	for from, to := range map[string]string{
		`(?m)^user .*$`:                     "",
		`/run/nginx\.pid`:                   filepath.Join(dir, "pid"),
		`/var/log/nginx/`:                   filepath.Join(dir, "log") + "/",
		` /etc/ssl/docker\.vendor\.com\.`:   " tls/docker.vendor.com.",
		`/usr/lib/nginx/modules`:            nginx.modules,
		`(?m)^(\s*)listen(\s+)(\d+)\b`:      "${1}listen${2}127.0.0.1:1$3", // 443 to 1443
		`(?m)^(\s*)listen(\s+)\[::\]:(\d+)`: "${1}listen${2}[::1]:1$3",
		`(?m)^http \{`: "daemon off;\nhttp {\n" + strings.ReplaceAll(`client_body_temp_path DIR/lib; proxy_temp_path DIR/lib;
			fastcgi_temp_path DIR/lib; uwsgi_temp_path DIR/lib; scgi_temp_path DIR/lib;`, "DIR", dir),
	} {
		replaced = regexp.MustCompile(from).ReplaceAllString(replaced, to)
	}
	for from, to := range more {
		if !strings.Contains(replaced, from) {
			t.Fatalf("expected %q in the configuration", from)
		}
		replaced = strings.ReplaceAll(replaced, from, to)
	}
	writeFile(t, filepath.Join(dir, "nginx.conf"), replaced)
	return func(args ...string) *exec.Cmd {
		log := []string{"-e", filepath.Join(dir, "log", "error.log")}
		if nginx.version.Before(1, 19, 5) {
			log = nil
		}
		return exec.CommandContext(t.Context(), nginx.path, slices.Concat([]string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf")}, log, args)...)
	}
}

// run starts an example, and stops it when the test ends.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; as root: apt-get install nginx libnginx-mod-stream", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
}

// TestTLSExample: without authsvc there is an outage, over TLS and in JSON. All
// other answers of a dedicated server are JSON too.
func TestTLSExample(t *testing.T) {
	run(t, newExample(t, "../examples/tls.conf", nil)())
	waitFor(t, "nginx", func() bool { return dials(t, "127.0.0.1:1443") })
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test examines it
	}}
	defer client.CloseIdleConnections()
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/", 503, "UNAVAILABLE"}, {"GET", manifest, 503, "UNAVAILABLE"}, {"GET", "/", 404, "UNSUPPORTED"}, {"GET", "/v2", 404, "UNSUPPORTED"},
		{"GET", "/index.html", 404, "UNSUPPORTED"}, {"PUT", manifest, 405, "UNSUPPORTED"}, {"TRACE", manifest, 405, "UNSUPPORTED"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, "https://127.0.0.1:1443"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(response)
		if err != nil {
			t.Fatal(err)
		}
		if response.ProtoMajor != 2 {
			t.Errorf("%s: %s, want HTTP/2", test.path, response.Proto)
		}
		wantError(t, request{method: test.method, uri: test.path}, a, test.status, test.code)
	}
}

func dials(t *testing.T, address string) bool {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// TestBehindALoadBalancer: only the load balancer is trusted to say a client's
// address and protocol.
func TestBehindALoadBalancer(t *testing.T) {
	// The load balancer is 127.0.0.1; 127.0.0.2 is another client.
	cmd := newExample(t, "../examples/behind-load-balancer.conf", map[string]string{"10.0.0.0/16": "127.0.0.1/32"})
	run(t, cmd())
	waitFor(t, "nginx", func() bool { return dials(t, "127.0.0.1:18080") })
	ask := func(from, path string, header ...string) answer {
		t.Helper()
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, network, address)
		}}
		defer transport.CloseIdleConnections()
		port := "18080"
		if path == health || path == "/metrics" {
			port = "18081"
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(response)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const https, client = "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7"
	for _, path := range []string{"/v2/", manifest, "/", "/plain-http"} {
		r := request{uri: path}
		for what, a := range map[string]answer{
			"by plain HTTP": ask("127.0.0.1", path, "X-Forwarded-Proto: http"), "not by the balancer": ask("127.0.0.2", path, https, client), "by nobody": ask("127.0.0.1", path),
		} {
			wantError(t, r, a, 403, "DENIED")
			if !strings.Contains(a.body, "https only") {
				t.Errorf("%s: %s", what, a.body)
			}
		}
	}
	wantError(t, request{uri: "/v2/"}, ask("127.0.0.1", "/v2/", https, client), 503, "UNAVAILABLE") // there is no authsvc
	path := filepath.Join(filepath.Dir(cmd().Args[4]), "log", "registry.log")
	waitFor(t, "the log line of the client behind the balancer", func() bool { // written after the answer
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), `"client":"192.0.2.7"`) == 1
	})
	if a := ask("127.0.0.1", health); a.status != 503 || a.body != "authsvc\n" { // there is none
		t.Errorf("%s: %d %q", health, a.status, a.body)
	}
	if a := ask("127.0.0.1", "/metrics"); a.status != 404 {
		t.Errorf("/metrics at the balancer's port: status %d, want 404", a.status)
	}
}

// TestIncludesExplainThemselves: each include begins with its purpose and context,
// and setting names appear in only one place.
func TestIncludesExplainThemselves(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../registry/*.conf", "../registry/*/*.conf", "../registry/*/*/*.conf"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 20 {
		t.Fatalf("%d includes: %q", len(files), files)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, file := range files {
		if other := seen[filepath.Base(file)]; other != "" {
			t.Errorf("%s and %s have the same name", other, file)
		}
		seen[filepath.Base(file)] = file
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(file, "../registry/")
		banner, _, _ := strings.Cut(string(text), "\n\n")
		if !regexp.MustCompile(`\A# \S[\s\S]*?\n# Context: +\w[\s\S]*\n# Sets: +\S[\s\S]*\n# https://`).MatchString(banner) {
			t.Errorf("%s does not begin with its purpose, its context, what it sets, and a link to the documentation", name)
		}
		for _, m := range regexp.MustCompile(`(?m)\b(?:registry/)?((?:parts|settings)/[a-z/-]+\.conf)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("../registry", m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
		if !strings.HasPrefix(name, "parts/") && !strings.Contains(string(readme), fmt.Sprintf("`%s`", name)) {
			t.Errorf("nginx/README.md does not name %s", name)
		}
	}
}
