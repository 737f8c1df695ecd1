package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A machine is a Debian booted by systemd-nspawn, with systemd as its first
// process, its own address, and sshd.
type machine struct {
	name, address string
	key           string // for ssh as the user admin
	dir, log      string
	group         string       // control group
	ended         <-chan error // receives how systemd-nspawn ended
}

// bootLimit is how long a machine may take to answer ssh.
const bootLimit = time.Minute

// newMachine adds a writable layer over the base Debian, with the machine's own
// settings.
func (w *world) newMachine(ctx context.Context, name, address string) (*machine, error) {
	m := &machine{name: name, address: address, key: w.in("key"), dir: w.in(name, "root"), log: w.in(name, "console"), group: filepath.Base(w.work) + "-" + name}
	for _, dir := range []string{"root", "upper", "layer"} {
		if err := os.MkdirAll(w.in(name, dir), 0o755); err != nil { //nolint:gosec // it is a root directory
			return nil, fmt.Errorf("creating the machine %s: %w", name, err)
		}
	}
	_, err := sh(ctx, fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s/root,upperdir=%s,workdir=%s %s", w.base(), w.in(name, "upper"), w.in(name, "layer"), m.dir))
	if err != nil {
		return nil, fmt.Errorf("creating the machine %s: %w", name, err)
	}
	public, err := os.ReadFile(m.key + ".pub")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(w.outside.CAFile())
	if err != nil {
		return nil, err
	}
	for path, content := range map[string]string{
		"etc/hostname":    name + "\n",
		"etc/hosts":       "127.0.0.1 localhost " + name + "\n",
		"etc/resolv.conf": "nameserver " + nameServer + "\n",
		"etc/systemd/system/address.service": "[Unit]\nBefore=network.target ssh.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n" +
			"ExecStart=ip link set host0 up\nExecStart=ip addr replace " + address + "/24 dev host0\nExecStart=ip route replace default via " + gateway + "\n" +
			"[Install]\nWantedBy=multi-user.target\n",
		"etc/sudoers.d/admin":                       "admin ALL=(ALL) NOPASSWD: ALL\n",
		"home/admin/.ssh/authorized_keys":           string(public),
		"usr/local/share/ca-certificates/stack.crt": string(authority),
		"etc/nginx/conf.d/unrelated.conf":           unrelatedSite,
		"srv/unrelated/index.html":                  "an unrelated site\n",
	} {
		if err := m.put(path, content); err != nil {
			return nil, err
		}
	}
	_, err = sh(ctx, "chroot "+m.dir+" sh -euc '"+
		"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=unrelated -keyout /etc/ssl/private/unrelated.key -out /etc/ssl/unrelated.pem 2>/dev/null;"+
		"useradd --shell /bin/bash admin; chown -R admin: /home/admin; chmod 700 /home/admin/.ssh; rm -f /etc/nginx/sites-enabled/default;"+
		"systemctl --quiet enable address.service ssh.service nginx.service; update-ca-certificates'")
	if err != nil {
		return nil, fmt.Errorf("creating the machine %s: %w", name, err)
	}
	return m, m.boot(ctx)
}

// unrelatedSite is what the fleet serves besides the registry.
const unrelatedSite = `server {
    listen 80 default_server;
    listen 443 ssl default_server;
    ssl_certificate     /etc/ssl/unrelated.pem;
    ssl_certificate_key /etc/ssl/private/unrelated.key;
    root /srv/unrelated;
}
`

func (m *machine) put(path, content string) error {
	full := filepath.Join(m.dir, path)
	err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)) //nolint:gosec // readable, as on any machine
	if err != nil {
		return fmt.Errorf("writing a file of %s: %w", m.name, err)
	}
	return nil
}

// hierarchies are the control group hierarchies of kernels with v2 only, or v1 and v2.
var hierarchies = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"}

