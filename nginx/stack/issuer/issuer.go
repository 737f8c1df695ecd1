// Package issuer stands in for an issuer of signed tokens: it serves its public keys,
// and signs tokens for a vendor's customers.
package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pullgate/pullgate/nginx/stack/filesource"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// Audience is what the tokens are for.
const Audience = "docker.vendor.com"

// keysPath is where the public keys are.
const keysPath = "/.well-known/jwks.json"

// A Server is an issuer, over TLS.
type Server struct {
	*standin.Server

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	serial int // of the key
}

// Start starts an issuer with a key.
func Start(certificate tls.Certificate) (*Server, error) {
	s := &Server{}
	if err := s.Rotate(); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	var err error
	if s.Server, err = standin.Start(http.HandlerFunc(s.serve), standin.Options{TLS: config}); err != nil {
		return nil, fmt.Errorf("starting the stand-in for an issuer of tokens: %w", err)
	}
	return s, nil
}

// Rotate replaces the key: tokens that were signed before are good no more.
func (s *Server) Rotate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making an issuer's key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.serial = key, s.serial+1
	return nil
}

func (s *Server) current() (*ecdsa.PrivateKey, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, fmt.Sprintf("key-%d", s.serial)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != keysPath || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	key, kid := s.current()
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: kid, Algorithm: string(jose.ES256), Use: "sig"},
	}})
}

// Source is the entry of authsvc's sources for the issuer. caFile has the CA of its
// certificate; withdrawnFile may be empty.
func (s *Server) Source(name, caFile, withdrawnFile string) map[string]any {
	return map[string]any{
		"name": name, "kind": "jwt", "issuer": s.URL(), "audience": Audience, "algorithms": []string{"ES256"},
		"jwks_url": s.URL() + keysPath, "ca_file": caFile, "user": ".email", "subject": ".sub",
		"grants": ".grants[]", "withdrawn_file": withdrawnFile,
	}
}

// Token signs a token for a customer. Its licenses are those at this moment.
func (s *Server) Token(id string, account vendorapi.Account, expires time.Time) (string, error) {
	key, kid := s.current()
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	now := time.Now()
	standard := jwt.Claims{
		Issuer: s.URL(), Audience: jwt.Audience{Audience}, Subject: account.Email, ID: id,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expires),
	}
	own := map[string]any{"email": account.Email, "grants": filesource.Grants(account)}
	token, err := jwt.Signed(signer).Claims(standard).Claims(own).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return token, nil
}
