package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A storeRun is the whole program authsvc content.
type storeRun struct {
	t      *testing.T
	config string
	socket string
	// registry is its host.
	registry string
}

// startStore runs the content store, with a registry that answers itself.
func startStore(t *testing.T, registry http.Handler) storeRun {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue("registry", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(registry)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	s := storeRun{t, filepath.Join(dir, "content.yaml"), filepath.Join(dir, "store.sock"), server.Listener.Addr().String()}
	files := filepath.Join(dir, "files")
	text := "upstreams: [{name: main, host: '" + server.Listener.Addr().String() + "'}]\nca_file: " + authority.File +
		"\nfolder: " + files + "\nlisten: {address: unix:" + s.socket + "}\nserved: {address: unix:" + filepath.Join(dir, "served.sock") +
		"}\ncontrol: {address: unix:" + filepath.Join(dir, "control.sock") + "}\nprivate: {address: unix:" + filepath.Join(dir, "private.sock") + "}\nmin_free: 0KB\n"
	if err := errors.Join(os.Mkdir(files, 0o750), os.WriteFile(s.config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		stopped <- run(ctx, []string{"content", "--config", s.config}, nil, in, io.Discard)
		_ = in.CloseWithError(io.EOF)
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"msg":"serving"`) {
		t.Fatalf("first line %q, %v, %v", lines.Text(), lines.Err(), <-stopped)
	}
	go func() {
		for lines.Scan() { // until the end
			if !json.Valid(lines.Bytes()) {
				t.Errorf("log line is not JSON: %s", lines.Text())
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("stopped with %v", err)
		}
	})
	return s
}

// await waits until the store has so many files.
func (s storeRun) await(files int) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if out, err := s.command("status", "--json"); err != nil || time.Now().After(end) {
			s.t.Fatalf("%q, %v; want %d files", out, err, files)
		} else if strings.Contains(out, fmt.Sprintf(`"files":%d,`, files)) {
			return
		}
	}
}

// command runs a command of the store.
func (s storeRun) command(args ...string) (string, error) {
	var out bytes.Buffer
	err := run(s.t.Context(), slices.Concat([]string{"content"}, args, []string{"--config", s.config}), nil, &out, io.Discard)
	return out.String(), err
}

// TestContentStore runs the whole program, and its commands.
func TestContentStore(t *testing.T) {
	const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	right := "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:key"))
	s := startStore(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != right {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = io.WriteString(w, `{"schemaVersion":2,"config":{"digest":"`+digest+`"},"layers":[]}`)
			return
		}
		_, _ = io.WriteString(w, "test")
	}))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	for authorization, want := range map[string]string{right: "test", "Basic wrong": ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://store/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Store-Upstream": {"main"}, "X-Store-Path": {"/v2/a/blobs/" + digest}, "X-Store-Object": {"blob " + digest}, "Authorization": {authorization}}
		if authorization == "Basic wrong" { // another, which is not there
			other := "sha256:" + strings.Repeat("0", 64)
			r.Header["X-Store-Path"], r.Header["X-Store-Object"] = []string{"/v2/a/blobs/" + other}, []string{"blob " + other}
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if string(body) != want || err != nil {
			t.Errorf("%s: status %d, %q, %v", authorization, response.StatusCode, body, err)
		}
	}
	s.await(1)
	file := filepath.Join(t.TempDir(), "main.json")
	if err := tokenfile.Write(file, tokenfile.Token{Host: s.registry, FetchedAt: time.Now(), Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:key")))}); err != nil {
		t.Fatal(err)
	}
	if out, err := s.command("warm", "a:1", "--token-file", file); err != nil || !strings.Contains(out, "2 of 2  blob "+digest+"  4B\na:1: 2 objects, ") {
		t.Errorf("warm: %q, %v", out, err)
	}
	s.await(2)
	if out, err := s.command("status"); err != nil || !strings.Contains(out, "files     ") || !strings.Contains(out, "of 100GB") {
		t.Errorf("status: %q, %v", out, err)
	}
	if out, err := s.command("status", "--json"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("status --json: %q, %v", out, err)
	}
	if out, err := s.command("verify"); err != nil || !strings.HasSuffix(out, " files read, 0 wrong\n") {
		t.Errorf("verify: %q, %v", out, err)
	}
	if out, err := s.command("drop", digest); err != nil || out != "blob "+digest+"\n" {
		t.Errorf("drop: %q, %v", out, err)
	}
	var status program.Status
	if out, err := s.command("drop", digest); !errors.As(err, &status) || status.Code != statusRefused || out != "not there: "+digest+"\n" {
		t.Errorf("drop again: %q, %v", out, err)
	}
	if out, err := s.command("check-config"); err != nil || out != "the configuration is valid\n" {
		t.Errorf("check-config: %q, %v", out, err)
	}
}

// TestContentManual: the store's pages have its own flags alone.
func TestContentManual(t *testing.T) {
	dir := t.TempDir()
	if err := run(t.Context(), []string{"man", dir}, nil, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"authsvc-content.8", "authsvc-content-status.8", "authsvc-content-drop.8"} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "max_size") || strings.Contains(string(text), "kloudless") {
			t.Errorf("%s has other flags than the store's", page)
		}
	}
}
