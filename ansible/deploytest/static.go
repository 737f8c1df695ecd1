package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// mostExposure is the highest exposure that systemd-analyze security may report.
const mostExposure = 1.5

var (
	units        = []string{"authsvc.service", "tokenrefresher.service", "tokenrefresher-once.service", "authsvc-probe.service", "authsvc-content.service"}
	exposureLine = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
)

// lintPackages checks the packages of both versions and architectures.
func (w *world) lintPackages(ctx context.Context) (string, error) {
	var packages []string
	for _, version := range []string{oldVersion, newVersion} {
		dir := w.packages(version)
		if _, err := (command{name: "sha256sum", args: []string{"--check", "--quiet", "pullgate_" + version + ".sha256"}, dir: dir}).run(ctx); err != nil {
			return "", err
		}
		for _, program := range []string{"authsvc", "tokenrefresher"} {
			for _, arch := range []string{"amd64", "arm64"} {
				deb := w.deb(version, program, arch)
				for _, file := range []string{deb, strings.TrimSuffix(deb, ".deb") + ".cdx.json"} {
					if _, err := os.Stat(file); err != nil {
						return "", err
					}
				}
				if err := w.lookInto(ctx, deb, program, arch); err != nil {
					return "", err
				}
				packages = append(packages, deb)
			}
		}
	}
	out, err := command{name: "lintian", args: append([]string{"--allow-root", "--fail-on", "error,warning"}, packages...)}.run(ctx)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return fmt.Sprintf("%d packages, no errors or warnings; programs are static, settings are conffiles", len(packages)), nil
}

// lookInto checks that the program in a package is static and built for its
// architecture, and that settings survive an upgrade.
func (w *world) lookInto(ctx context.Context, deb, program, arch string) error {
	control, err := command{name: "dpkg-deb", args: []string{"--info", deb, "conffiles"}}.run(ctx)
	if err != nil {
		return err
	}
	if want := "/etc/" + program + "/" + program + ".yaml\n"; control != want {
		return fmt.Errorf("%s: expected the conffiles %q, found %q", deb, want, control)
	}
	dir, err := os.MkdirTemp(w.work, "package-")
	if err != nil {
		return err
	}
	if _, err := (command{name: "dpkg-deb", args: []string{"--extract", deb, dir}}).run(ctx); err != nil {
		return err
	}
	binary, err := elf.Open(filepath.Join(dir, "usr", "bin", program))
	if err != nil {
		return fmt.Errorf("%s: %w", deb, err)
	}
	defer binary.Close() //nolint:errcheck // it is only read
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; binary.Machine != want {
		return fmt.Errorf("%s: expected a program for %s, found one for %s", deb, want, binary.Machine)
	}
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP {
			return fmt.Errorf("%s: the program is not static", deb)
		}
	}
	return os.RemoveAll(dir)
}

// judgeUnits checks the units in the packages, before anything is installed.
func (w *world) judgeUnits(ctx context.Context) (string, error) {
	root := w.in("units")
	for _, program := range []string{"authsvc", "tokenrefresher"} {
		if _, err := (command{name: "dpkg-deb", args: []string{"--extract", w.deb(oldVersion, program, "amd64"), root}}).run(ctx); err != nil {
			return "", err
		}
	}
	return exposures(units, func(unit string) (string, error) {
		return command{name: "systemd-analyze", args: []string{"security", "--offline=true", "--no-pager", "--root=" + root, unit}}.run(ctx)
	})
}

// exposures runs systemd-analyze security on units and rejects those that are too
// exposed.
func exposures(units []string, analyze func(unit string) (string, error)) (string, error) {
	var seen []string
	for _, unit := range units {
		out, err := analyze(unit)
		if err != nil {
			return "", err
		}
		m := exposureLine.FindStringSubmatch(out)
		if m == nil {
			return "", fmt.Errorf("%s: expected an exposure level, found:\n%s", unit, lastLines(out, 5))
		}
		exposure, err := strconv.ParseFloat(m[1], 64)
		if err != nil || exposure > mostExposure {
			return "", fmt.Errorf("%s: expected an exposure of %.1f at most, found %s", unit, mostExposure, m[1])
		}
		seen = append(seen, fmt.Sprintf("%s %.1f", unit, exposure))
	}
	return strings.Join(seen, ", "), nil
}
