package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// fatal are signals whose default action is a core dump (signal(7)), and kill -9.
var fatal = []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGKILL}

// crashes ends each program in each way, with secrets in flight. GOTRACEBACK=crash
// makes Go's programs show all stacks and ask the kernel for a core dump.
func (r *rig) crashes(ctx context.Context) error {
	dumps := 0
	for _, p := range []struct {
		name  string
		start func(context.Context) error
	}{{"authsvc", r.stack.StartAuthsvc}, {"tokenrefresher", r.stack.StartTokenrefresher}} {
		ways := fatal
		if r.short {
			ways = []syscall.Signal{syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGKILL}
		}
		for _, signal := range ways {
			if err := r.crash(ctx, p.name, func(pid int) error { return syscall.Kill(pid, signal) }); err != nil {
				return fmt.Errorf("%s of %s: %w", signal, p.name, err)
			}
			if err := p.start(ctx); err != nil {
				return err
			}
			dumps++
		}
	}
	if err := r.outOfMemory(ctx); err != nil {
		return err
	}
	if err := r.crashNginx(ctx); err != nil {
		return err
	}
	r.note("%d crashes", dumps+2)
	return r.noCore()
}

// crash hangs what the program waits for, sends requests, and ends the program while
// it holds their secrets.
func (r *rig) crash(ctx context.Context, name string, end func(pid int) error) error {
	if err := r.stack.RestartAuthsvc(ctx); err != nil { // closes its breakers
		return err
	}
	for _, server := range []*standin.Server{r.stack.Vendor.TLS, r.stack.ECR.API} {
		server.Inject(standin.Fault{Hang: true})
		defer server.ClearFaults()
	}
	asked := map[string]*standin.Server{"authsvc": r.stack.Vendor.TLS, "tokenrefresher": r.stack.ECR.API}[name]
	before := asked.Received()
	r.stack.ECR.InvalidateTokens()
	var g errgroup.Group
	for _, q := range []request{get(manifest("1.0")).as(r.ann), get(manifest("1.0")).as(r.stranger("in flight")), get("/v2/").as(r.stranger("in flight"))} {
		g.Go(func() error { _, err := r.ask(ctx, "a crash of "+name, q); return err })
	}
	err := until(ctx, func() error {
		if asked.Received() == before {
			return fmt.Errorf("%s did not ask anybody", name)
		}
		return nil
	})
	process := r.stack.Process(name)
	if err := errors.Join(err, end(process.PID())); err != nil {
		return err
	}
	select {
	case <-process.Exited():
	case <-time.After(time.Minute):
		return errors.New("it is still running a minute later")
	}
	if name == "authsvc" { // its socket stays open: requests wait for the next one
		return errors.Join(r.stack.StartAuthsvc(ctx), g.Wait(), r.stack.Process(name).Stop())
	}
	return g.Wait()
}

// outOfMemory takes authsvc's memory away, so that Go's runtime gives up: like a
// panic, it prints every goroutine.
func (r *rig) outOfMemory(ctx context.Context) error {
	err := r.crash(ctx, "authsvc", func(pid int) error {
		limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY} // less than it has
		if err := unix.Prlimit(pid, unix.RLIMIT_AS, &limit, nil); err != nil {
			return err
		}
		return until(ctx, func() error {
			select {
			case <-r.stack.Process("authsvc").Exited():
				return nil
			default:
			}
			c, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, _, _ = r.send(c, r.stack.URL, get("/v2/").with(basic("ann", strings.Repeat("x", 5000)+r.stranger("out of memory").token)))
			return errors.New("authsvc still runs without memory")
		})
	})
	return errors.Join(err, r.stack.StartAuthsvc(ctx))
}

// crashNginx ends a worker during a request. nginx makes its workers dumpable, so
// what holds is the limit that systemd gives every service: 0 (DefaultLimitCORE= in
// systemd-system.conf(5)).
func (r *rig) crashNginx(ctx context.Context) error {
	master := r.stack.Process("nginx").PID()
	limit := unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(master, unix.RLIMIT_CORE, &limit, nil); err != nil {
		return err
	}
	if err := r.stack.ReloadNginx(ctx); err != nil { // new workers have the limit
		return err
	}
	r.stack.ECR.Front.Inject(standin.Fault{Hang: true})
	defer r.stack.ECR.Front.ClearFaults()
	before := r.stack.ECR.Front.Received()
	done := make(chan error, 1)
	go func() {
		_, _, err := r.send(ctx, r.stack.URL, get(manifest("1.0")).as(r.ann))
		done <- err
	}()
	if err := until(ctx, func() error {
		if r.stack.ECR.Front.Received() == before {
			return errors.New("nginx did not ask the registry")
		}
		return nil
	}); err != nil {
		return err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		return err
	}
	for field := range strings.FieldsSeq(string(children)) {
		var worker int
		if _, err := fmt.Sscan(field, &worker); err != nil {
			return err
		}
		if err := syscall.Kill(worker, syscall.SIGSEGV); err != nil {
			return err
		}
	}
	if err := <-done; err == nil {
		return errors.New("nginx's worker answered; expected it to crash")
	}
	r.stack.ECR.Front.ClearFaults()
	return r.eventually(ctx, "after the crash of nginx's worker", get("/v2/").as(r.ann), http.StatusOK)
}

// noCore fails if anything has left a core dump.
func (r *rig) noCore() error {
	var found []string
	for _, dir := range []string{r.stack.Dir, filepath.Join(r.stack.Dir, "nginx"), r.work} {
		cores, err := filepath.Glob(filepath.Join(dir, "core*"))
		if err != nil {
			return err
		}
		found = append(found, cores...)
	}
	if len(found) > 0 {
		return fmt.Errorf("expected no core dump, since it holds every secret of the process; found %q", found)
	}
	return nil
}