// inOwnGroup starts a program in its own control group. Since the machines are not
// registered, they would otherwise share one, and with it their services' filters
// and processes.
const inOwnGroup = `group=$1; shift
for root in %s; do
	[ -e "$root/cgroup.procs" ] || continue
	mkdir -p "$root/$group"
	echo $$ > "$root/$group/cgroup.procs"
done
exec "$@"`

// boot boots it and waits for ssh. With these capabilities and one control group
// hierarchy, the systemd inside really enforces the units' settings:
// IPAddressDeny= (through BPF), PrivateUsers=, SystemCallFilter=.
func (m *machine) boot(ctx context.Context) error {
	var err error
	m.ended, err = command{
		name: "sh",
		args: []string{
			"-euc", fmt.Sprintf(inOwnGroup, strings.Join(hierarchies, " ")), "sh", m.group,
			"systemd-nspawn", "--quiet", "--boot", "--directory", m.dir, "--machine", m.name, "--register=no", "--keep-unit", "--network-bridge=" + bridge,
			"--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf",
		},
		env: []string{"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"},
	}.start(m.log)
	if err != nil {
		return err
	}
	return m.awaitSSH(ctx)
}

func (m *machine) awaitSSH(ctx context.Context) error {
	err := eventually(ctx, bootLimit, func(ctx context.Context) error {
		out, err := m.ssh(ctx, "systemctl is-system-running --wait || true; systemctl is-active ssh.service nginx.service")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		console, _ := os.ReadFile(m.log)
		return fmt.Errorf("booting %s: %w; the end of its console:\n%s", m.name, err, lastLines(string(console), 30))
	}
	return nil
}

// ssh runs a script on it as root.
func (m *machine) ssh(ctx context.Context, script string) (string, error) {
	args := append(m.sshOptions(), "-q", "-o", "ConnectTimeout=2", "admin@"+m.address, "sudo sh -eu")
	return command{name: "ssh", args: args, stdin: script}.run(ctx)
}

func (m *machine) sshOptions() []string {
	return []string{
		"-i", m.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		// A rebooting machine may not close the connection.
		"-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3",
	}
}

// rebooted is the exit status of systemd-nspawn --keep-unit when the machine
// reboots: the caller must start it again (systemd-nspawn(1)).
const rebooted = 133

// reboot reboots it, and waits for ssh.
func (m *machine) reboot(ctx context.Context) error {
	_, _ = m.ssh(ctx, "systemctl reboot") // the connection ends with it
	select {
	case err := <-m.ended:
		var status *exec.ExitError
		if !errors.As(err, &status) || status.ExitCode() != rebooted {
			return fmt.Errorf("rebooting %s: expected systemd-nspawn to end with %d, found %w", m.name, rebooted, err)
		}
	case <-time.After(bootLimit):
		return fmt.Errorf("rebooting %s: it did not go down within %s", m.name, bootLimit)
	}
	return m.boot(ctx)
}

// wantVersion checks which version of a program is installed on it.
func (m *machine) wantVersion(ctx context.Context, program, version string) error {
	out, err := m.ssh(ctx, program+" version")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "v"+version) {
		return fmt.Errorf("%s: expected %s %s, found %s", m.name, program, version, out)
	}
	return nil
}

// journal returns the last lines of the logs, without successful decisions.
func (m *machine) journal(ctx context.Context) string {
	out, err := m.ssh(ctx, "journalctl --no-pager -o cat -u authsvc -u tokenrefresher -u nginx -u authsvc.socket | grep -v '\"level\":\"INFO\",\"msg\":\"decision\"' | tail -n 60; tail -n 20 /var/log/nginx/error.log || true")
	if err != nil {
		return err.Error()
	}
	return m.name + ":\n" + strings.TrimSpace(out)
}

// removeGroups removes the control groups of stopped machines.
func removeGroups(pattern string) (err error) {
	for _, root := range hierarchies {
		groups, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
		for _, group := range groups {
			_, ended := sh(context.Background(), "find '"+group+"' -depth -type d -exec rmdir {} +")
			err = errors.Join(err, ended)
		}
	}
	return err
}
