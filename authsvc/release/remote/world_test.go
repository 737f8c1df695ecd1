package remote_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// host is a name in httptest's certificate.
const host = "example.com"

// tokens hands out tokens as authsvc's upstream does.
type tokens struct {
	mu      sync.Mutex
	current tokenfile.Token
	renewed []tokenfile.Token // what is still to come
	good    bool              // the registry accepts the current one
	asked   int               // how often another was asked for
}

func token(secret string, n int) tokenfile.Token {
	return tokenfile.Token{Host: host, Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:" + secret))), FetchedAt: time.Unix(int64(n), 0)}
}

func (s *tokens) Host() (string, error) {
	t, err := s.Current()
	return t.Host, err
}

func (s *tokens) Current() (tokenfile.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Host == "" {
		return tokenfile.Token{}, errors.New("there is no token")
	}
	return s.current, nil
}

func (s *tokens) Renew(_ context.Context, rejected string) (tokenfile.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upstream.ID(s.current) != rejected {
		return s.current, nil
	}
	s.asked++
	if s.good {
		return tokenfile.Token{}, fmt.Errorf("renewing: %w", upstream.ErrTokenIsGood)
	}
	if len(s.renewed) == 0 {
		return tokenfile.Token{}, errors.New("no other token")
	}
	s.current, s.renewed = s.renewed[0], s.renewed[1:]
	return s.current, nil
}

// front is a registry behind TLS, as ECR is.
type front struct {
	*httptest.Server
	tokens *tokens
	ca     string

	mu    sync.Mutex
	asked []string // method and target
}

func serve(t *testing.T, handler http.HandlerFunc) *front {
	t.Helper()
	f := &front{tokens: &tokens{current: token("key", 1)}}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
		f.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(f.Close)
	f.ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if err := os.WriteFile(f.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// client asks the front.
func (f *front) client(t *testing.T, change func(*remote.Options)) *remote.Client {
	t.Helper()
	o := remote.Options{Upstream: f.tokens, CAFile: f.ca, Address: f.Listener.Addr().String()}
	if change != nil {
		change(&o)
	}
	c, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *front) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// errorIs checks that an error says something, and nothing of the token.
func errorIs(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("AWS:key"))) {
		t.Errorf("the error has the token: %v", err)
	}
}
