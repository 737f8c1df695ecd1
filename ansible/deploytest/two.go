package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// startBalancer starts haproxy in front of both machines. It passes TLS through,
// and asks each machine whether it can serve pulls, as hooks/haproxy.yml says.
func (w *world) startBalancer(ctx context.Context) error {
	text := "global\n  stats socket " + w.in("haproxy.sock") + " level admin\n" +
		"defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n" +
		"frontend registry\n  bind " + balancer + ":443\n  default_backend registry\n" +
		"backend registry\n  balance roundrobin\n  option httpchk\n" +
		"  http-check send meth GET uri /_registry/health ver HTTP/1.1 hdr Host " + serverName + "\n  http-check expect status 200\n"
	for _, m := range w.machines {
		text += "  server " + m.name + " " + m.address + ":443 check check-ssl check-sni " + serverName + " verify none inter 500ms fall 2 rise 2\n"
	}
	file := w.in("haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := (command{name: "haproxy", args: []string{"-f", file}}).start(w.in("haproxy.log")); err != nil {
		return err
	}
	if err := w.sendCustomersTo(balancer); err != nil {
		return err
	}
	return eventually(ctx, 20*time.Second, w.pull)
}

// rollTwo deploys another version to two machines, one after the other; the hook
// drains each and adds it again.
func (w *world) rollTwo(ctx context.Context) (string, error) {
	if _, err := w.addMachine(ctx, "h2", "10.77.0.12"); err != nil {
		return "", err
	}
	if _, err := w.deploy(ctx, "--limit", "h2"); err != nil {
		return "", err
	}
	if err := w.startBalancer(ctx); err != nil {
		return "", err
	}
	w.config.set("rollout_hook", w.root+"/ansible/hooks/haproxy.yml")
	w.config.set("haproxy_host", "localhost")
	w.config.set("haproxy_socket", w.in("haproxy.sock"))
	w.config.set("haproxy_backend", "registry")
	w.config.set("rollout_package_dir", w.packages(oldVersion))
	l := w.startLoad(ctx, 10)
	r, err := w.deploy(ctx)
	pulls, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", err
	}
	changed := r.tasks("changed:")
	for _, m := range w.machines {
		for _, task := range []string{"Drain " + m.name, "Add " + m.name} {
			if !strings.Contains(changed, task) {
				return "", fmt.Errorf("expected the task %q, found:\n%s", task, changed)
			}
		}
	}
	return fmt.Sprintf("deployed to both in %s; %s", r.took, pulls), w.versions(ctx, oldVersion, oldVersion)
}

// versions checks which version runs on each machine.
func (w *world) versions(ctx context.Context, want ...string) error {
	for i, m := range w.machines {
		if err := m.wantVersion(ctx, "authsvc", want[i]); err != nil {
			return err
		}
	}
	return nil
}

// stopAtFirst deploys settings that cannot serve: the first machine is rolled back
// and added again, the second is never touched, and no pull fails.
func (w *world) stopAtFirst(ctx context.Context) (string, error) {
	back := w.unhealthy()
	defer back()
	w.config.set("rollout_package_dir", w.packages(newVersion))
	second := w.machines[1]
	before, err := second.ssh(ctx, footprint)
	if err != nil {
		return "", err
	}
	l := w.startLoad(ctx, 10)
	r, err := w.deploy(ctx)
	pulls, failed := l.end()
	if failed != nil {
		return "", failed
	}
	if err := putBack(r, err); err != nil {
		return "", err
	}
	after, err := second.ssh(ctx, footprint)
	if err == nil && before != after {
		err = errors.New("the second machine has changed")
	}
	return "the first machine was rolled back and added again, the second untouched; " + pulls, errors.Join(err, w.versions(ctx, oldVersion, oldVersion))
}

// remove removes everything from the second machine.
func (w *world) remove(ctx context.Context) (string, error) {
	m := w.machines[1]
	if _, err := w.deploy(ctx, "--limit", m.name, "-e", "state=absent", "--check"); err != nil {
		return "", fmt.Errorf("in check mode: %w", err)
	}
	if err := w.versions(ctx, oldVersion, oldVersion); err != nil {
		return "", fmt.Errorf("in check mode: %w", err)
	}
	r, err := w.deploy(ctx, "--limit", m.name, "-e", "state=absent")
	if err != nil {
		return "", err
	}
	took := r.took
	if err := nothingLeft(ctx, m); err != nil {
		return "", err
	}
	status, err := get(ctx, "http://"+m.address+"/")
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("the unrelated site: %d, %w", status, err)
	}
	if r, err = w.deploy(ctx, "--limit", m.name, "-e", "state=absent"); err != nil {
		return "", err
	}
	return fmt.Sprintf("removed in %s; nothing is left, and a second run changes nothing", took), r.unchanged()
}

// nothingLeft checks that nothing of ours is left on a machine, except logs.
func nothingLeft(ctx context.Context, m *machine) error {
	left, err := m.ssh(ctx, "find /etc /usr /var /run -xdev \\( -iname '*authsvc*' -o -iname '*tokenrefresher*' -o -iname '*pullgate*' -o -path '/etc/nginx/*registry*' \\) "+
		"-not -path '/var/log/*' -not -path '/var/lib/dpkg/*'; getent passwd authsvc authsvc-content authsvc-probe tokenrefresher || true; getent group authsvc authsvc-content authsvc-explain authsvc-probe tokenrefresher || true")
	if err == nil && left != "" {
		err = fmt.Errorf("left behind:\n%s", left)
	}
	return err
}
