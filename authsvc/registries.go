package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// registries are those behind nginx, and how they are asked.
type registries struct {
	routes *upstream.Routes
	source *remote.Registries
	// peeked is for explanations: it counts nothing, and renews no token.
	peeked  *remote.Registries
	numbers *prometheus.Registry
}

// registries builds them.
func (b builder) registries(c config.Config) (*registries, error) {
	r := &registries{numbers: prometheus.NewRegistry()}
	clients, peeked := map[*upstream.Upstream]*remote.Client{}, map[*upstream.Upstream]*remote.Client{}
	byName := make(map[string]*upstream.Upstream, len(c.Upstreams))
	for _, u := range c.Upstreams {
		transport, err := newTransport(u)
		if err != nil {
			return nil, err
		}
		made, err := b.registry(u, transport)
		if err != nil {
			return nil, err
		}
		byName[u.Name] = made
		if len(u.Prefixes) == 0 {
			continue // a stand-by alone is asked nothing
		}
		o := u.Remote
		o.Transport = transport
		o.Upstream, o.Metrics = made, prometheus.WrapRegistererWith(prometheus.Labels{"upstream": u.Name}, r.numbers)
		if clients[made], err = remote.New(o); err != nil {
			return nil, err
		}
		o.Upstream, o.Metrics = unrenewed{made}, nil
		if peeked[made], err = remote.New(o); err != nil {
			return nil, err
		}
	}
	r.routes = upstream.NewRoutes(routes(c, byName)...)
	r.routes.Register(r.numbers)
	r.source, r.peeked = remote.NewRegistries(r.routes, clients), remote.NewRegistries(r.routes, peeked)
	return r, nil
}

// registry builds one registry.
func (b builder) registry(u config.Upstream, transport http.RoundTripper) (*upstream.Upstream, error) {
	watcher, err := b.tokens.watch(u.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("registry %s: watching its token_file: %w", u.Name, err)
	}
	o := u.Config
	o.Logger, o.Transport = b.logger, transport
	return upstream.New(watcher, o), nil
}

// routes are the routes that the configuration has.
func routes(c config.Config, byName map[string]*upstream.Upstream) (all []upstream.Route) {
	for _, u := range c.Upstreams {
		for _, p := range u.Prefixes {
			all = append(all, upstream.Route{Prefix: p, First: byName[u.Name], Standby: byName[u.Standby]})
		}
	}
	return all
}

// newTransport builds the transport to a registry.
func newTransport(u config.Upstream) (http.RoundTripper, error) {
	transport, err := remote.NewTransport(u.Remote)
	if err != nil {
		return nil, fmt.Errorf("configuration: registry %s: ca_file: %w", u.Name, err)
	}
	return transport, nil
}

// unrenewed is an upstream whose token is not renewed.
type unrenewed struct{ remote.Upstream }

// Renew implements remote.Upstream.
func (unrenewed) Renew(context.Context, string) (tokenfile.Token, error) {
	return tokenfile.Token{}, errors.New("the registry rejects the token")
}

// tokenFiles are watched until the program ends, each by one watcher, whatever
// configurations name them.
type tokenFiles struct {
	life   context.Context //nolint:containedctx // of all watchers
	logger *slog.Logger

	mu       sync.Mutex
	watchers map[string]*tokenfile.Watcher
}

func newTokenFiles(life context.Context, logger *slog.Logger) *tokenFiles {
	return &tokenFiles{life: life, logger: logger, watchers: map[string]*tokenfile.Watcher{}}
}

func (f *tokenFiles) watch(path string) (*tokenfile.Watcher, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.watchers[path]; w != nil {
		return w, nil
	}
	w, err := tokenfile.Watch(f.life, path, f.logger)
	if err == nil {
		f.watchers[path] = w
	}
	return w, err
}
