package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// reloadScript changes a setting three times, then breaks the file, and restores it.
const reloadScript = `
file=/etc/authsvc/authsvc.yaml
cp -p $file /root/before.yaml
for i in 1 2 3; do
	sed "s|^realm: .*|&\nlog: {level: info}|; s|ttl: .*|ttl: 4${i}s|" /root/before.yaml > $file
	systemctl reload authsvc.service
	sleep 1
done
failed() { curl -s ` + privateURL + `/metrics | grep '^authsvc_config_reload_failed'; }
failed
echo 'nonsense: 1' >> $file
if systemctl reload authsvc.service 2>/dev/null; then echo a bad file was not refused; exit 1; fi
failed
cp -p /root/before.yaml $file
systemctl reload authsvc.service
failed
`

const mainPID = "systemctl show -P MainPID authsvc.service"

// reloadUnderLoad reloads while customers pull: the process stays, no pull fails, and a
// bad file is refused and shows.
func (w *world) reloadUnderLoad(ctx context.Context) (string, error) {
	m := w.machines[0]
	before, err := m.ssh(ctx, mainPID)
	if err != nil {
		return "", err
	}
	l := w.startLoad(ctx, 10)
	out, err := m.ssh(ctx, reloadScript)
	pulls, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if want := "authsvc_config_reload_failed 0\nauthsvc_config_reload_failed 1\nauthsvc_config_reload_failed 0\n"; out != want {
		return "", fmt.Errorf("expected %q before, during and after a bad file, found:\n%s", want, out)
	}
	after, err := m.ssh(ctx, mainPID)
	if err == nil && after != before {
		err = errors.New("expected the same process after a reload, found another")
	}
	return "5 times, of which a bad file was refused; " + pulls, err
}

// playbookReloads changes a setting that a reload takes over, then one that takes a
// restart, then a secret, which systemd passes at the start, with the playbook.
func (w *world) playbookReloads(ctx context.Context) (string, error) {
	m := w.machines[0]
	renews := func(key string, value any, process string) error {
		before, err := m.ssh(ctx, mainPID)
		if err != nil {
			return err
		}
		variable, name, _ := strings.Cut(key, ".")
		values, _ := w.config[variable].(map[string]any)
		old := values[name]
		w.config.set(key, value)
		defer w.config.set(key, old)
		r, err := w.deploy(ctx)
		if err != nil {
			return err
		}
		after, err := m.ssh(ctx, mainPID)
		if err == nil && (after == before) != (process == "same") {
			err = fmt.Errorf("expected the %s process after a change of %s, found %s after %s:\n%s", process, key, strings.TrimSpace(after), strings.TrimSpace(before), r.tasks("changed:"))
		}
		return err
	}
	if err := renews("authsvc_config.cache", map[string]any{"ttl": "45s"}, "same"); err != nil {
		return "", err
	}
	if err := renews("authsvc_config.realm", "another", "other"); err != nil {
		return "", err
	}
	for _, value := range []string{"first", "second"} { // a new secret changes the unit; a rotated one, the secret alone
		if err := renews("authsvc_secrets.spare", value, "other"); err != nil {
			return "", err
		}
		if found, err := m.ssh(ctx, "cat /run/credentials/authsvc.service/spare"); err != nil || found != value {
			return "", fmt.Errorf("expected authsvc to have the secret %q, found %q, %w", value, found, err)
		}
	}
	if _, err := w.deploy(ctx); err != nil {
		return "", err
	}
	return "cache.ttl by a reload, realm and a rotated secret by a restart", w.pull(ctx)
}
