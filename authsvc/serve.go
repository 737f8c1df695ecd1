package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/listen"
	"github.com/pullgate/pullgate/tokenrefresher/program"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// bounds on the connections from nginx. A question is headers alone; the wait
// for what is in flight is longer than any answer takes.
var bounds = listen.Bounds{ReadHeader: 10 * time.Second, HeaderBytes: 32 << 10, Shutdown: 30 * time.Second}

// serve wires the parts together and serves until ctx ends.
func serve(ctx context.Context, c config.Config, logger *slog.Logger) error {
	watcher, err := tokenfile.Watch(ctx, c.Upstream.TokenFile, logger)
	if err != nil {
		return fmt.Errorf("watching upstream.token_file: %w", err)
	}
	registry := upstream.New(watcher, c.Upstream.RefreshSocket, c.Upstream.RefreshName, c.Upstream.RefreshTimeout)

	var cache *auth.Cache
	numbers := prometheus.NewRegistry()
	numbers.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info(c))
	metrics := server.NewMetrics(numbers, registry, func() int { return cache.Len() })
	vendor, err := newVendor(c, metrics.ObserveVendor)
	if err != nil {
		return err
	}
	cache = auth.NewCache(vendor, auth.CacheConfig{
		TTL: c.Cache.TTL, RefusalTTL: c.Cache.RefusalTTL, StaleTTL: c.Cache.StaleTTL,
		MaxEntries: c.Cache.MaxEntries, MaxRefusals: c.Cache.MaxRefusals,
	})

	limitMemory(c.Release.MaxDigests)
	releases, err := newReleases(c, registry, logger, metrics)
	if err != nil {
		return err
	}
	defer releases.Close()
	if c.Release.File != "" {
		defer keep(releases, c.Release.File, logger)()
	}

	asked, err := listen.Listen(ctx, c.Listen.Address, c.Listen.Mode, c.Listen.Group)
	if err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	private, err := listen.Listen(ctx, c.Private.Address, 0o600, "")
	if err != nil {
		return errors.Join(fmt.Errorf("private.address: %w", err), asked.Close())
	}
	logger.Info("serving", "version", program.Version(), "listen", asked.Addr().String(), "private", private.Addr().String())
	return listen.Serve(ctx, logger, bounds, private, map[net.Listener]http.Handler{
		asked: server.New(server.Options{
			Authenticator: cache,
			Rules:         &entitlement.Rules{Releases: releases, Renew: c.Messages.Renew, Repositories: c.Catalog.Repositories},
			Upstream:      registry,
			Realm:         c.Realm,
			Logger:        logger,
			Metrics:       metrics,
		}),
		private: server.NewPrivate(registry, numbers),
	})
}

// newReleases makes what tells which tags reach a digest.
func newReleases(c config.Config, registry *upstream.Upstream, logger *slog.Logger, metrics *server.Metrics) (*release.Releases, error) {
	client, err := newRemote(c, registry)
	if err != nil {
		return nil, err
	}
	return release.New(release.Options{
		Source: client, TagTTL: c.Release.TagTTL, Previous: c.Release.Previous, Timeout: c.Release.Timeout,
		MaxDigests: c.Release.MaxDigests, Parallel: c.Upstream.Requests, NoReferrers: !c.Release.Referrers,
		Logger: logger, Observe: metrics.ObserveRelease,
	}), nil
}

func newRemote(c config.Config, registry *upstream.Upstream) (*remote.Client, error) {
	client, err := remote.New(remote.Options{
		Upstream: registry, CAFile: c.Upstream.CAFile, Address: c.Upstream.Address,
		Requests: c.Upstream.Requests, Timeout: c.Upstream.Timeout,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: upstream.ca_file: %w", err)
	}
	return client, nil
}

// saveInterval is how often what is known of releases is saved, beside at the
// end: a killed process learns the rest again.
const saveInterval = 10 * time.Minute

// keep takes over what a file knows of releases, and saves it again from time
// to time. What it returns saves for the last time.
func keep(releases *release.Releases, file string, logger *slog.Logger) (stop func()) {
	if err := releases.Load(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("starting without what was known of releases", "error", err)
	}
	save := func() {
		if err := releases.Save(file); err != nil {
			logger.Error("saving what is known of releases", "error", err)
		}
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(saveInterval):
				save()
			case <-stopped:
				save()
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// check builds what serve would build of the configuration, and drops it.
func check(c config.Config) error {
	if _, err := newVendor(c, nil); err != nil {
		return err
	}
	_, err := newRemote(c, nil)
	return err
}

func newVendor(c config.Config, observe func(string, time.Duration)) (*kloudless.Client, error) {
	k := c.Kloudless
	client, err := kloudless.New(kloudless.Config{
		URL: k.URL, LicensesPath: k.LicensesPath, PageSize: k.PageSize, MaxPages: k.MaxPages,
		Timeout: k.Timeout, CAFile: k.CAFile, Grants: k.Grants, Observe: observe,
		Account: kloudless.Account{VerifyEmail: k.Account.VerifyEmail, Path: k.Account.Path, Email: k.Account.Email},
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: kloudless: %w", err)
	}
	return client, nil
}

// info tells what is running: build and configuration.
func info(c config.Config) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authsvc_info",
		Help: "Always 1: version, and the settings that decide how long a withdrawn license still opens.",
		ConstLabels: prometheus.Labels{
			"version": program.Version(), "cache_ttl": c.Cache.TTL.String(),
			"cache_refusal_ttl": c.Cache.RefusalTTL.String(), "cache_stale_ttl": c.Cache.StaleTTL.String(),
		},
	}, func() float64 { return 1 })
}
