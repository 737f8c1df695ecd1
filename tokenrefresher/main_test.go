package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const patience = 30 * time.Second

// out is an output that can be read while it is written.
type out struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *out) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *out) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// world is all that the program is given: two registries of kind basic over
// TLS and one of kind ecr whose API refuses.
type world struct {
	dir, config, socket string
	mu                  sync.Mutex
	asked               map[string]int // by Authorization
}

const (
	password = "hush-hush"
	arn      = "arn:aws:sts::123456789012:assumed-role/images/i-0abc"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), asked: map[string]int{}}
	w.socket = filepath.Join(w.dir, "control.sock")
	registry := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked[r.Header.Get("Authorization")]++
		if _, got, _ := r.BasicAuth(); got != password && got != password+"2" {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(registry.Close)
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"__type":"AccessDeniedException","Message":"User: `+arn+` is not authorized"}`)
	}))
	t.Cleanup(api.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.Certificate().Raw})
	for name, content := range map[string]string{"ca.pem": string(certificate), "user": "ann\n", "password": password + "\n", "wrong": "wrong\n"} {
		w.put(t, name, content)
	}
	w.config = w.put(t, "config.yaml", fmt.Sprintf(`
registries:
  - {name: main, kind: basic, host: '%[1]s', username_file: %[2]s/user, password_file: $CREDENTIALS_DIRECTORY/password, ca_file: %[2]s/ca.pem, file: %[2]s/main.json}
  - {name: refused, kind: basic, host: '%[1]s', username_file: %[2]s/user, password_file: %[2]s/wrong, ca_file: %[2]s/ca.pem, file: %[2]s/refused.json}
  - {name: aws, region: eu-west-1, endpoint: '%[3]s', file: %[2]s/aws.json}
