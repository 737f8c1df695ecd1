// Package plain is a registry that is not ECR: a docker-registry with a user and a
// password, behind TLS.
package plain

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// A Server is the registry, twice: it separates authsvc's own requests, at the
// Endpoint, from those that nginx forwards to the Front.
type Server struct{ Front, Endpoint *standin.Server }

// Start starts the servers in front of a registry, which checks the credential.
func Start(registry ecr.Backend, certificate tls.Certificate) (*Server, error) {
	proxy := &httputil.ReverseProxy{
		Transport: registry.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(registry.URL)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Forwarded-Proto", "https") // for absolute URLs
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that leave
	}
	s := &Server{}
	for _, server := range []**standin.Server{&s.Front, &s.Endpoint} {
		var err error
		*server, err = standin.Start(http.Handler(proxy), standin.Options{TLS: &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{certificate},
		}})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting a plain registry: %w", err), s.Close())
		}
	}
	return s, nil
}

// Close stops the servers.
func (s *Server) Close() error {
	var errs []error
	for _, server := range []*standin.Server{s.Front, s.Endpoint} {
		if server != nil {
			errs = append(errs, server.Close())
		}
	}
	return errors.Join(errs...)
}
