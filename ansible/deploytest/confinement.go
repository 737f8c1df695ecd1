package main

import (
	"context"
	"fmt"
	"strings"
)

// confinement tests, from inside each service, what it may and may not do.
func (w *world) confinement(ctx context.Context) (string, error) {
	m := w.machines[0]
	seen, err := exposures(units[:2], func(unit string) (string, error) {
		return m.ssh(ctx, "systemd-analyze security --no-pager "+unit)
	})
	if err != nil {
		return "", err
	}
	for _, try := range []func(context.Context, *machine) error{reaches, touches} {
		if err := try(ctx, m); err != nil {
			return "", err
		}
	}
	return seen + "; networks, files and secrets as configured", nil
}

// reaches tries the networks from inside the services' control groups, where
// systemd's filter applies.
func reaches(ctx context.Context, m *machine) error {
	for _, t := range []struct {
		service, url string
		reaches      bool
	}{
		{"tokenrefresher", "http://" + metadata + "/", true},
		{"tokenrefresher", "https://" + ecrAPI + "/", true},
		{"tokenrefresher", "http://" + elsewhere + "/", true},
		{"authsvc", "http://" + metadata + "/", false},
		{"authsvc", "https://" + ecrAPI + "/", false},
		{"authsvc", "http://" + elsewhere + "/", false},
		{"authsvc", "https://" + ecrFront + "/", true},
		{"authsvc", "https://" + vendorAPI + "/", true},
	} {
		out, err := m.ssh(ctx, fmt.Sprintf("echo $$ > /sys/fs/cgroup/system.slice/%s.service/cgroup.procs; "+
			"if curl --silent --insecure --connect-timeout 2 --output /dev/null %s; then echo reached; else echo not: $?; fi", t.service, t.url))
		if err != nil {
			return err
		}
		if reached := strings.TrimSpace(out) == "reached"; reached != t.reaches {
			return fmt.Errorf("%s to %s: expected reachable to be %t, found %s", t.service, t.url, t.reaches, out)
		}
	}
	return nil
}

// touches tries the files, in the services' mount namespaces and as their users.
func touches(ctx context.Context, m *machine) error {
	for _, t := range []struct {
		service, try string
		works        bool
	}{
		{"authsvc", "test -r /run/tokenrefresher/main.json", true},
		{"authsvc", "test -w /run/tokenrefresher/main.json", false},
		{"authsvc", "touch /run/tokenrefresher/x", false},
		{"authsvc", "ls /run/credentials/tokenrefresher.service", false},
		{"authsvc", "cat /etc/tokenrefresher/secrets/other.password", false},
		{"authsvc", "cat /proc/$pid/environ", false}, // nor its memory, nor in a core dump
		{"tokenrefresher", "cat /proc/$pid/environ", false},
		{"authsvc", "touch /var/lib/authsvc/x", true},
		{"authsvc", "touch /etc/authsvc/x", false},
		{"tokenrefresher", "test -w /run/tokenrefresher/main.json", true},
		{"tokenrefresher", "touch /var/lib/authsvc/x", false},
		{"tokenrefresher", "test -r /run/credentials/tokenrefresher.service/other.password", true},
		{"tokenrefresher", "cat /etc/tokenrefresher/secrets/other.password", false},
	} {
		script := fmt.Sprintf("export pid=$(systemctl show -P MainPID %[1]s); if nsenter --target $pid --mount setpriv --reuid %[1]s --regid %[1]s --clear-groups "+
			"sh -c '%[2]s' >/dev/null 2>&1; then echo works; else echo not; fi", t.service, t.try)
		out, err := one(m.ssh(ctx, script))
		if err != nil {
			return err
		}
		if (out == "works") != t.works {
			return fmt.Errorf("%s: %s: expected it to work: %t, found: %s", t.service, t.try, t.works, out)
		}
	}
	if out, err := m.ssh(ctx, "grep -q "+fmt.Sprintf("%q", `"host":"registry.example.com"`)+" /run/tokenrefresher/other.json"); err != nil {
		return fmt.Errorf("the token made from the secrets: %w\n%s", err, out)
	}
	return nil
}
