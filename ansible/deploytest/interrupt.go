package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// The first task after tokenrefresher is replaced and before authsvc is.
const between = "TASK [Check for a token]"

// breakOff kills the playbook when one program is replaced and the other is not.
// If the next run can serve, it completes the change; if not, it rolls back to
// the version before the first run. Pulls keep working, except while the new
// settings cannot serve.
func (w *world) breakOff(ctx context.Context) (string, error) {
	was := map[string]string{"tokenrefresher": newVersion, "authsvc": newVersion}
	half := map[string]string{"tokenrefresher": oldVersion, "authsvc": newVersion}
	back := w.unhealthy()
	defer back()

	l := w.startLoad(ctx, 4)
	err := w.deployUntil(ctx, between, half)
	_, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", err
	}
	if err := putBack(w.deploy(ctx)); err != nil {
		return "", err
	}
	back()
	if err := w.settled(ctx, was); err != nil {
		return "", fmt.Errorf("after the rollback: %w", err)
	}

	l = w.startLoad(ctx, 4)
	w.config.set("rollout_package_dir", w.packages(oldVersion))
	err = w.deployUntil(ctx, between, half)
	w.config.set("rollout_package_dir", w.packages(newVersion))
	if err == nil {
		_, err = w.deploy(ctx)
	}
	pulls, failed := l.end()
	if err := errors.Join(err, failed); err != nil {
		return "", err
	}
	return "rolled back, and completed; " + pulls, w.settled(ctx, was)
}

// settled checks that these versions are installed and that a run changes
// nothing.
func (w *world) settled(ctx context.Context, versions map[string]string) error {
	if err := w.wantVersions(ctx, versions); err != nil {
		return err
	}
	r, err := w.deploy(ctx)
	return errors.Join(err, r.unchanged())
}

// deployUntil kills the playbook when it prints a given line, and then checks
// which versions are installed.
func (w *world) deployUntil(ctx context.Context, says string, versions map[string]string) error {
	playbook, err := w.playbook()
	if err != nil {
		return err
	}
	cmd := playbook.prepare(ctx)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var said bytes.Buffer
	reached := false
	lines := bufio.NewScanner(out)
	for !reached && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.HasPrefix(lines.Text(), "fatal:") { // a rollback follows
			err = errors.New("the playbook failed before it could be killed")
			break
		}
		if reached = strings.HasPrefix(lines.Text(), says); reached {
			err = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if ended := cmd.Wait(); !reached {
		return fmt.Errorf("expected to kill it at %q, found: %w\n%s", says, errors.Join(err, ended), lastLines(said.String(), 40))
	}
	return errors.Join(err, w.wantVersions(ctx, versions))
}

// wantVersions checks which versions are installed on the first machine.
func (w *world) wantVersions(ctx context.Context, want map[string]string) (err error) {
	for program, version := range want {
		err = errors.Join(err, w.machines[0].wantVersion(ctx, program, version))
	}
	return err
}
