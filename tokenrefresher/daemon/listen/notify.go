package listen

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd of the service's state, if systemd has started it
// (sd_notify(3)); otherwise it does nothing.
func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("notifying systemd failed: "+state, "error", err)
	}
}

// watch tells systemd that the program still answers, as often as systemd expects
// it (sd_watchdog_enabled(3)), until ctx ends. It checks over a real connection, so
// that a hung program is restarted.
func watch(ctx context.Context, logger *slog.Logger, address net.Addr) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		if err != nil {
			logger.Warn("the systemd watchdog is disabled", "error", err)
		}
		return
	}
	every /= 2
	client := &http.Client{Timeout: every, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
		},
		DisableKeepAlives: true,
	}}
	for {
		if err := healthy(ctx, client); err == nil {
			notify(logger, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			logger.Error("the program does not answer its own health check; systemd will restart it if this continues", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func healthy(ctx context.Context, client *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/healthz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read whole, or of no use
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<10)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("expected status 200 from /healthz, found %d", response.StatusCode)
	}
	return nil
}

// Reload tells systemd that the program takes a changed configuration over while do
// runs (sd_notify(3), systemd.service(5): Type=notify-reload).
func Reload(logger *slog.Logger, do func()) {
	notify(logger, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	do()
	notify(logger, daemon.SdNotifyReady)
}
