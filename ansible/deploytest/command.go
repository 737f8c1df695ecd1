package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A command is a program that runs to completion.
type command struct {
	name  string
	args  []string
	dir   string
	env   []string // in addition to the process's own
	stdin string
}

// run returns the output of both streams. The error repeats its end.
func (c command) run(ctx context.Context) (string, error) {
	cmd := c.prepare(ctx)
	cmd.Stdin = strings.NewReader(c.stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w:\n%s", c.name, err, lastLines(string(out), 60))
	}
	return string(out), nil
}

// start runs it until the namespaces end. Its output goes to a file; if it ends,
// the channel gets the result.
func (c command) start(log string) (ended <-chan error, err error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own path
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	defer out.Close() //nolint:errcheck // the child has its own
	cmd := c.prepare(context.Background())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	return end, nil
}

func (c command) prepare(ctx context.Context) *exec.Cmd {
	path := find(c.name)
	if path == "" {
		path = c.name
	}
	cmd := exec.CommandContext(ctx, path, c.args...) //nolint:gosec // the test's own command lines
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// sh runs a script.
func sh(ctx context.Context, script string) (string, error) {
	return command{name: "sh", args: []string{"-euc", script}}.run(ctx)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// eventually retries until it succeeds or the time is up.
func eventually(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // else the end of the time is what failed
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still failing after %s: %w", limit, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
