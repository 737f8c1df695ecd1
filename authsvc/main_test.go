package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestServe runs the whole program: it asks a vendor's API over HTTP, reads a
// token file, answers on a unix socket, and stops when told.
func TestServe(t *testing.T) {
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"status_code":401,"error_code":"unauthorized","message":"no","id":"1"}`)
			return
		}
		_, _ = io.WriteString(w, `{"type":"object_list","api":"meta","page":1,"objects":[{"id":"lic_1","type":"license","active":true,
			"expiration":null,"docker_releases":[{"repository":"acme/appliance","tags":["1.*"]}]}]}`)
	}))
	defer vendor.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.json")
	socket := filepath.Join(dir, "authsvc.sock")
	if err := tokenfile.Write(file, tokenfile.Token{Host: "registry.example.com", FetchedAt: time.Now(),
		Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:key")))}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	stopped := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--config", "", "--listen.address", "unix:" + socket, "--private.address", "127.0.0.1:0",
			"--upstream.token_file", file, "--upstream.refresh_socket", "", "--kloudless.url", vendor.URL},
			nil, in, io.Discard)
		_ = in.CloseWithError(io.EOF)
		stopped <- err
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"msg":"serving"`) {
		t.Fatalf("first line %q, %v", lines.Text(), lines.Err())
	}
	log := make(chan string)
	go func() {
		var b strings.Builder
		for lines.Scan() {
			b.WriteString(lines.Text() + "\n")
		}
		log <- b.String()
	}()

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for password, want := range map[string]int{"right": 200, "wrong": 401} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://authsvc/authorize", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("ann@example.com", password)
		r.Header.Set("X-Original-Method", "GET")
		r.Header.Set("X-Original-URI", "/v2/acme/appliance/manifests/1.4")
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("password %s: status %d, want %d", password, response.StatusCode, want)
		}
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	text := <-log
	for _, secret := range []string{`"right"`, base64.StdEncoding.EncodeToString([]byte("AWS:key")), base64.StdEncoding.EncodeToString([]byte("ann@example.com:right"))} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %s:\n%s", secret, text)
		}
	}
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line is not JSON: %s", line)
		}
	}
}

// TestFaultsAreFoldedAndDecisionsAreNot: a registry that refuses connections
// made a warning for each request. An audit needs each decision, that of an
// outage too.
func TestFaultsAreFoldedAndDecisionsAreNot(t *testing.T) {
	var out bytes.Buffer
	handler := foldFaults(slog.NewJSONHandler(&out, nil))
	logger := slog.New(handler)
	for range 1000 {
		logger.Warn("prefetching a release failed", "repository", "acme/appliance", "error", "connection refused")
		logger.Error("decision", "decision", "outage")
	}
	handler.Close()
	if n := strings.Count(out.String(), `"msg":"prefetching a release failed"`); n != 2 {
		t.Errorf("%d lines for the fault, want the first and the count", n)
	}
	if !strings.Contains(out.String(), `"repeated":999`) {
		t.Error("the count is missing")
	}
	if n := strings.Count(out.String(), `"msg":"decision"`); n != 1000 {
		t.Errorf("%d decisions, want 1000", n)
	}
}

func TestCommands(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		args      []string
		environ   []string
		want      string
		wantError string
	}{
		{args: []string{"version"}, want: "authsvc, development, "},
		{args: []string{"check-config", "--config", "authsvc.example.yaml"}, want: "the configuration is valid\n"},
		{args: []string{"check-config"}, wantError: "open /etc/authsvc/authsvc.yaml: no such file or directory; name the file with --config FILE"},
		{wantError: "open /etc/authsvc/authsvc.yaml"},
		{args: []string{"check-config", "--config", ""}, environ: []string{"AUTHSVC_CACHE_TTL=never"},
			wantError: `cache.ttl: expected a duration with its unit such as 30s, from 1s to 1h0m0s, found "never"`},
		{args: []string{"check-config", "--config", ""}, wantError: "kloudless: url: expected the base URL of the vendor's API"},
		{args: []string{"--config", "", "--upstream.token_file", filepath.Join(t.TempDir(), "none.json")}, wantError: "kloudless: url: expected the base URL of the vendor's API"},
		{args: []string{"check-config", "--config", "", "--kloudless.url", "https://api.example/", "--kloudless.grants", ".["}, wantError: "kloudless: grants"},
		{args: []string{"check-config", "--config", "", "--kloudless.url", "http://api.kloudless.com/"}, wantError: "https"},
		{args: []string{"check-config", "--config", "", "--kloudless.url", "https://api.example/", "--kloudless.ca_file", bad}, wantError: bad},
		{args: []string{"check-config", "--config", "", "--kloudless.url", "https://api.example/", "--upstream.ca_file", bad}, wantError: "configuration: registry main: ca_file"},
		{args: []string{"extra"}, wantError: `unknown command "extra"`},
		{args: []string{"--help"}, want: "--cache.ttl"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.args), func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), test.args, test.environ, &out, io.Discard)
			if test.wantError == "" && err != nil || test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
				t.Errorf("error %v, want %q", err, test.wantError)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("printed %q, want %q", out.String(), test.want)
			}
		})
	}
}
