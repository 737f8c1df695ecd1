package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ReconfigureNginx changes nginx's options (Main, HTTP, Server, Servers, Settings,
// Workers), rewrites its configuration, and reloads it. When it returns, every new
// connection uses the new configuration. If nginx -t rejects it, that is an error,
// and the running nginx does not change.
func (s *Stack) ReconfigureNginx(ctx context.Context, change func(*Options)) error {
	change(&s.opts)
	dir := filepath.Join(s.Dir, "nginx", "registry")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("configuring nginx: %w", err)
	}
	if err := s.configureNginx(); err != nil {
		return err
	}
	return s.ReloadNginx(ctx)
}

// ReloadNginx reloads nginx after nginx -t, and waits until the old workers stop
// accepting connections.
func (s *Stack) ReloadNginx(ctx context.Context) error {
	if err := s.TestNginx(ctx); err != nil {
		return err
	}
	p := s.Process("nginx")
	old := map[int]bool{}
	for pid := range accepting(p.PID()) {
		old[pid] = true
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return poll(ctx, s.opts.Timeout, p, func(context.Context) error {
		now := accepting(p.PID())
		for pid := range old {
			if now[pid] {
				return fmt.Errorf("reloading nginx: worker %d still serves the old configuration", pid)
			}
		}
		if len(now) == 0 {
			return fmt.Errorf("reloading nginx: no new worker yet")
		}
		return nil
	})
}

// accepting returns the workers of an nginx master that are not shutting down,
// which nginx shows in their process titles.
func accepting(master int) map[int]bool {
	workers := map[int]bool{}
	deadline := time.Now().Add(time.Second)
	for len(workers) == 0 && time.Now().Before(deadline) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
		if err != nil {
			return workers
		}
		for field := range strings.FieldsSeq(string(text)) {
			title, err := os.ReadFile("/proc/" + field + "/cmdline")
			pid, perr := strconv.Atoi(field)
			if err == nil && perr == nil && strings.Contains(string(title), "worker process") && !strings.Contains(string(title), "shutting down") {
				workers[pid] = true
			}
		}
		if len(workers) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return workers
}
