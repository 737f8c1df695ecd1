// Package stack starts the whole system on loopback: the real nginx with the
// includes of nginx/registry, authsvc and tokenrefresher, Debian's
// docker-registry, and stand-ins for AWS ECR, the vendor's API, and DNS. The demo,
// the end-to-end tests, and the benchmarks use it.
//
// Everything uses free ports of 127.0.0.1 and one temporary directory. Close stops
// everything and removes the directory. The children also die with the process that
// started them.
//
// Start reading at startAll, below, which starts the parts in order. The stand-ins
// are the packages ecr, vendorapi, and dns; package standin has what they share.
package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pullgate/pullgate/nginx/stack/dns"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// Stack is a running system.
type Stack struct {
	Outside
	// URL and TLSURL are nginx's, without a trailing slash; Host is the registry's
	// name for docker, "127.0.0.1:PORT" of URL.
	URL, TLSURL, Host string
	// Authsvc is between nginx and authsvc with Options.Interpose, else nil.
	Authsvc *standin.Server
	// Sources are those of Options.Sources.
	Sources map[string]Source
	// Upstreams are those of Options.Upstreams, by name. The first one is ECR.
	Upstreams map[string]*Upstream

	opts      Options
	binDir    string
	nginxPath string
	version   Version // of nginx
	client    *http.Client
	socket    *socket
	upstreams []*Upstream // in their order

	interposed                      *http.Transport
	plainPort, tlsPort, forwardPort int // nginx's
	authsvcPort, refresherPort      int // the private ones
	contentPort                     int
	ports                           []int
}

// Start starts everything, and returns when customers can pull. If it fails, it
// leaves nothing behind.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	s := &Stack{opts: opts, Outside: Outside{timeout: opts.Timeout, out: opts.Progress, starter: newStarter(), processes: map[string]*Process{}}}
	if err := s.startAll(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the stack: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stack) startAll(ctx context.Context) error {
	var err error
	if s.nginxPath = s.opts.Nginx; s.nginxPath == "" {
		if s.nginxPath, err = tool("nginx", "nginx libnginx-mod-stream"); err != nil {
			return err
		}
	}
	if s.version, err = NginxVersion(s.nginxPath); err != nil {
		return err
	}
	// Keep the path short: a unix socket's path is limited to 107 bytes.
	if s.Dir, err = os.MkdirTemp("", "pullgate-"); err != nil {
		return err
	}
	for _, name := range []string{"log", "bin", "token"} {
		if err := os.Mkdir(filepath.Join(s.Dir, name), 0o700); err != nil {
			return err
		}
	}
	if err := s.newUpstreams(); err != nil {
		return err
	}
	s.progress("building authsvc and tokenrefresher, starting the registry")
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		var err error
		s.binDir, err = binaries(s.opts.BinDir, filepath.Join(s.Dir, "bin"))
		return err
	})
	g.Go(func() error { return s.startStores(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.startStandins(); err != nil {
		return err
	}
	if err := s.startSources(ctx); err != nil {
		return err
	}
	return s.startPrograms(ctx)
}

// startStandins starts what runs inside this process.
func (s *Stack) startStandins() error {
	var err error
	if s.ca, err = pki.New(s.Dir); err != nil {
		return err
	}
	certificate, err := s.ca.Issue("vendor-cert", "api.vendor.example", "127.0.0.1")
	if err != nil {
		return err
	}
	if s.Vendor, err = vendorapi.Start(vendorapi.Options{Certificate: &certificate, Record: s.opts.Record}); err != nil {
		return err
	}
	if s.DNS, err = dns.Start(); err != nil {
		return err
	}
	for _, u := range s.upstreams {
		if err := s.startUpstream(u); err != nil {
			return err
		}
	}
	s.ECR, s.store = s.upstreams[0].ECR, s.upstreams[0].store
	return nil
}

// startPrograms configures and starts tokenrefresher, authsvc and nginx.
func (s *Stack) startPrograms(ctx context.Context) error {
	for _, port := range []*int{&s.plainPort, &s.tlsPort, &s.forwardPort, &s.authsvcPort, &s.refresherPort, &s.contentPort} {
		var err error
		if *port, err = s.port(); err != nil {
			return err
		}
	}
	s.Host = fmt.Sprintf("127.0.0.1:%d", s.plainPort)
	s.URL = "http://" + s.Host
	s.TLSURL = fmt.Sprintf("https://127.0.0.1:%d", s.tlsPort)
	if _, err := s.ca.Issue("nginx-cert", ServerName, "localhost", "127.0.0.1"); err != nil {
		return err
	}
	s.client = &http.Client{Transport: s.Transport(), Timeout: 5 * time.Second}
	if err := s.newSocket(); err != nil {
		return err
	}
	if s.opts.Interpose {
		if err := s.interpose(); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"", s.configureTokenrefresher},
		{"", s.configureAuthsvc},
		{"", s.configureContent},
		{"", s.configureNginx},
		{"starting tokenrefresher", func() error { return s.StartTokenrefresher(ctx) }},
		{"starting authsvc", func() error { return s.StartAuthsvc(ctx) }},
		{"", func() error { return s.StartContent(ctx) }},
		{"starting nginx", func() error { return s.StartNginx(ctx) }},
	} {
		if step.what != "" {
			s.progress(step.what)
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	s.Forget()
	return nil
}

// Forget drops the stand-ins' recorded requests and counts.
func (s *Stack) Forget() {
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS, s.Authsvc} {
		if server != nil {
			server.Forget()
		}
	}
	for _, u := range s.upstreams {
		u.Forget()
	}
}

// Transport returns a new transport that trusts the stack's CA. The caller must
// call CloseIdleConnections.
func (s *Stack) Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.ca.Pool}
	t.MaxIdleConnsPerHost = 64
	return t
}

func (s *Stack) port() (int, error) {
	port, err := freePort()
	if err == nil {
		s.ports = append(s.ports, port)
	}
	return port, err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
