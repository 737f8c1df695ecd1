package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The deployed versions: one, and one to upgrade to.
const (
	oldVersion = "1.0.0"
	newVersion = "1.1.0"
)

// needs are the programs that the steps run, and the packages that contain them.
var needs = map[string]string{
	"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "systemd-analyze": "systemd", "unshare": "util-linux",
	"ip": "iproute2", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "ansible-playbook": "ansible",
	"lintian": "lintian", "haproxy": "haproxy", "dockerd": "docker.io", "docker-registry": "docker-registry", "git": "git",
}

func lookForTools() error {
	var missing []string
	for program, pkg := range needs {
		if find(program) == "" {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing packages; as root: apt-get install %s (or: nginx/stack/install.sh deploy)", strings.Join(missing, " "))
	}
	return nil
}

// find returns the path of a program, even outside of PATH.
func find(program string) string {
	for _, path := range []string{program, "/usr/sbin/" + program, "/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return ""
}

// prepare builds the packages and the Debian.
func prepare(ctx context.Context, p paths) error {
	for _, version := range []string{oldVersion, newVersion} {
		fmt.Println("building packages", version)
		if err := buildPackages(ctx, p, version); err != nil {
			return err
		}
	}
	return buildBase(ctx, p)
}

// buildPackages builds as `make package` does.
func buildPackages(ctx context.Context, p paths, version string) error {
	_, err := command{name: "make", args: []string{
		"--no-print-directory", "package", "VERSION=v" + version, "PACKAGES=" + p.packages(version),
	}, dir: p.root}.run(ctx)
	return err
}

// installed are the Debian's additional packages: those of a typical nginx machine,
// and those that Ansible needs.
var installed = []string{
	"systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-apt", "iproute2", "procps", "curl",
	"ca-certificates", "nginx", "libnginx-mod-stream", "logrotate",
}

// buildBase creates the Debian, or reuses that of an earlier run.
func buildBase(ctx context.Context, p paths) (err error) {
	list := strings.Join(installed, ",")
	made := filepath.Join(p.base(), "packages")
	if have, err := os.ReadFile(made); err == nil && string(have) == list { //nolint:gosec // our own path
		return nil
	}
	fmt.Printf("creating a Debian (%s) with debootstrap; this takes a minute or two, once\n", p.suite)
	if err := errors.Join(os.RemoveAll(p.base()), os.MkdirAll(p.base(), 0o755)); err != nil { //nolint:gosec // /usr/bin/env has to be found in it
		return fmt.Errorf("creating a Debian: %w", err)
	}
	_, err = command{name: "debootstrap", args: []string{
		"--variant=minbase", "--include=" + list, p.suite, filepath.Join(p.base(), "root"),
	}}.run(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(made, []byte(list), 0o600)
}

// moduleRoot is the root of the repository, where `make` runs this.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "ansible", "site.yml")); err != nil {
		return "", fmt.Errorf("run this at the root of the repository, with make deploy-test: %w", err)
	}
	return dir, nil
}
