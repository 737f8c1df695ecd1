package content

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

	"github.com/pullgate/pullgate/authsvc/content/control"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// bounds on the connections from nginx. A layer that is being streamed is cut off
// after the shutdown wait; the client asks for the rest.
var bounds = listen.Bounds{ReadHeader: 10 * time.Second, HeaderBytes: 64 << 10, Shutdown: 20 * time.Second}

// Serve serves until ctx ends.
func Serve(ctx context.Context, c Config, logger *slog.Logger, numbers *prometheus.Registry) (err error) {
	store, err := New(c, Options{Logger: logger, Metrics: numbers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	lines, err := listen.Datagrams(ctx, c.Served, c.Listen.Mode, c.Listen.Group)
	if err != nil {
		return fmt.Errorf("served.address: %w", err)
	}
	handlers := map[net.Listener]http.Handler{}
	open := func(key, address string, handler http.Handler, private bool) net.Listener {
		mode, group := c.Listen.Mode, c.Listen.Group
		if private {
			mode, group = 0o600, ""
		}
		l, failure := listen.Listen(ctx, address, mode, group)
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", key, failure))
			return nil
		}
		handlers[l] = handler
		return l
	}
	asked := open("listen.address", c.Listen.Address, store.Handler(), false)
	open("control.address", "unix:"+c.Control, control.NewHandler(store), true)
	private := open("private.address", c.Private, listen.NewPrivate(numbers, store.Ready), true)
	if err != nil {
		for l := range handlers {
			err = errors.Join(err, l.Close())
		}
		return errors.Join(err, lines.Close())
	}
	logger.Info("serving", "version", program.Version(), "listen", asked.Addr().String(), "private", private.Addr().String())
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	wait.Go(func() { store.Run(background, lines) })
	defer wait.Wait()
	defer stop()
	return listen.Serve(ctx, logger, bounds, private, handlers)
}
