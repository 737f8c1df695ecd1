// Package webauth stands in for a vendor's web service of the kind that
// authsvc/examples/web.yaml configures: one request checks a user and a password, and
// another, with authsvc's own key, lists the account's licenses page by page.
//
// It is strict: a request that is not exactly what that example sends gets 400, so
// that a secret in the wrong place is found.
package webauth

import (
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// Key is authsvc's own key at the service.
const Key = "webauth-service-key"

// exampleURL is the service's in the example.
const exampleURL = "https://api.vendor.com"

// pageSize is the most licenses on a page, whatever limit asks for.
const pageSize = 2

// A Server is the service, over TLS.
type Server struct {
	*standin.Server

	mu       sync.Mutex
	accounts map[string]*account // by password
	last     int
}

type account struct {
	vendorapi.Account
	id        int
	suspended string
	ends      time.Time
}

// Options of a Server. Certificate is required.
type Options struct {
	Certificate tls.Certificate
	// Listener and Record are as in standin.Options.
	Listener net.Listener
	Record   int
}

// Start starts a service without accounts.
func Start(opts Options) (*Server, error) {
	s := &Server{accounts: map[string]*account{}}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{opts.Certificate}}
	var err error
	if s.Server, err = standin.Start(http.HandlerFunc(s.serve), standin.Options{TLS: config, Listener: opts.Listener, Record: opts.Record}); err != nil {
		return nil, fmt.Errorf("starting the stand-in for a vendor's web service: %w", err)
	}
	return s, nil
}

// Source returns the first entry of sources in an example, which is the text of
// authsvc/examples/web.yaml, with this service in place of the vendor's. It writes
// the key into dir.
func (s *Server) Source(example []byte, caFile, dir string) (map[string]any, error) {
	var file struct{ Sources []map[string]any }
	text := strings.ReplaceAll(string(example), exampleURL, s.URL())
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("reading the example of kind web: %w", err)
	}
	if len(file.Sources) == 0 || text == string(example) {
		return nil, fmt.Errorf("reading the example of kind web: expected a source at %s, found none", exampleURL)
	}
	source := file.Sources[0]
	service, ok := source["service"].(map[string]any)
	if !ok {
		return nil, errors.New("reading the example of kind web: expected the section service, found none")
	}
	key := filepath.Join(dir, "webauth-key")
	service["credential_file"], source["ca_file"] = key, caFile
	if err := os.WriteFile(key, []byte(Key+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the service's key: %w", err)
	}
	return source, nil
}

// SetAccount adds the account with this password, or replaces it. Its Email is the
// user.
func (s *Server) SetAccount(password string, a vendorapi.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.accounts[password] = &account{Account: a, id: s.last}
}

// SetLicenses replaces the licenses of a password's account.
func (s *Server) SetLicenses(password string, licenses ...vendorapi.License) {
	s.change(password, func(a *account) { a.Licenses = licenses })
}

// Suspend refuses an account for a reason; an empty one ends that.
func (s *Server) Suspend(password, reason string) {
	s.change(password, func(a *account) { a.suspended = reason })
}

// SetEnds sets the end of an account, which authsvc must observe itself; zero for
// never.
func (s *Server) SetEnds(password string, end time.Time) {
	s.change(password, func(a *account) { a.ends = end })
}

func (s *Server) change(password string, change func(*account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.accounts[password]; ok {
		change(a)
	}
}

// RemoveAccount makes the password unknown.
func (s *Server) RemoveAccount(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, password)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, err := url.PathUnescape(r.URL.EscapedPath())
	user, isUser := strings.CutPrefix(path, "/v2/customers/")
	id, isAccount := strings.CutPrefix(path, "/v2/accounts/")
	id, isLicenses := strings.CutSuffix(id, "/licenses")
	switch {
	case err != nil || r.Method != http.MethodGet || r.Header.Get("Accept") != "application/json" || r.ContentLength > 0:
		fail(w, http.StatusBadRequest, "bad_request", "expected a GET for JSON")
	case isUser:
		s.customer(w, r, user)
	case isAccount && isLicenses:
		s.licenses(w, r, id)
	default:
		fail(w, http.StatusNotFound, "not_found", "no such resource")
	}
}

// customer checks a user and a password.
func (s *Server) customer(w http.ResponseWriter, r *http.Request, user string) {
	typed, password, ok := r.BasicAuth()
	if !ok || typed != user || r.URL.RawQuery != "" || len(r.Header["Authorization"]) != 1 || r.Header["X-Api-Key"] != nil {
		fail(w, http.StatusBadRequest, "bad_request", "expected the customer's credential alone, as Basic")
		return
	}
	known := false
	for secret, a := range s.accounts {
		if a.Email != user {
			continue
		}
		known = true
		switch {
		case subtle.ConstantTimeCompare([]byte(secret), []byte(password)) == 0:
			continue
		case a.suspended != "":
			fail(w, http.StatusForbidden, "suspended", "account suspended: "+a.suspended)
		default:
			say(w, http.StatusOK, map[string]any{"id": a.id, "email": a.Email, "ends": orNull(a.ends)})
		}
		return
	}
	if !known {
		fail(w, http.StatusNotFound, "unknown_customer", "no such customer")
		return
	}
	fail(w, http.StatusUnauthorized, "wrong_password", "")
}

// licenses lists an account's licenses, one for each release, from the parameter
// after.
func (s *Server) licenses(w http.ResponseWriter, r *http.Request, id string) {
	if key := r.Header["X-Api-Key"]; len(key) != 1 || key[0] != Key {
		fail(w, http.StatusUnauthorized, "wrong_key", "expected the service's key")
		return
	}
	query := r.URL.Query()
	after, err := strconv.Atoi(query.Get("after"))
	if query.Has("after") && (err != nil || after < 0) || query.Get("limit") != "100" || r.Header["Authorization"] != nil {
		fail(w, http.StatusBadRequest, "bad_request", "expected limit=100, a number for after, and no credential but the key")
		return
	}
	for _, a := range s.accounts {
		if strconv.Itoa(a.id) != id {
			continue
		}
		all := releases(a.Licenses)
		from, to := min(after, len(all)), min(after+pageSize, len(all))
		if to < len(all) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?limit=100&after=%d>; rel="next"`, r.URL.EscapedPath(), to))
		}
		say(w, http.StatusOK, map[string]any{"licenses": all[from:to]})
		return
	}
	fail(w, http.StatusNotFound, "unknown_account", "no such account")
}

func releases(licenses []vendorapi.License) []any {
	all := []any{}
	for _, l := range licenses {
		for _, r := range l.Releases {
			all = append(all, map[string]any{"id": l.ID, "image": r.Repository, "versions": r.Tags, "until": orNull(l.Expiration), "revoked": l.Inactive})
		}
	}
	return all
}

func orNull(end time.Time) any {
	if end.IsZero() {
		return nil
	}
	return end.UTC().Format(time.RFC3339)
}

// fail writes the service's own error.
func fail(w http.ResponseWriter, status int, code, message string) {
	say(w, status, map[string]string{"error": code, "message": message})
}

func say(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that has left needs no error
}
