package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// upgradeUnderLoad deploys the newer packages while customers pull, from an older layout
// of the includes, and if several registries were deployed, back to one.
func (w *world) upgradeUnderLoad(ctx context.Context) (string, error) {
	if err := w.layOlder(ctx); err != nil {
		return "", err
	}
	w.config.set("rollout_package_dir", w.packages(newVersion))
	l := w.startLoad(ctx, 30)
	r, err := w.deploy(ctx)
	pulls, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", err
	}
	version, err := one(w.machines[0].ssh(ctx, "authsvc version; curl -s "+privateURL+"/metrics | grep -o 'authsvc_build_info.*version=\"v"+newVersion+"\"'"))
	if err != nil {
		return "", fmt.Errorf("the new version is not running: %w", err)
	}
	if !strings.Contains(version, newVersion) {
		return "", fmt.Errorf("expected version %s, found %s", newVersion, version)
	}
	if err := w.wantLayout(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("deployed in %s; no old include is left; %s", r.took, pulls), w.onlyTokens(ctx, "main", "other")
}

// privateURL serves authsvc's health and metrics, on each machine.
const privateURL = "http://127.0.0.1:9101"

// refused deploys what must be refused before anything is replaced: the playbook
// fails and says why, no file changes, and pulls keep working.
func (w *world) refused(ctx context.Context, why string, args ...string) (string, error) {
	m := w.machines[0]
	before, err := m.ssh(ctx, footprint)
	if err != nil {
		return "", err
	}
	l := w.startTraffic(ctx, 2, 200*time.Millisecond)
	r, err := w.deploy(ctx, args...)
	pulls, failed := l.end()
	if failed != nil {
		return "", failed
	}
	if err == nil {
		return "", errors.New("expected the deployment to fail, but it succeeded")
	}
	if !strings.Contains(r.text(), why) {
		return "", fmt.Errorf("expected the message %q, found:\n%s", why, lastLines(r.out, 40))
	}
	after, err := m.ssh(ctx, footprint)
	if err == nil && before != after {
		err = errors.New("expected no file to change, but some did")
	}
	return "refused, nothing changed; " + pulls, err
}

func (w *world) refuseAuthsvc(ctx context.Context) (string, error) {
	w.config.set("authsvc_config.cache", map[string]any{"ttl": "never"})
	defer w.config.set("authsvc_config.cache", nil)
	return w.refused(ctx, "cache.ttl: expected a duration")
}

func (w *world) refuseNginx(ctx context.Context) (string, error) {
	before := w.config["nginx_certificate"]
	defer w.config.set("nginx_certificate", before)
	w.config.set("nginx_certificate", "/etc/ssl/there-is-none.pem")
	return w.refused(ctx, "/etc/ssl/there-is-none.pem")
}

// refuseDefault removes default_server from the fleet's site, so the registry
// would become the default.
func (w *world) refuseDefault(ctx context.Context) (_ string, err error) {
	const swap = "sed -i 's/%s;/%s;/' /etc/nginx/conf.d/unrelated.conf"
	if _, err := w.machines[0].ssh(ctx, fmt.Sprintf(swap, "443 ssl default_server", "443 ssl")); err != nil {
		return "", err
	}
	defer func() {
		_, back := w.machines[0].ssh(ctx, fmt.Sprintf(swap, "443 ssl", "443 ssl default_server"))
		err = errors.Join(err, back)
	}()
	return w.refused(ctx, "none of them is its default_server")
}

// rollBack deploys valid settings that cannot serve, with another mode of
// tokenrefresher.
func (w *world) rollBack(ctx context.Context) (string, error) {
	back := w.unhealthy()
	defer back()
	w.config.set("tokenrefresher_mode", "timer")
	defer w.config.set("tokenrefresher_mode", "service")
	r, err := w.deploy(ctx)
	if err := putBack(r, err); err != nil {
		return "", err
	}
	if err := w.pull(ctx); err != nil {
		return "", fmt.Errorf("after the rollback: %w", err)
	}
	back()
	w.config.set("tokenrefresher_mode", "service")
	again, err := w.deploy(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("rolled back in %s, to the previous packages and mode", r.took), again.unchanged()
}

// unhealthy sets valid settings that cannot serve, and another version of the
// packages. The returned function undoes it.
func (w *world) unhealthy() func() {
	dir := w.config["rollout_package_dir"]
	w.config.set("rollout_package_dir", w.packages(oldVersion))
	// A group that nginx is not in.
	w.config.set("authsvc_socket_group", "asking")
	w.config.set("authsvc_socket_users", []string{})
	return func() {
		w.config.set("rollout_package_dir", dir)
		w.config.set("authsvc_socket_group", nil)
		w.config.set("authsvc_socket_users", nil)
	}
}

// putBack checks that a deployment failed and the machine was rolled back.
func putBack(r result, err error) error {
	if err == nil {
		return errors.New("expected the deployment to fail, but it succeeded")
	}
	if want := "is back on the previous version, and serves"; !strings.Contains(r.text(), want) {
		return fmt.Errorf("expected the message %q, found:\n%s", want, lastLines(r.out, 60))
	}
	return nil
}
