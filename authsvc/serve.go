package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// bounds on the connections from nginx. A question is headers only. The shutdown
// wait is longer than any answer takes.
var bounds = listen.Bounds{ReadHeader: 10 * time.Second, HeaderBytes: 32 << 10, Shutdown: 30 * time.Second}

// serve wires the parts together and serves until ctx ends. SIGHUP loads the
// configuration again.
func serve(ctx context.Context, c config.Config, load func() (config.Config, error), level *slog.LevelVar, logger *slog.Logger) error {
	hangups := make(chan os.Signal, 1) // another one meanwhile is the same
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	level.Set(c.LogLevel)
	numbers := program.NewMetrics("authsvc")
	metrics := server.NewMetrics(numbers)
	l, err := newLive(builder{maker{ctx, newKey(c.CacheKeyFile, logger), logger, metrics}, newTokenFiles(ctx, logger), numbers}, c, load, level)
	if err != nil {
		return err
	}
	defer l.close()
	defer l.keep(c)()

	asked, err := listen.Listen(ctx, c.Listen.Address, c.Listen.Mode, c.Listen.Group)
	if err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	private, err := listen.Listen(ctx, c.Private, 0o600, "")
	if err != nil {
		return errors.Join(fmt.Errorf("private.address: %w", err), asked.Close())
	}
	handlers := map[net.Listener]http.Handler{
		asked:   server.New(server.Options{Decider: l, Registries: l, Realm: c.Realm, MaxRequests: c.Listen.MaxRequests, Logger: logger, Metrics: metrics}),
		private: server.NewPrivate(l, l, l.troubles),
	}
	logger.Info("serving", "version", program.Version(), "listen", asked.Addr().String(), "private", private.Addr().String())
	// Explanations must not keep customers from being served.
	if support, err := listenExplain(ctx, c); err != nil {
		logger.Warn("authsvc explain is not available", "error", err)
	} else if support != nil {
		handlers[support] = explain.NewHandler(l.lend)
	}
	go l.reloads(ctx, hangups)
	return listen.Serve(ctx, logger, bounds, private, handlers)
}

// keep makes what is known survive a restart. stop saves it one last time.
func (l *live) keep(c config.Config) (stop func()) {
	stopCustomers, stopReleases := func() {}, func() {}
	if c.CacheFile != "" {
		load := func(file string) error { return l.current.Load().customers.load(file) }
		save := func(file string) error { return l.current.Load().customers.save(file) }
		stopCustomers = keep("accepted credentials", c.CacheFile, time.Minute, load, save, l.logger)
	}
	if c.ReleaseFile != "" {
		load := func(file string) error { return l.current.Load().releases.Load(file) }
		save := func(file string) error { return l.current.Load().releases.Save(file) }
		stopReleases = keep("releases", c.ReleaseFile, 10*time.Minute, load, save, l.logger)
	}
	return func() {
		stopReleases()
		stopCustomers()
	}
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
