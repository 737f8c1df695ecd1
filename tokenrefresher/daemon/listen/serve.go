package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// idleTimeout is how long a connection is kept for another request. nginx
// closes its own earlier (nginx/registry/settings/authsvc.conf).
const idleTimeout = 2 * time.Minute

// Bounds limit connections.
type Bounds struct {
	// ReadHeader is the time for a request's header, HeaderBytes its size.
	ReadHeader  time.Duration
	HeaderBytes int
	// Shutdown is how long requests in flight may take to finish.
	Shutdown time.Duration
}

// Serve serves each handler on its listener until ctx ends, then lets requests in
// flight finish. It notifies systemd of start and stop and, if the watchdog is
// enabled, that /healthz of private still answers.
func Serve(ctx context.Context, logger *slog.Logger, bounds Bounds, private net.Listener, handlers map[net.Listener]http.Handler) error {
	failed := make(chan error, len(handlers))
	var servers []*http.Server
	for listener, handler := range handlers {
		s := &http.Server{
			Handler: handler, ReadHeaderTimeout: bounds.ReadHeader, IdleTimeout: idleTimeout,
			MaxHeaderBytes: bounds.HeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		}
		servers = append(servers, s)
		go func() { failed <- s.Serve(listener) }()
	}
	watched, unwatch := context.WithCancel(ctx)
	defer unwatch()
	go watch(watched, logger, private.Addr())
	notify(logger, daemon.SdNotifyReady)
	var err error
	select {
	case <-ctx.Done():
		logger.Info("stopping")
	case err = <-failed:
		err = fmt.Errorf("serving: %w", err)
	}
	notify(logger, daemon.SdNotifyStopping)
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), bounds.Shutdown)
	defer cancel()
	for _, s := range servers {
		closing := s.Shutdown(finish)
		if errors.Is(closing, context.DeadlineExceeded) {
			logger.Warn("dropped requests still in flight", "after", bounds.Shutdown.String())
			closing = s.Close()
		}
		err = errors.Join(err, closing)
	}
	return err
}
