package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/tokenrefresher/config"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
	"github.com/pullgate/pullgate/tokenrefresher/server"
)

// onceAttempts bounds the attempts of --once for each registry: the timer will
// start it again.
const onceAttempts = 3

// bounds on connections. A request is one line. Shutdown waits for a refresh that
// a client waits for.
var bounds = listen.Bounds{ReadHeader: 5 * time.Second, HeaderBytes: 16 << 10, Shutdown: 10 * time.Second}

// once refreshes every registry, all at the same time. One that fails does not
// stop the others.
func once(ctx context.Context, c config.Config, logger *slog.Logger) error {
	registries, err := build(c, logger, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	failures := make([]error, len(registries))
	var wait sync.WaitGroup
	for i, r := range registries {
		wait.Go(func() {
			if err := r.Once(ctx, onceAttempts); err != nil {
				failures[i] = fmt.Errorf("registry %s got no new token: %w", r.Name(), err)
			}
		})
	}
	wait.Wait()
	return errors.Join(failures...)
}

// serve keeps every registry's token fresh until ctx ends.
func serve(ctx context.Context, c config.Config, logger *slog.Logger) error {
	numbers := program.NewMetrics("tokenrefresher")
	registries, err := build(c, logger, numbers)
	if err != nil {
		return err
	}
	asked := make([]server.Registry, len(registries))
	for i, r := range registries {
		asked[i] = r
	}
	handlers := map[net.Listener]http.Handler{}
	private, err := listen.Listen(ctx, c.Private.Address, 0o600, "")
	if err != nil {
		return fmt.Errorf("private.address: %w", err)
	}
	handlers[private] = server.NewPrivate(asked, numbers)
	if c.Control.Address != "" {
		control, err := listen.Listen(ctx, c.Control.Address, c.Control.Mode, c.Control.Group)
		if err != nil {
			return errors.Join(fmt.Errorf("control.address: %w", err), private.Close())
		}
		handlers[control] = server.NewControl(asked, c.Timeout)
	}
	logger.Info("serving", "version", program.Version(), "registries", len(registries), "control", c.Control.Address, "private", private.Addr().String())

	// The loops end after the servers, so that waiting clients get their refresh.
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, r := range registries {
		running.Go(func() { r.Run(loops) })
	}
	err = listen.Serve(ctx, logger, bounds, private, handlers)
	stop()
	running.Wait()
	return err
}
