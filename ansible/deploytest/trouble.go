package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// againLimit is how long pulls may take to recover by themselves.
const againLimit = time.Minute

// again waits until pulls recover by themselves, and reports how long that took.
func (w *world) again(ctx context.Context) (string, error) {
	began := time.Now()
	if err := eventually(ctx, againLimit, w.pull); err != nil {
		return "", fmt.Errorf("pulls have not recovered: %w", err)
	}
	return fmt.Sprintf("pulls work after %.1f s", time.Since(began).Seconds()), nil
}

// restart restarts a service three times, while customers pull.
func restart(service string) func(*world, context.Context) (string, error) {
	return func(w *world, ctx context.Context) (string, error) {
		l := w.startLoad(ctx, 10)
		out, err := w.machines[0].ssh(ctx, "for i in 1 2 3; do systemctl restart "+service+".service; sleep 1; done")
		pulls, failed := l.end()
		if err := errors.Join(err, failed); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		return "3 times; " + pulls, nil
	}
}

// kill kills a service and expects systemd to restart it.
func kill(service string) func(*world, context.Context) (string, error) {
	return func(w *world, ctx context.Context) (string, error) {
		m := w.machines[0]
		pid := "systemctl show -P MainPID " + service + ".service"
		before, err := m.ssh(ctx, pid+"; systemctl kill -s KILL "+service+".service")
		if err != nil {
			return "", err
		}
		seen, err := w.again(ctx)
		if err != nil {
			return "", err
		}
		err = eventually(ctx, againLimit, func(ctx context.Context) error {
			after, err := m.ssh(ctx, "systemctl is-active -q "+service+".service; "+pid)
			if err == nil && after == before {
				err = errors.New("the process is still the same")
			}
			return err
		})
		return seen, err
	}
}

// fullDisk fills the file system of the token file. The old token stays in use. If
// ECR rejects it, it cannot be replaced, which is an outage and not a refusal. When
// there is space again, everything recovers by itself.
func (w *world) fullDisk(ctx context.Context) (string, error) {
	m := w.machines[0]
	size, err := one(m.ssh(ctx, "df --output=size -k /run | tail -n 1"))
	if err != nil {
		return "", err
	}
	if out, err := m.ssh(ctx, "mount -o remount,size=16m /run; dd if=/dev/zero of=/run/fill bs=4k 2>/dev/null || true; "+
		"cp /run/tokenrefresher/main.json /tmp/before; if echo x > /run/tokenrefresher/probe; then echo the disk is not full; exit 1; fi; rm -f /run/tokenrefresher/probe"); err != nil {
		return "", fmt.Errorf("filling the disk: %w\n%s", err, out)
	}
	refused, err := m.ssh(ctx, "curl --silent --max-time 20 --unix-socket /run/tokenrefresher/control.sock -X POST 'http://localhost/refresh?registry=main'; cmp /run/tokenrefresher/main.json /tmp/before")
	if err != nil {
		return "", fmt.Errorf("the token file has changed: %w", err)
	}
	if !strings.Contains(refused, "no space left on device") {
		return "", fmt.Errorf("expected the refresh to fail because the disk is full, found: %s", refused)
	}
	if err := w.pull(ctx); err != nil {
		return "", fmt.Errorf("with the old token: %w", err)
	}
	w.outside.ECR.InvalidateTokens()
	if err := w.pull(ctx); err == nil || !strings.Contains(err.Error(), "UNAVAILABLE") {
		return "", fmt.Errorf("expected an outage while a rejected token cannot be replaced, found: %w", err)
	}
	if _, err := m.ssh(ctx, "rm /run/fill; mount -o remount,size="+size+"k /run"); err != nil {
		return "", err
	}
	return w.again(ctx)
}

// timerMode switches to tokenrefresher-once.timer and back.
func (w *world) timerMode(ctx context.Context) (string, error) {
	w.config.set("tokenrefresher_mode", "timer")
	w.config.set("authsvc_config.upstream", map[string]any{"refresh_socket": ""})
	if _, err := w.machines[0].ssh(ctx, "rm /run/tokenrefresher/main.json"); err != nil {
		return "", err
	}
	if _, err := w.deploy(ctx); err != nil {
		return "", err
	}
	out, err := w.machines[0].ssh(ctx, "systemctl is-active tokenrefresher-once.timer; systemctl is-active tokenrefresher.service || true; systemctl show -P Result tokenrefresher-once.service")
	if err != nil {
		return "", err
	}
	if want := "active\ninactive\nsuccess\n"; out != want {
		return "", fmt.Errorf("expected timer, service and result to be %q, found %q", want, out)
	}
	if err := w.pull(ctx); err != nil {
		return "", err
	}
	w.config.set("tokenrefresher_mode", "service")
	w.config.set("authsvc_config.upstream", nil)
	if _, err := w.deploy(ctx); err != nil {
		return "", err
	}
	return "the timer's first run fetched the token", w.pull(ctx)
}

// rebootMachine reboots it. Only here may the site be down for a while.
func (w *world) rebootMachine(ctx context.Context) (string, error) {
	if n := w.site.quiet(); n > 0 {
		return "", fmt.Errorf("the unrelated site did not answer %d times before the reboot", n)
	}
	if err := w.machines[0].reboot(ctx); err != nil {
		return "", err
	}
	seen, err := w.again(ctx)
	if err != nil {
		return "", err
	}
	w.site.quiet()
	return seen + " of ssh", nil
}
