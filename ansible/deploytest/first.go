package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// healthRetries is how many seconds a machine has to become healthy.
const healthRetries = 10

// mostIdleRun is how long a run that changes nothing should take at most. It is
// reported and fails nothing: the machine may be busy with something else.
const mostIdleRun = 30 * time.Second

func (w *world) bootFirst(ctx context.Context) (string, error) {
	m, err := w.addMachine(ctx, "h1", "10.77.0.11")
	if err != nil {
		return "", err
	}
	if err := w.sendCustomersTo(m.address); err != nil {
		return "", err
	}
	return one(m.ssh(ctx, ". /etc/os-release; echo $PRETTY_NAME, $(systemctl --version | head -n 1), $(nginx -v 2>&1)"))
}

// addMachine boots a machine with the registry's certificate on it, as in a real
// fleet, and starts to watch its unrelated site.
func (w *world) addMachine(ctx context.Context, name, address string) (*machine, error) {
	m, err := w.newMachine(ctx, name, address)
	if err != nil {
		return nil, err
	}
	certificate, key, err := w.outside.Certificate(serverName)
	if err != nil {
		return nil, err
	}
	for from, to := range map[string]string{certificate: "etc/ssl/" + serverName + ".pem", key: "etc/ssl/private/" + serverName + ".key"} {
		text, err := os.ReadFile(from) //nolint:gosec // our own path
		if err != nil {
			return nil, err
		}
		if err := m.put(to, string(text)); err != nil {
			return nil, err
		}
	}
	w.machines = append(w.machines, m)
	w.site.watch(w.watching, m)
	return m, nil
}

// footprint lists all files except those that a running machine changes by itself.
const footprint = "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/lib/systemd -o -path /root/.ansible -o -path /home/admin -o -path '/var/lib/authsvc/*customers*' -o -path '/var/lib/authsvc/*releases*' \\) -prune -o -type f -printf '%p %s %T@\\n' | sort"

// checkFresh runs in check mode on a clean machine.
func (w *world) checkFresh(ctx context.Context) (string, error) {
	if err := w.configure(); err != nil {
		return "", err
	}
	m := w.machines[0]
	before, err := m.ssh(ctx, footprint)
	if err != nil {
		return "", err
	}
	r, err := w.deploy(ctx, "--check", "--diff")
	if err != nil {
		return "", err
	}
	for _, want := range []string{"authsvc: not installed -> " + oldVersion, "+realm: " + serverName} {
		if !strings.Contains(r.out, want) {
			return "", fmt.Errorf("expected the message %q, found:\n%s", want, lastLines(r.out, 60))
		}
	}
	after, err := m.ssh(ctx, footprint)
	if err == nil && before != after {
		err = errors.New("expected no file to change, but some did")
	}
	return "says what it would do, and changes no file", err
}

// configure creates an inventory from the example and edits it, as the README
// says.
func (w *world) configure() (err error) {
	if w.config, err = w.newInventory(example); err != nil {
		return err
	}
	w.edit(w.config, ecrFront)
	w.config.set("nginx_keep_alive", []string{w.outside.ECR.Name()})
	w.config.set("authsvc_explain_users", []string{"admin"})
	// A registry other than ECR, to test secrets.
	w.config.set("tokenrefresher_secrets", map[string]string{"other.user": "robot", "other.password": vaulted})
	// A proxy that is never used, to test that its password stays hidden.
	w.config.set("tokenrefresher_environment", map[string]string{"HTTPS_PROXY": "http://robot:" + url.QueryEscape(proxied) + "@proxy.example.com:3128", "NO_PROXY": "*"})
	w.config.set("tokenrefresher_config.registries", []any{
		map[string]any{"name": "main", "region": region, "file": "/run/tokenrefresher/main.json"},
		map[string]any{
			"name": "other", "kind": "basic", "host": "registry.example.com", "probe_url": "off", "file": "/run/tokenrefresher/other.json",
			"username_file": "$CREDENTIALS_DIRECTORY/other.user", "password_file": "$CREDENTIALS_DIRECTORY/other.password",
		},
	})
	return nil
}

