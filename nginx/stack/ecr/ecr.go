// Package ecr stands in for AWS ECR: the API call that hands out tokens (api.go),
// the registry behind TLS that accepts only such a token (front.go), and the
// bucket that blobs come from (bucket.go). A real registry behind it has the images.
//
// It is meant to be as strict as the original. Where the original's behavior is
// known, the tests name the source; where it is not, the stand-in refuses. It
// differs on purpose in this: everything listens on 127.0.0.1 unless told
// otherwise, so the proxyEndpoint names a port; the bucket is plain HTTP; and the
// registry can also be reached by its address without SNI (for programs that look
// up names only in the system's DNS).
package ecr

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// Defaults of Options, and the values that the stack's configurations name.
const (
	Account         = "123456789012"
	Region          = "eu-central-1"
	AccessKeyID     = "AKIAIOSFODNN7EXAMPLE"                     // of AWS's documentation
	SecretAccessKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" //nolint:gosec // likewise
)

// Host is the registry's name, as AWS forms it from account and region.
func Host(account, region string) string {
	return account + ".dkr.ecr." + region + ".amazonaws.com"
}

// APIHost is the API's name.
// https://docs.aws.amazon.com/general/latest/gr/ecr.html
func APIHost(region string) string { return "api.ecr." + region + ".amazonaws.com" }

// Options of a Server. Backend and Certificate must be given.
type Options struct {
	// Account (12 digits) and Region; Account and Region of this package when
	// empty.
	Account, Region string
	// AccessKeyID and SecretAccessKey sign the API's requests; those of this
	// package when empty. With a SessionToken, requests must carry it.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Backend is the registry that has the images.
	Backend Backend
	// Certificate is the front's, for Host and 127.0.0.1.
	Certificate tls.Certificate
	// APIListener and FrontListener are served instead of ports of 127.0.0.1;
	// the API then by TLS, as the original, with a certificate for APIHost too.
	APIListener, FrontListener net.Listener
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Record is as in standin.Options, for each of the servers.
	Record int
}

// A Backend is a registry that speaks the Distribution API.
type Backend struct {
	// URL is its base, without a path.
	URL *url.URL
	// Transport reaches it; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// User and Password are its Basic credential, known to nobody else.
	User, Password string
}

// Server is the servers that are ECR together.
type Server struct {
	// API is the AWS JSON 1.1 endpoint (plain HTTP).
	API *standin.Server
	// Front is the registry (HTTPS).
	Front *standin.Server
	// Endpoint is the registry once more, as at an endpoint in the VPC: what
	// authsvc asks itself is not mixed up with what nginx forwards.
	Endpoint *standin.Server
	// Bucket is where blobs are fetched by signed URLs (plain HTTP).
	Bucket *standin.Server

	opts   Options
	host   string
	tokens *tokens

	mu        sync.Mutex
	rejection Rejection
	urlExpiry time.Duration
	objects   map[string]object
}

// Start starts the servers.
func Start(opts Options) (*Server, error) {
	opts.Account = or(opts.Account, Account)
	opts.Region = or(opts.Region, Region)
	opts.AccessKeyID = or(opts.AccessKeyID, AccessKeyID)
	opts.SecretAccessKey = or(opts.SecretAccessKey, SecretAccessKey)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Backend.Transport == nil {
		opts.Backend.Transport = http.DefaultTransport
	}
	s := &Server{
		opts:      opts,
		host:      Host(opts.Account, opts.Region),
		tokens:    newTokens(opts.Now),
		urlExpiry: time.Hour,
		objects:   map[string]object{},
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stand-in of ECR: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) listen() (err error) {
	record := standin.Options{Record: s.opts.Record}
	api := record
	if api.Listener = s.opts.APIListener; api.Listener != nil {
		api.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.opts.Certificate}}
	}
	if s.API, err = standin.Start(http.HandlerFunc(s.serveAPI), api); err != nil {
		return err
	}
	if s.Bucket, err = standin.Start(http.HandlerFunc(s.serveBucket), record); err != nil {
		return err
	}
	record.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName != "" && !strings.EqualFold(hello.ServerName, s.host) {
				return nil, fmt.Errorf("asked for %q, this is %q", hello.ServerName, s.host)
			}
			return &s.opts.Certificate, nil
		},
	}
	front := record
	front.Listener = s.opts.FrontListener
	if s.Front, err = standin.Start(http.HandlerFunc(s.serveFront), front); err != nil {
		return err
	}
	s.Endpoint, err = standin.Start(http.HandlerFunc(s.serveFront), record)
	return err
}

// Close ends the servers.
func (s *Server) Close() error {
	var errs []error
	for _, server := range []*standin.Server{s.API, s.Bucket, s.Front, s.Endpoint} {
		if server != nil {
			errs = append(errs, server.Close())
		}
	}
	return errors.Join(errs...)
}

// Name is the registry's host name, without a port.
func (s *Server) Name() string { return s.host }

// Host is the registry's host name with its port if that is not 443, as the
// tokens' file has it.
func (s *Server) Host() string { return s.withPort(s.host) }

func (s *Server) withPort(host string) string {
	if s.Front.Port() == 443 {
		return host
	}
	return fmt.Sprintf("%s:%d", host, s.Front.Port())
}

// Rejection is how the registry answers a token that has expired.
type Rejection int

// All of these were seen (facts.md, "AWS ECR").
const (
	// Forbidden403Text is a sentence in plain text.
	Forbidden403Text Rejection = iota
	// Forbidden403Denied is the Distribution API's JSON, code DENIED.
	Forbidden403Denied
	// Unauthorized401 is what a malformed token gets.
	Unauthorized401
	// Forbidden403TextAsJSON is the sentence with a JSON content type.
	Forbidden403TextAsJSON
)

// RejectWith sets the answer to expired tokens.
func (s *Server) RejectWith(r Rejection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejection = r
}

// SetTokenLifetime sets the lifetime of tokens issued from now on; 12 h at
// the start.
func (s *Server) SetTokenLifetime(d time.Duration) { s.tokens.setLifetime(d) }

// SetTokenSize sets the size in bytes of tokens issued from now on, which are
// up to 8 bytes longer; 2368 at the start.
func (s *Server) SetTokenSize(n int) { s.tokens.setSize(n) }

// InvalidateTokens ends all tokens issued so far, before their time.
func (s *Server) InvalidateTokens() { s.tokens.invalidate() }

// TokensIssued is the number of tokens handed out.
func (s *Server) TokensIssued() int { return s.tokens.count() }

// IssueToken hands out a token without the API: the value after "Basic " of
// an Authorization header.
func (s *Server) IssueToken() (token string, expires time.Time) { return s.tokens.issue() }

// SetURLExpiry sets for how long the URLs of blobs are good; an hour at the
// start, and whole seconds.
func (s *Server) SetURLExpiry(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urlExpiry = d
}

// DenyByIAM is a fault of the front: the role lost its rights. The text names
// the role, the session and the repository, as the original's does.
func (s *Server) DenyByIAM() standin.Fault {
	return standin.Fault{
		Status: http.StatusForbidden,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body:   errorBody("DENIED", s.denial("ecr:BatchGetImage", "acme/appliance")),
	}
}

func (s *Server) denial(action, repository string) string {
	return fmt.Sprintf("User: arn:aws:sts::%[1]s:assumed-role/registry-pull/i-0123456789abcdef0 is not authorized to perform: %[2]s on resource: arn:aws:ecr:%[3]s:%[1]s:repository/%[4]s because no identity-based policy allows the %[2]s action",
		s.opts.Account, action, s.opts.Region, repository)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
