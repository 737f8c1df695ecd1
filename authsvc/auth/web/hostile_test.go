package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBroken: a service that breaks is an outage, in bounded time and memory, and no
// error tells a name, a secret, or the answer.
func TestBroken(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	tests := map[string]http.HandlerFunc{
		"a redirect to another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/"+hidden, http.StatusTemporaryRedirect)
		},
		"a redirect to itself": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.RequestURI, http.StatusFound) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"ok": true}`))
		},
		"gone":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a body without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
					return
				}
			}
		},
		"a drop a second": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
		"too deep": always(200, strings.Repeat("[", 20_000)),
		"binary":   always(200, "\x00\xff\xfe"+hidden),
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			w := serve(t, handler, "url: SERVICE/check/{user}\ncredential: {as: basic}\naccepted: {if: .ok}\ntimeout: 1s\nmax_bytes: 1048576")
			decision, err := ask(t, w, ann)
			if told(t, decision, err) != "outage" || strings.Contains(err.Error(), "ann@") {
				t.Errorf("%+v, %v; want an outage without the user", decision, err)
			}
		})
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// TestMaxBytes: an answer of just the limit is read.
func TestMaxBytes(t *testing.T) {
	for size, want := range map[int]string{1024: "accepted", 1025: "outage"} {
		w := serve(t, always(200, `{"ok": true}`+strings.Repeat(" ", size-len(`{"ok": true}`))), "url: SERVICE/check\naccepted: {if: .ok}\nmax_bytes: 1024")
		if decision, err := ask(t, w, ann); told(t, decision, err) != want {
			t.Errorf("%d bytes: %+v, %v; want %s", size, decision, err, want)
		}
	}
}

// TestMaxGrants: a thousand licenses are a customer's, ten thousand and one grants are
// an outage of that customer alone.
func TestMaxGrants(t *testing.T) {
	for licenses, want := range map[int]string{1000: "accepted", 10_001: "account's outage"} {
		body := "[" + strings.Repeat(grant+",", licenses-1) + grant + "]"
		w := serve(t, always(200, body), "url: SERVICE/check\ngrants: .")
		decision, err := ask(t, w, ann)
		if told(t, decision, err) != want || err == nil && decision.Grants.Len() != licenses {
			t.Errorf("%d: %d grants, %v; want %s", licenses, decision.Grants.Len(), err, want)
		}
	}
}

// TestMaxConns: however many ask at a time, the service sees 64 connections at most,
// and everybody is answered.
func TestMaxConns(t *testing.T) {
	const all, most = 200, 64
	var asking, opened atomic.Int64
	full := make(chan struct{})
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asking.Add(1) == most {
			close(full)
		}
		<-full
		say(w, 200, "{}")
	}))
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	service.Start() // without TLS, whose handshakes end after 5 s on a busy machine
	t.Cleanup(service.Close)
	w := &world{Server: service}
	var err error
	if w.Made, err = read(t, nil, "url: "+service.URL+"/check\ntimeout: 60s", nil); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range all {
		group.Go(func() {
			if decision, err := ask(t, w, ann); err != nil || decision.Refusal != "" {
				t.Errorf("%+v, %v", decision, err)
			}
		})
	}
	group.Wait()
	if opened.Load() != most {
		t.Errorf("%d connections, want %d", opened.Load(), most)
	}
}

// TestTLS: the service's certificate is verified, and it gets authsvc's.
func TestTLS(t *testing.T) {
	certificate, key, authority := selfSigned(t)
	service := httptest.NewUnstartedServer(always(200, "{}"))
	service.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority}
	service.StartTLS()
	t.Cleanup(service.Close)
	w := &world{Server: service, faults: map[string]error{}}
	const pair = "\nclient_certificate: DIR/client.pem\nclient_key: DIR/client.key"
	files := map[string]string{"client.pem": certificate, "client.key": key}
	for config, want := range map[string]string{pair: "accepted", "": "outage"} {
		var err error
		if w.Made, err = read(t, w, "url: SERVICE/check"+config, files); err != nil {
			t.Fatal(err)
		}
		if decision, err := ask(t, w, ann); told(t, decision, err) != want {
			t.Errorf("%q: %+v, %v; want %s", config, decision, err, want)
		}
	}
	unknown, err := read(t, nil, fmt.Sprintf("url: %s/check", serve(t, always(200, "{}"), "url: SERVICE/check").URL), nil)
	if err != nil {
		t.Fatal(err)
	}
	if decision, err := unknown.Source.Authenticate(t.Context(), ann); told(t, decision, err) != "outage" {
		t.Errorf("an unknown CA: %+v, %v", decision, err)
	}
}

func selfSigned(t *testing.T) (certificate, key string, authority *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authsvc"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	authority = x509.NewCertPool()
	authority.AddCert(parsed)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})), authority
}

// TestSecretsStayInFiles: neither the settings nor what is made of them has the
// service credential.
func TestSecretsStayInFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("key-"+hidden), 0o600); err != nil {
		t.Fatal(err)
	}
	w := serve(t, always(200, `{"items": []}`), strings.ReplaceAll(forGrants, "DIR", dir))
	if _, err := w.Licenses.Grants(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v %#v", w.Made, w.Licenses); strings.Contains(text, hidden) {
		t.Errorf("the source holds the secret: %s", text)
	}
}