// edit edits what any inventory needs here. authsvc may reach the registries' addresses.
func (w *world) edit(config inventory, registries ...string) {
	config.set("rollout_package_dir", w.packages(oldVersion))
	config.set("rollout_health_retries", healthRetries)
	config.set("nginx_server_lines", []string{"include /var/lib/registry-denied/*.conf;"}) // fail2ban's; may match no file
	networks := []string{vendorAPI + "/32"}
	for _, address := range registries {
		networks = append(networks, address+"/32")
	}
	config.set("authsvc_networks", networks)
	config.set("authsvc_config.release", map[string]any{"tag_ttl": "5s"})
	config.set("authsvc_config.probe", map[string]any{"url": "https://" + serverName, "address": "127.0.0.1:443", "image": probeImage})
	config.set("authsvc_secrets", map[string]any{"probe": probeUser + ":" + probeToken})
}

func (w *world) deployFirst(ctx context.Context) (string, error) {
	r, err := w.deployVerbosely(ctx)
	if err != nil {
		return "", err
	}
	if err := w.pull(ctx); err != nil {
		return "", err
	}
	// It contains customers' emails.
	if mode, err := one(w.machines[0].ssh(ctx, "stat --format %a /var/log/nginx/registry.log")); err != nil || mode != "640" {
		return "", fmt.Errorf("expected the access log to have mode 640, found %s, %w", mode, err)
	}
	version, err := one(w.machines[0].ssh(ctx, "authsvc version"))
	return fmt.Sprintf("deployed in %s: %s", r.took, version), err
}

// customerOfDocker logs in with its own Docker Engine, as a customer would.
func (w *world) customerOfDocker(ctx context.Context) (*stack.DockerClient, error) {
	if w.engine == nil {
		if err := w.trustInDocker(); err != nil {
			return nil, err
		}
		var err error
		if w.engine, err = stack.Dockerd(ctx, stack.EngineOptions{Own: true}); err != nil {
			return nil, err
		}
	}
	docker, err := w.engine.Client()
	if err != nil {
		return nil, err
	}
	if out, err := docker.Login(ctx, serverName, customer, token); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return docker, nil
}

func (w *world) dockerPulls(ctx context.Context) (string, error) {
	docker, err := w.customerOfDocker(ctx)
	if err != nil {
		return "", err
	}
	out, err := docker.Pull(ctx, serverName+"/"+image)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	denied, err := docker.Pull(ctx, serverName+"/acme/appliance:2.0")
	if err == nil || !strings.Contains(denied, "not part of your license") {
		return "", fmt.Errorf("expected an unlicensed tag to be denied, found: %s", denied)
	}
	return lastLines(out, 1), nil
}

func (w *world) trustInDocker() error {
	dir := filepath.Join("/etc/docker/certs.d", serverName)
	authority, err := os.ReadFile(w.outside.CAFile())
	return errors.Join(err, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o644)) //nolint:gosec // docker needs these modes
}

func (w *world) secondRun(ctx context.Context) (string, error) {
	r, err := w.deploy(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("changed=0 in %s (should be at most %s)", r.took, mostIdleRun), r.unchanged()
}

// checkDeployed shows a change, and nothing else, without making it.
func (w *world) checkDeployed(ctx context.Context) (string, error) {
	m := w.machines[0]
	before, err := m.ssh(ctx, footprint)
	if err != nil {
		return "", err
	}
	w.config.set("authsvc_config.cache", map[string]any{"ttl": "45s"})
	defer w.config.set("authsvc_config.cache", nil)
	r, err := w.deploy(ctx, "--check", "--diff")
	if err != nil {
		return "", err
	}
	const differs = ` differs"` // ends such a line
	if !strings.Contains(r.out, "+  ttl: 45s") || !strings.Contains(r.out, "/etc/authsvc/authsvc.yaml"+differs) ||
		strings.Count(r.out, differs) != 1 || r.hosts[m.name].changed != 1 {
		return "", fmt.Errorf("expected the changed line of one file and no other change, found %+v:\n%s", r.hosts, lastLines(r.out, 60))
	}
	w.leaks.outputs = append(w.leaks.outputs, r.out)
	after, err := m.ssh(ctx, footprint)
	if err == nil && before != after {
		err = errors.New("expected no file to change, but some did")
	}
	return "shows the changed line, and changes no file", err
}
