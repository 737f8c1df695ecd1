// Package listen opens the sockets of both programs (unix, TCP, or passed by
// systemd), serves them until the program ends, and tells systemd about it
// (notify.go). private.go is the listener for health and metrics.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// Listen opens a listener at address: unix:PATH, tcp:HOST:PORT, plain
// HOST:PORT, or systemd:NAME for a socket that systemd passes with that
// FileDescriptorName (systemd.socket(5), sd_listen_fds(3)). Mode and group (by
// name or number, empty for the process's own) are a unix socket's; systemd
// sets its own. If systemd passes a socket of that PATH, unix:PATH is that one.
func Listen(ctx context.Context, address string, mode os.FileMode, group string) (net.Listener, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "unix":
		if l := inheritedUnix(rest); l != nil {
			return l, nil
		}
		return listenUnix(ctx, rest, mode, group)
	case "systemd":
		return inherited(rest)
	case "tcp":
		return new(net.ListenConfig).Listen(ctx, "tcp", rest)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

func listenUnix(ctx context.Context, path string, mode os.FileMode, group string) (net.Listener, error) {
	if err := removeDead(ctx, "unix", path); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// Until here the usual umask lets only the process's own user connect.
	if err := admit(path, mode, group); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", path, err), listener.Close())
	}
	return listener, nil
}

// removeDead removes a socket that a killed process left. A socket that still
// answers belongs to another process, and stays.
func removeDead(ctx context.Context, network, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("expected a socket or no file there, found another file")
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, path)
	if err == nil {
		_ = conn.Close()
		return errors.New("expected no process listening there, found one")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

func admit(path string, mode os.FileMode, group string) error {
	if group != "" {
		gid, err := system.Group(group)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}

// passed are the sockets that systemd passes. They can be taken over only once.
var passed = sync.OnceValues(activation.ListenersWithNames)

// inheritedUnix returns the socket of a path that systemd passes; nil for none.
func inheritedUnix(path string) net.Listener {
	listeners, _ := passed() // the program makes its own then
	for _, named := range listeners {
		for _, l := range named {
			if a := l.Addr(); a.Network() == "unix" && a.String() == path {
				return l
			}
		}
	}
	return nil
}

func inherited(name string) (net.Listener, error) {
	listeners, err := passed()
	if err != nil {
		return nil, fmt.Errorf("getting the sockets passed by systemd: %w", err)
	}
	found := listeners[name]
	if len(found) != 1 || found[0] == nil {
		var names []string
		for name := range listeners {
			names = append(names, name)
		}
		return nil, fmt.Errorf("expected one socket named %q from systemd, found %d (names passed: %q); "+
			"set FileDescriptorName= in the .socket unit", name, len(found), names)
	}
	return found[0], nil
}
