package probe_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/probe"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const (
	password = "hush-hush"
	arn      = "arn:aws:sts::123456789012:assumed-role/images/i-0abc"
)

var value = base64.StdEncoding.EncodeToString([]byte("AWS:" + password))

// registry is one over TLS; its authority's certificate is in caFile.
func registry(t *testing.T, answer http.HandlerFunc) (host, caFile string) {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a test's refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(server.URL, "https://"), caFile
}

func token(host string) tokenfile.Token {
	return tokenfile.Token{Host: host, Value: tokenfile.NewValue(value)}
}

func TestTry(t *testing.T) {
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if got := r.Method + " " + r.URL.Path; got != "GET /v2/" || r.Header.Get("Authorization") != "Basic "+value {
				t.Errorf("asked by %s", got)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	expired := "Your Authorization Token has expired. " + arn + " sent " + value + " of " + password + "\r\n"
	tests := []struct {
		name     string
		answer   http.HandlerFunc
		want     string
		detail   string
		rejected bool
	}{
		{"good", say(200, "{}"), "", "", false},
		{"expired", say(403, expired), "the registry rejects the token: expected status 200, found 403", "Your Authorization Token has expired. " + arn + " sent *** of ***", true},
		{"malformed", say(401, ""), "the registry rejects the token: expected status 200, found 401", "", true},
		{"down", say(503, "<html>"), "testing the token at the registry: expected status 200, found 503", "<html>", false},
		{"throttled", say(429, ""), "testing the token at the registry: expected status 200, found 429", "", false},
		{"long answer", say(500, strings.Repeat("é", 1<<20)), "testing the token at the registry: expected status 200, found 500", strings.Repeat("é", 256), false},
		{"long answer with the token at the cut", say(500, strings.Repeat("x", 500)+value+password), "testing the token at the registry: expected status 200, found 500", strings.Repeat("x", 500) + "***", false},
		{"connection broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "testing the token at the registry: no answer", "", false},
		{"sent elsewhere", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				t.Errorf("followed to %s with %s", r.URL, r.Header.Get("Authorization"))
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "testing the token at the registry: expected status 200, found 307", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, caFile := registry(t, test.answer)
			p, err := probe.New("", caFile)
			if err != nil {
				t.Fatal(err)
			}
			check(t, p.Try(t.Context(), token(host)), test.want, test.detail, test.rejected)
		})
	}
}

func check(t *testing.T, err error, want, detail string, rejected bool) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var failed *probe.Error
	if !errors.As(err, &failed) || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
	if errors.Is(err, probe.ErrRejected) != rejected {
		t.Errorf("%v is ErrRejected: %v", err, !rejected)
	}
	if detail != "" && failed.Detail() != detail {
		t.Errorf("detail %q, want %q", failed.Detail(), detail)
	}
	for _, part := range []string{value, password} {
		if strings.Contains(err.Error()+failed.Detail(), part) {
			t.Errorf("%s is in %v, %s", part, err, failed.Detail())
		}
	}
}

// TestURL: the token's host may be one that only nginx can resolve.
func TestURL(t *testing.T) {
	host, caFile := registry(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/other/" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	p, err := probe.New("https://"+host+"/other/", caFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Try(t.Context(), token("no-such-host.invalid")); err != nil {
		t.Error(err)
	}
}

// TestUnknownAuthority: the token goes to nobody who cannot show who it is.
func TestUnknownAuthority(t *testing.T) {
	host, _ := registry(t, func(http.ResponseWriter, *http.Request) { t.Error("was asked") })
	p, err := probe.New("", "")
	if err != nil {
		t.Fatal(err)
	}
	check(t, p.Try(t.Context(), token(host)), "testing the token at the registry: no answer", "", false)
}

func TestCanceled(t *testing.T) {
	host, caFile := registry(t, func(http.ResponseWriter, *http.Request) {})
	p, err := probe.New("", caFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Try(ctx, token(host)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestCAFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{empty: "expected PEM certificates, found none", empty + ".none": "no such file"} {
		if _, err := probe.New("", file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
