package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// bounds on the connections from nginx. A question is headers only. The shutdown
// wait is longer than any answer takes.
var bounds = listen.Bounds{ReadHeader: 10 * time.Second, HeaderBytes: 32 << 10, Shutdown: 30 * time.Second}

// serve wires the parts together and serves until ctx ends.
func serve(ctx context.Context, c config.Config, logger *slog.Logger) error {
	numbers := program.NewMetrics("authsvc")
	watcher, err := tokenfile.Watch(ctx, c.TokenFile, logger)
	if err != nil {
		return fmt.Errorf("watching upstream.token_file: %w", err)
	}
	if c.Remote.Transport, err = newTransport(c); err != nil {
		return err
	}
	c.Upstream.Transport = c.Remote.Transport
	registry := upstream.New(watcher, c.Upstream)
	metrics := server.NewMetrics(numbers, registry)

	hashes := newKey(c.CacheKeyFile, logger)
	customers, err := newCustomers(ctx, c, hashes, logger, numbers, metrics)
	if err != nil {
		return err
	}
	if c.CacheFile != "" {
		defer customers.keep(c.CacheFile, logger)()
	}
	c.Remote.Upstream, c.Remote.Metrics = registry, numbers
	client, err := remote.New(c.Remote)
	if err != nil {
		return err
	}
	releases := newReleases(c, client, logger, numbers)
	defer releases.Close()
	if c.ReleaseFile != "" {
		defer keep("releases", c.ReleaseFile, 10*time.Minute, releases.Load, releases.Save, logger)()
	}

	asked, err := listen.Listen(ctx, c.Listen.Address, c.Listen.Mode, c.Listen.Group)
	if err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	private, err := listen.Listen(ctx, c.Private, 0o600, "")
	if err != nil {
		return errors.Join(fmt.Errorf("private.address: %w", err), asked.Close())
	}
	decider := &decision.Decider{
		Authenticator: customers,
		Rules:         &entitlement.Rules{Releases: releases, Renew: c.Renew, Repositories: c.Repositories},
		Upstream:      registry,
		Key:           hashes,
	}
	troubles := append(customers.troubles(), client.Trouble)
	handlers := map[net.Listener]http.Handler{
		asked: server.New(server.Options{
			Decider: decider, Realm: c.Realm, MaxRequests: c.Listen.MaxRequests, Logger: logger, Metrics: metrics,
		}),
		private: server.NewPrivate(registry, numbers, troubles...),
	}
	logger.Info("serving", "version", program.Version(), "listen", asked.Addr().String(), "private", private.Addr().String())
	// Explanations must not keep customers from being served.
	if support, err := listenExplain(ctx, c); err != nil {
		logger.Warn("authsvc explain is not available", "error", err)
	} else if support != nil {
		peeked, err := newPeeked(c, registry)
		if err != nil {
			return err
		}
		parts := explain.Parts{Decider: decider, Chain: customers.Chain, Releases: releases, Registry: peeked, Troubles: troubles}
		handlers[support] = explain.NewHandler(func() (explain.Parts, func()) { return parts, func() {} })
	}
	return listen.Serve(ctx, logger, bounds, private, handlers)
}

// listenExplain opens the socket for explanations; nil for none.
func listenExplain(ctx context.Context, c config.Config) (net.Listener, error) {
	if c.Explain == "" {
		return nil, nil
	}
	l, err := listen.Listen(ctx, c.Explain, 0o660, "")
	if err != nil {
		return nil, fmt.Errorf("explain.address: %w", err)
	}
	return l, nil
}

// newPeeked makes a client of the registry for explanations: it counts nothing, and
// renews no token.
func newPeeked(c config.Config, u remote.Upstream) (*remote.Client, error) {
	o := c.Remote
	o.Upstream, o.Metrics = unrenewed{u}, nil
	return remote.New(o)
}

// unrenewed is an upstream whose token is not renewed.
type unrenewed struct{ remote.Upstream }

// Renew implements remote.Upstream.
func (unrenewed) Renew(context.Context, string) (tokenfile.Token, error) {
	return tokenfile.Token{}, errors.New("the registry rejects the token")
}

// newReleases builds what knows which tags reach a digest.
func newReleases(c config.Config, client *remote.Client, logger *slog.Logger, numbers prometheus.Registerer) *release.Releases {
	limitMemory(c)
	c.Release.Source, c.Release.Logger, c.Release.Metrics = client, logger, numbers
	return release.New(c.Release)
}

// newTransport builds the transport to the registry.
func newTransport(c config.Config) (http.RoundTripper, error) {
	transport, err := remote.NewTransport(c.Remote)
	if err != nil {
		return nil, fmt.Errorf("configuration: upstream.ca_file: %w", err)
	}
	return transport, nil
}

// check builds everything that serve would build, and discards it.
func check(c config.Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := newSources(ctx, c, func(string) auth.Environment {
		return auth.Environment{Logger: slog.New(slog.DiscardHandler), Observe: func(context.Context, string, time.Duration) {}, Fault: func(string, error) {}}
	})
	if err != nil {
		return err
	}
	_, err = newTransport(c)
	return err
}
