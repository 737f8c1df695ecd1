package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// Listen opens a listener at address: unix:PATH, tcp:HOST:PORT, plain
// HOST:PORT, or systemd:NAME for a socket that systemd passes with that
// FileDescriptorName (systemd.socket(5), sd_listen_fds(3)). Mode and group
// are a unix socket's; systemd sets its own.
func Listen(address string, mode os.FileMode, group string) (net.Listener, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "unix":
		return listenUnix(rest, mode, group)
	case "systemd":
		return inherited(rest)
	case "tcp":
		return net.Listen("tcp", rest)
	}
	return net.Listen("tcp", address)
}

func listenUnix(path string, mode os.FileMode, group string) (net.Listener, error) {
	if err := removeDead(path); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := open(path, mode, group); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// removeDead removes the socket that a killed process has left. One that
// still answers is another process's, and stays.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("listening on %s: expected a socket or nothing there, found another file", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("listening on %s: another process answers there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listening on %s: %w", path, err)
	}
	return os.Remove(path)
}

// open lets the group's members connect. Until then the socket is the
// process's own user's alone, by the usual umask.
func open(path string, mode os.FileMode, group string) error {
	if group != "" {
		found, err := user.LookupGroup(group)
		if err != nil {
			return fmt.Errorf("listen.group: %w", err)
		}
		gid, err := strconv.Atoi(found.Gid)
		if err != nil {
			return fmt.Errorf("listen.group %s: %w", group, err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("listen.group: %w", err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("listen.mode: %w", err)
	}
	return nil
}

func inherited(name string) (net.Listener, error) {
	listeners, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("taking the sockets that systemd passes: %w", err)
	}
	found := listeners[name]
	if len(found) != 1 || found[0] == nil {
		var names []string
		for name := range listeners {
			names = append(names, name)
		}
		return nil, fmt.Errorf("expected one socket of the name %q from systemd, found %d (names passed: %q); "+
			"set FileDescriptorName= in the .socket unit", name, len(found), names)
	}
	return found[0], nil
}
