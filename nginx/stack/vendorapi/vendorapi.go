// Package vendorapi stands in for the vendor's API: the part of the Kloudless Meta
// API that package authsvc/auth/kloudless uses.
//
// Lists, paging, and errors follow Kloudless's documentation. The path and fields of
// licenses are not public, so this package assumes the same ones as the defaults of
// authsvc's configuration.
package vendorapi

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// Base is the API's base path.
const Base = "/v1/"

const (
	defaultPageSize = 100
	mostPageSize    = 1000
)

// A License entitles an account to releases.
type License struct {
	ID string
	// Inactive means that the license was withdrawn.
	Inactive bool
	// Expiration is when it ends; zero for never.
	Expiration time.Time
	Releases   []Release
}

// A Release is a repository and patterns of its tags.
type Release struct {
	Repository string
	Tags       []string
}

// MarshalJSON writes the assumed license object.
func (l License) MarshalJSON() ([]byte, error) {
	type release struct {
		Repository string   `json:"repository"`
		Tags       []string `json:"tags"`
	}
	out := struct {
		ID         string     `json:"id"`
		Type       string     `json:"type"`
		API        string     `json:"api"`
		Active     bool       `json:"active"`
		Expiration *time.Time `json:"expiration"`
		Releases   []release  `json:"docker_releases"`
	}{ID: l.ID, Type: "license", API: "meta", Active: !l.Inactive, Releases: []release{}}
	if !l.Expiration.IsZero() {
		end := l.Expiration.UTC().Truncate(time.Second)
		out.Expiration = &end
	}
	for _, r := range l.Releases {
		out.Releases = append(out.Releases, release(r))
	}
	return json.Marshal(out)
}

// An Account is a developer with an API token.
type Account struct {
	Email    string
	Licenses []License
}

// A Server is the API. The embedded server uses plain HTTP; TLS serves the same
// over HTTPS, with its own records and faults.
type Server struct {
	*standin.Server
	// TLS is nil if the server was started without a certificate.
	TLS *standin.Server

	mu       sync.Mutex
	accounts map[string]Account // by token
	refusal  int
	raw      map[string]string // by token: body to answer instead of a list
}

// Options of a Server.
type Options struct {
	// Certificate enables TLS, on Listener or else on a port of 127.0.0.1.
	Certificate *tls.Certificate
	Listener    net.Listener
	// Record is as in standin.Options.
	Record int
}

// Start starts an API without accounts.
func Start(opts Options) (*Server, error) {
	s := &Server{accounts: map[string]Account{}, refusal: http.StatusUnauthorized, raw: map[string]string{}}
	var err error
	if s.Server, err = standin.Start(http.HandlerFunc(s.serve), standin.Options{Record: opts.Record}); err != nil {
		return nil, fmt.Errorf("starting the stand-in for the vendor's API: %w", err)
	}
	if opts.Certificate == nil {
		return s, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*opts.Certificate}}
	if s.TLS, err = standin.Start(http.HandlerFunc(s.serve), standin.Options{TLS: config, Record: opts.Record, Listener: opts.Listener}); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stand-in for the vendor's API: %w", err), s.Server.Close())
	}
	return s, nil
}

// Close stops the server.
func (s *Server) Close() error {
	err := s.Server.Close()
	if s.TLS != nil {
		err = errors.Join(err, s.TLS.Close())
	}
	return err
}

// SetAccount adds the account with this token, or replaces it.
func (s *Server) SetAccount(token string, a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[token] = a
	delete(s.raw, token)
}

// SetLicenses replaces the licenses of a token's account.
func (s *Server) SetLicenses(token string, licenses ...License) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[token]
	a.Licenses = licenses
	s.accounts[token] = a
}

// SetRaw answers the token's requests with body and status 200: garbage, or objects
// of another shape.
func (s *Server) SetRaw(token, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw[token] = body
}

// RemoveAccount makes the token unknown.
func (s *Server) RemoveAccount(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, token)
	delete(s.raw, token)
}

// RefuseWith sets the status for an unknown token: 401 (the default) or 403. Both
// mean that the credential is refused.
func (s *Server) RefuseWith(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = status
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	account, known := s.accounts[token]
	raw, garbage := s.raw[token]
	refusal := s.refusal
	s.mu.Unlock()
	switch {
	case !bearer || (!known && !garbage):
		apiError(w, refusal, "unauthorized", "Valid authorization must be provided.")
	case r.Method != http.MethodGet:
		apiError(w, http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed.")
	case garbage:
		writeJSON(w, http.StatusOK, []byte(raw))
	case r.URL.Path == Base+"meta/licenses":
		list(w, r, account.Licenses)
	case r.URL.Path == Base+"meta/developer":
		object(w, map[string]any{"id": 1, "type": "developer", "api": "meta", "email": account.Email})
	default:
		apiError(w, http.StatusNotFound, "not_found", "Resource not found.")
	}
}

// list writes one page. A page after the last one is a 404, and so is a page that
// is not a number.
func list(w http.ResponseWriter, r *http.Request, licenses []License) {
	page, ok := number(r, "page", 1)
	size, sizeOK := number(r, "page_size", defaultPageSize)
	if !ok || !sizeOK || size > mostPageSize {
		apiError(w, http.StatusBadRequest, "invalid_parameters", "page and page_size must be numbers from 1, page_size at most 1000.")
		return
	}
	from := (page - 1) * size
	if page > 1 && from >= len(licenses) {
		apiError(w, http.StatusNotFound, "not_found", "Invalid page.")
		return
	}
	to := min(from+size, len(licenses))
	out := map[string]any{"type": "object_list", "api": "meta", "page": page, "count": to - from, "objects": append([]License{}, licenses[from:to]...)}
	if to < len(licenses) {
		out["next_page"] = page + 1
	}
	object(w, out)
}

func number(r *http.Request, name string, otherwise int) (int, bool) {
	if !r.URL.Query().Has(name) {
		return otherwise, true
	}
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	return n, err == nil && n >= 1 && n < 1<<20
}

func object(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		apiError(w, http.StatusInternalServerError, "server_error", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// apiError writes Kloudless's error object.
func apiError(w http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(map[string]any{"status_code": status, "error_code": code, "message": message, "id": rand.Text()})
	if err != nil {
		body = nil // a number and strings always marshal
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left needs no error
}
