package jwt_test

import (
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jwt"
)

// An issuer serves its keys over HTTPS.
type issuerServer struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
	asked   atomic.Int64
}

// serve makes an issuer with an answer, and a configuration for it. The keys are
// fetched again as often as the pause between two requests lets.
func serve(t *testing.T, answer http.HandlerFunc) (*issuerServer, jwt.Config) {
	t.Helper()
	s := &issuerServer{}
	s.handler.Store(&answer)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		(*s.handler.Load())(w, r)
	}))
	s.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	c := defaults()
	c.JWKSURL = s.URL + "/keys?p=1"
	c.CAFile = file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	c.Refresh = time.Nanosecond
	return s, c
}

// answer answers with text.
func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

var ecSet = set(map[string]crypto.Signer{"ec": ecKey})

// TestRotation: tokens of a key that the issuer adds are accepted, those of one that
// it removes are not, and no number of tokens makes more than a request in ten
// seconds.
func TestRotation(t *testing.T) {
	t.Parallel()
	server, c := serve(t, answer(ecSet))
	made, _ := start(t, c)
	if server.asked.Load() != 0 {
		t.Error("a network request before the first token")
	}
	old, next := sign(jose.ES256, ecKey, "ec", claims()), sign(jose.EdDSA, edKey, "ed", claims())
	if d, err := ask(t.Context(), made.Source, old); err != nil || d.Refusal != "" {
		t.Fatalf("%+v, %v", d, err)
	}
	begin := time.Now()
	rotated := answer(set(map[string]crypto.Signer{"ed": edKey}))
	server.handler.Store(&rotated)
	for i := range 200 {
		d, err := ask(t.Context(), made.Source, sign(jose.EdDSA, edKey, fmt.Sprint("unknown", i), claims()))
		if err == nil && d.Refusal == auth.WrongCredential {
			continue // the keys have been fetched since
		}
		if !errors.Is(err, auth.ErrUnreadable) || !strings.Contains(err.Error(), "at most once in 10s") {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	await(t, "the new key", func() bool { d, err := ask(t.Context(), made.Source, next); return err == nil && d.Refusal == "" })
	if d, err := ask(t.Context(), made.Source, old); err != nil || d.Refusal != auth.WrongCredential {
		t.Errorf("a removed key: %+v, %v", d, err)
	}
	if asked, most := server.asked.Load(), 2+int64(time.Since(begin)/(10*time.Second)); asked > most {
		t.Errorf("%d requests, want at most %d", asked, most)
	}
}

// TestOutage: keys that are known are used while they cannot be fetched, for a
// bounded time; an unknown one is an outage for its token alone.
func TestOutage(t *testing.T) {
	t.Parallel()
	server, c := serve(t, answer(ecSet))
	made, l := start(t, c)
	c.Keep = time.Nanosecond
	forgetful, _ := start(t, c)
	good := sign(jose.ES256, ecKey, "ec", claims())
	for _, m := range []auth.Made{made, forgetful} {
		if d, err := ask(t.Context(), m.Source, good); m.Source == made.Source && (err != nil || d.Refusal != "") {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	server.handler.Store(&down)
	await(t, "the fault", func() bool {
		if d, err := ask(t.Context(), made.Source, good); err != nil || d.Refusal != "" {
			t.Fatalf("a known key in an outage: %+v, %v", d, err)
		}
		return strings.Contains(l.fault("jwks_url"), "expected status 200, found 502")
	})
	if _, err := ask(t.Context(), made.Source, sign(jose.EdDSA, edKey, "ed", claims())); !errors.Is(err, auth.ErrUnreadable) || !strings.Contains(err.Error(), "found 502") {
		t.Errorf("an unknown key: %v", err)
	}
	await(t, "the end of what is kept", func() bool {
		_, err := ask(t.Context(), forgetful.Source, good)
		return err != nil && !errors.Is(err, auth.ErrUnreadable) && strings.Contains(err.Error(), "found 502")
	})
}

// TestSlow: a server that does not answer holds up nobody whose key is known for
// long, and never in the pause after that.
func TestSlow(t *testing.T) {
	t.Parallel()
	server, c := serve(t, answer(ecSet))
	made, _ := start(t, c)
	good := sign(jose.ES256, ecKey, "ec", claims())
	if d, err := ask(t.Context(), made.Source, good); err != nil || d.Refusal != "" {
		t.Fatalf("%+v, %v", d, err)
	}
	release := make(chan struct{})
	hanging := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	server.handler.Store(&hanging)
	await(t, "a request that hangs", func() bool {
		if d, err := ask(t.Context(), made.Source, good); err != nil || d.Refusal != "" {
			t.Fatalf("%+v, %v", d, err)
		}
		return server.asked.Load() == 2
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, made.Source, sign(jose.EdDSA, edKey, "ed", claims())); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an unknown key: %v", err)
	}
	if d, err := ask(t.Context(), made.Source, good); err != nil || d.Refusal != "" {
		t.Errorf("a known key: %+v, %v", d, err)
	}
	close(release)
}

// TestGarbage: an answer that is no set of public keys is an outage.
func TestGarbage(t *testing.T) {
	t.Parallel()
	good := sign(jose.ES256, ecKey, "ec", claims())
	other, _ := serve(t, answer(ecSet))
	for want, handler := range map[string]http.HandlerFunc{
		"expected a JWK set": answer("<html>"),
		"public key":         answer(`{"keys":[]}`),
		"public keys alone":  answer(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`),
		"at most 1048576":    answer(strings.Repeat(" ", 2<<20)),
		"found 404":          http.NotFound,
		"found 302":          http.RedirectHandler(other.URL, http.StatusFound).ServeHTTP,
		"EOF":                func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		_, c := serve(t, handler)
		made, l := start(t, c)
		if d, err := ask(t.Context(), made.Source, good); err == nil || errors.Is(err, auth.ErrUnreadable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v; want %s", d, err, want)
		}
		if !strings.Contains(l.fault("jwks_url"), want) {
			t.Errorf("fault %q", l.fault("jwks_url"))
		}
		if err := made.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "jwks_url: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("check: %v", err)
		}
	}
	if other.asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
	untrusted, c := serve(t, answer(ecSet))
	c.CAFile = ""
	made, _ := start(t, c)
	if _, err := ask(t.Context(), made.Source, good); err == nil || untrusted.asked.Load() != 0 {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
}

// TestCheck: the keys can be asked for without a token.
func TestCheck(t *testing.T) {
	t.Parallel()
	_, c := serve(t, answer(ecSet))
	made, _ := start(t, c)
	if err := made.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
