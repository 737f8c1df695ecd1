// Package ecr stands in for AWS ECR: the API call that issues tokens (api.go), the
// TLS registry that accepts only such a token (front.go), and the bucket that serves
// blobs (bucket.go). A real registry behind it stores the images.
//
// It is as strict as the original. Where the original's behavior is known, the
// tests name the source; where it is not, the stand-in refuses. The intended
// differences: everything listens on 127.0.0.1 by default, so the proxyEndpoint
// has a port; the bucket is plain HTTP; and the registry also answers at its
// address without SNI (for programs that use only the system's DNS).
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

// Defaults of Options, which the stack's configurations use too.
const (
	Account         = "123456789012"
	Region          = "eu-central-1"
	AccessKeyID     = "AKIAIOSFODNN7EXAMPLE"                     // from AWS's documentation
	SecretAccessKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" //nolint:gosec // likewise
)

// Host is the registry's name, which AWS derives from account and region.
func Host(account, region string) string {
	return account + ".dkr.ecr." + region + ".amazonaws.com"
}

// APIHost is the API's name.
// https://docs.aws.amazon.com/general/latest/gr/ecr.html
func APIHost(region string) string { return "api.ecr." + region + ".amazonaws.com" }

// Options of a Server. Backend and Certificate are required.
type Options struct {
	// Account (12 digits) and Region; this package's Account and Region if
	// empty.
	Account, Region string
	// AccessKeyID and SecretAccessKey sign the API's requests; this package's
	// if empty. If SessionToken is set, requests must contain it.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Backend is the registry that stores the images.
	Backend Backend
	// Certificate is the front's certificate, for Host and 127.0.0.1.
	Certificate tls.Certificate
	// APIListener, FrontListener and BucketListener replace ports of 127.0.0.1. The
	// API then uses TLS, like the original, and needs a certificate for APIHost too.
	APIListener, FrontListener, BucketListener net.Listener
	// BucketTLS makes the bucket use TLS, like the original, with Certificate. Its URLs
	// are by address, so clients must trust that for 127.0.0.1.
	BucketTLS bool
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Record is as in standin.Options, for each server.
	Record int
	// Remember asks the backend only once for the same: for load on images that
	// do not change.
	Remember bool
}

// A Backend is a registry that speaks the Distribution API.
type Backend struct {
	// URL is its base, without a path.
	URL *url.URL
	// Transport reaches it; http.DefaultTransport if nil.
	Transport http.RoundTripper
	// User and Password are its Basic credential, which nobody else knows.
	User, Password string
}

// Server holds the servers that together are ECR.
type Server struct {
	// API is the AWS JSON 1.1 endpoint (plain HTTP).
	API *standin.Server
	// Front is the registry (HTTPS).
	Front *standin.Server
	// Endpoint is the same registry again, like a VPC endpoint: it separates
	// authsvc's own requests from those that nginx forwards.
	Endpoint *standin.Server
	// Bucket serves blobs by signed URLs (plain HTTP, but for Options.BucketTLS).
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
	if opts.Remember {
		opts.Backend.Transport = &memo{next: opts.Backend.Transport, answers: map[string]remembered{}}
	}
	s := &Server{
		opts:      opts,
		host:      Host(opts.Account, opts.Region),
		tokens:    newTokens(opts.Now),
		urlExpiry: time.Hour,
		objects:   map[string]object{},
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stand-in for ECR: %w", err), s.Close())
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
	bucket := record
	bucket.Listener = s.opts.BucketListener
	if s.opts.BucketTLS {
		bucket.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.opts.Certificate}}
	}
	if s.Bucket, err = standin.Start(http.HandlerFunc(s.serveBucket), bucket); err != nil {
		return err
	}
	record.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName != "" && !strings.EqualFold(hello.ServerName, s.host) {
				return nil, fmt.Errorf("expected server name %q, found %q", s.host, hello.ServerName)
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

// Close stops the servers.
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

// Host is the registry's host name, with its port if that is not 443, as in the
// token file.
func (s *Server) Host() string { return s.withPort(s.host) }

func (s *Server) withPort(host string) string {
	if s.Front.Port() == 443 {
		return host
	}
	return fmt.Sprintf("%s:%d", host, s.Front.Port())
}

// Rejection is how the registry answers an expired token.
type Rejection int

// All of these have been observed.
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

// SetTokenLifetime sets the lifetime of tokens issued from now on. The default is
// 12 h.
func (s *Server) SetTokenLifetime(d time.Duration) { s.tokens.setLifetime(d) }

// SetTokenSize sets the size in bytes of tokens issued from now on; they may be up
// to 8 bytes longer. The default is 2368.
func (s *Server) SetTokenSize(n int) { s.tokens.setSize(n) }

// InvalidateTokens invalidates all tokens issued so far.
func (s *Server) InvalidateTokens() { s.tokens.invalidate() }

// TokensIssued returns the number of issued tokens.
func (s *Server) TokensIssued() int { return s.tokens.count() }

// Passwords returns, of each issued token, a part of the password that is random
// throughout, in no order.
func (s *Server) Passwords() []string { return s.tokens.passwords() }

// IssueToken issues a token without the API: the value after "Basic " in an
// Authorization header.
func (s *Server) IssueToken() (token string, expires time.Time) { return s.tokens.issue() }

// SetURLExpiry sets how long blob URLs are valid, in whole seconds. The default is
// one hour.
func (s *Server) SetURLExpiry(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urlExpiry = d
}

// DenyByIAM is a fault of the front: the role lost its rights. The text names the
// role, the session and the repository, like the original's.
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