backoff: {initial: 100ms, max: 100ms}
control: {address: 'unix:%[2]s/control.sock', min_interval: 0s}
private: {address: 'unix:%[2]s/private.sock'}
`, strings.TrimPrefix(registry.URL, "https://"), w.dir, api.URL))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": password, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none",
		"CREDENTIALS_DIRECTORY": w.dir,
	} {
		t.Setenv(name, value)
	}
	return w
}

func (w *world) put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask asks one of the program's sockets.
func (w *world) ask(t *testing.T, method, socket, target string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.dir, socket))
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://tokenrefresher"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (w *world) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// quiet checks that no text has a secret in it.
func quiet(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{password, base64.StdEncoding.EncodeToString([]byte("ann:" + password))[:16]} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in\n%s", secret, text)
			}
		}
	}
}

// TestServe runs the daemon: one registry is served while two others fail, a
// refresh is asked for, and SIGTERM ends it and leaves the file.
func TestServe(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	var stdout, stderr out
	go func() { stopped <- run(ctx, []string{"--config", w.config}, nil, &stdout, &stderr) }()
	var ready string
	w.until(t, "the states of all registries", func() bool {
		_, ready = w.ask(t, "GET", "private.sock", "/readyz")
		return strings.Contains(ready, "main: ok") && strings.Count(ready, "the last refresh failed") == 2
	})
	if status, body := w.ask(t, "GET", "private.sock", "/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if want := "refused: not ready: there is no token; the last refresh failed: the registry rejects the token: expected status 200, found 401\n" +
		"aws: not ready: there is no token; the last refresh failed: asking ECR for a token: AccessDeniedException (status 400)\n"; !strings.HasSuffix(ready, want) {
		t.Errorf("/readyz: %s", ready)
	}
	first, err := tokenfile.Read(filepath.Join(w.dir, "main.json"))
	if err != nil {
		t.Fatal(err)
	}

	w.put(t, "password", password+"2")
	newer := "/refresh?registry=main&newer_than=" + first.FetchedAt.Format(time.RFC3339Nano)
	status, body := w.ask(t, "POST", "control.sock", newer)
	second, err := tokenfile.Read(filepath.Join(w.dir, "main.json"))
	if err != nil || status != 200 || !second.FetchedAt.After(first.FetchedAt) || second.SameCredential(first) {
		t.Errorf("asked for a refresh: %d %s; then in the file: %+v, %v", status, body, second, err)
	}
	awsStatus, awsBody := w.ask(t, "POST", "control.sock", "/refresh?registry=aws")
	if awsStatus != 502 {
		t.Errorf("asked for what fails: %d %s", awsStatus, awsBody)
	}
	_, metrics := w.ask(t, "GET", "private.sock", "/metrics")
	for _, want := range []string{
		`tokenrefresher_refreshes_total{outcome="refreshed",registry="main"} 2`, `tokenrefresher_token_usable{registry="aws"} 0`,
		`tokenrefresher_token_expiry_timestamp_seconds{registry="main"} +Inf`, `tokenrefresher_build_info{goversion="go1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, err := os.Stat(w.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	quiet(t, stdout.String(), stderr.String(), ready, body, awsBody, metrics)
	if strings.Contains(ready+body+awsBody+metrics, "arn:") || !strings.Contains(stderr.String(), arn) {
		t.Errorf("AWS's words belong into the log alone: %s", stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	w.restart(t, second)
}

// restart starts the daemon again over the token that it left.
func (w *world) restart(t *testing.T, left tokenfile.Token) {
	t.Helper()
	w.mu.Lock()
	before := w.asked[left.Authorization()]
	w.mu.Unlock()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	var stderr out
	go func() { stopped <- run(ctx, []string{"--config", w.config}, nil, io.Discard, &stderr) }()
	w.until(t, "taking over", func() bool { return strings.Contains(stderr.String(), "using the token from the file") })
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.asked[left.Authorization()]; n != before {
		t.Errorf("the registry was asked %d times more at the restart", n-before)
	}
	if got, err := tokenfile.Read(filepath.Join(w.dir, "main.json")); err != nil || !got.Equal(left) {
		t.Errorf("in the file: %+v, %v", got, err)
	}
}

func TestOnce(t *testing.T) {
	w := newWorld(t)
	var stderr out
	err := run(t.Context(), []string{"--config", w.config, "--once"}, nil, io.Discard, &stderr)
	want := "registry refused got no new token: the registry rejects the token: expected status 200, found 401\n" +
		"registry aws got no new token: asking ECR for a token: AccessDeniedException (status 400)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got, err := tokenfile.Read(filepath.Join(w.dir, "main.json")); err != nil || got.Usable(time.Now()) != nil {
		t.Errorf("one that fails stops another: %+v, %v", got, err)
	}
	quiet(t, stderr.String(), fmt.Sprint(err))

	var table, machine bytes.Buffer
	err = run(t.Context(), []string{"status", "--config", w.config}, nil, &table, io.Discard)
	if err == nil || err.Error() != "registries without a usable token: refused, aws (2 of 3)" || !strings.Contains(table.String(), "never") {
		t.Errorf("status: %v\n%s", err, table.String())
	}
	if err := run(t.Context(), []string{"status", "--json", "--config", w.config}, nil, &machine, io.Discard); err == nil {
		t.Error("status --json exits with 0")
	}
	var entries []struct{ Usable bool }
	if err := json.Unmarshal(machine.Bytes(), &entries); err != nil || len(entries) != 3 || !entries[0].Usable || entries[1].Usable {
		t.Errorf("status --json: %v\n%s", err, machine.String())
	}
}

// TestStatus: it exits with 0 if every registry's token is usable, and names the others.
func TestStatus(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("registries:\n- {name: eu, file: %[1]s/eu.json}\n- {name: us, file: %[1]s/us.json}\n- {name: partner, file: %[1]s/partner.json}\n", dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ages := range map[string][2]time.Duration{
		"eu": {time.Minute, 11 * time.Hour},
		"us": {10 * time.Hour, 2 * time.Hour}, // its replacement is overdue
		// partner has expired.
		"partner": {13 * time.Hour, -time.Hour},
	} {
		token := tokenfile.Token{Host: name + ".example.com", Value: tokenfile.NewValue("QVdTOnA="), FetchedAt: time.Now().Add(-ages[0]), ExpiresAt: time.Now().Add(ages[1])}
		if err := tokenfile.Write(filepath.Join(dir, name+".json"), token); err != nil {
			t.Fatal(err)
		}
	}
	const one, overdue = "registries without a usable token: partner (1 of ", "overdue by 2h"
	for _, test := range []struct {
		args      []string
		want      string
		wantError string
	}{
		{nil, overdue, one + "3)"},
		{[]string{"--without", "eu"}, "UNUSABLE", one + "3)"},
		{[]string{"--without", "partner"}, "UNUSABLE", ""},
		{[]string{"--without", "eu", "--without", "partner"}, "UNUSABLE", ""},
		{[]string{"--without", "eu,partner", "--json"}, "overdueSince", ""},
		{[]string{"partner"}, "", `unknown command "partner" for "tokenrefresher status"`},
	} {
		var stdout bytes.Buffer
		err := run(t.Context(), append([]string{"status", "--config", config}, test.args...), nil, &stdout, io.Discard)
		if got := fmt.Sprint(err); test.wantError == "" && err != nil || test.wantError != "" && got != test.wantError {
			t.Errorf("%q: error %s, want %q", test.args, got, test.wantError)
		}
		if !strings.Contains(stdout.String(), test.want) {
			t.Errorf("%q: want %q, found\n%s", test.args, test.want, stdout.String())
		}
	}
}
