package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// A fault is something that goes wrong, and is put right again.
type fault struct {
	name string
	// target is what fails. Two faults at once have two targets.
	target string
	// restarts means that a process loses its memory.
	restarts bool
	// brief faults lose pulls by excuses.md, and last seconds.
	brief bool
	// begin starts it. The returned function ends it, and returns when the
	// stack is as before.
	begin begin
}

// The stack restarts a killed process after as long as its unit does (RestartSec).
const restartAfter = time.Second

// guesses is the fault that is always in force.
const guesses = "guesses"

// everyFault are the faults of a run, each at least once.
var everyFault = []fault{
	{name: "nginx-killed", target: "nginx", restarts: true, brief: true, begin: killed((*stack.Stack).KillNginx, (*stack.Stack).StartNginx)},
	{name: "nginx-worker-killed", target: "nginx", brief: true, begin: killWorker},
	{name: "nginx-paused", target: "nginx", begin: paused("nginx")},
	{name: "nginx-reloaded", target: "nginx", begin: once(func(ctx context.Context, r *rig) error { return r.stack.ReloadNginx(ctx) })},
	{name: "authsvc-killed", target: "authsvc", restarts: true, begin: killed(kill("authsvc"), (*stack.Stack).StartAuthsvc)},
	{name: "authsvc-paused", target: "authsvc", begin: paused("authsvc")},
	{name: "authsvc-disk-full", target: "authsvc-disk", begin: full(stateFolder)},
	{name: "authsvc-disk-read-only", target: "authsvc-disk", begin: readOnly(stateFolder)},
	{name: "tokenrefresher-killed", target: "tokenrefresher", restarts: true, begin: killed((*stack.Stack).KillTokenrefresher, (*stack.Stack).StartTokenrefresher)},
	{name: "tokenrefresher-paused", target: "tokenrefresher", begin: paused("tokenrefresher")},
	{name: "tokenrefresher-disk-full", target: "tokenrefresher-disk", begin: full(tokenFolder)},
	{name: "tokenrefresher-disk-read-only", target: "tokenrefresher-disk", begin: readOnly(tokenFolder)},
	{name: "tokens-expired-early", target: "tokens", begin: once(expireTokens)},
	{name: "vendor-down", target: "vendor", begin: injected(vendor, always(standin.Fault{Reset: true}))},
	{name: "vendor-slow", target: "vendor", begin: injected(vendor, always(standin.Fault{Delay: 3 * time.Second}))},
	{name: "vendor-hangs", target: "vendor", begin: injected(vendor, always(standin.Fault{Hang: true}))},
	{name: "vendor-garbage", target: "vendor", begin: injected(vendor, always(standin.Fault{Status: http.StatusOK, Body: "<html>welcome</html>"}))},
	{name: "vendor-429", target: "vendor", begin: injected(vendor, always(standin.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}))},
	{name: "registry-429", target: "registry", brief: true, begin: injected(registry, often(standin.Fault{Status: http.StatusTooManyRequests, Body: `{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}`}))},
	{name: "registry-500", target: "registry", brief: true, begin: injected(registry, often(standin.Fault{Status: http.StatusInternalServerError}))},
	{name: "registry-resets", target: "registry", brief: true, begin: injected(registry, often(standin.Fault{Reset: true}))},
	{name: "registry-truncates", target: "registry", brief: true, begin: injected(registry, often(standin.Fault{Truncate: true}))},
	{name: "registry-down", target: "registry", brief: true, begin: injected(registry, always(standin.Fault{Reset: true}))},
	{name: "region-dies", target: "registry", begin: regionDies},
	{name: "bucket-truncates", target: "bucket", brief: true, begin: injected(bucket, often(standin.Fault{Truncate: true}))},
	{name: "bucket-503", target: "bucket", brief: true, begin: injected(bucket, often(standin.Fault{Status: http.StatusServiceUnavailable, Body: "<Error><Code>SlowDown</Code></Error>"}))},
	{name: "dns-gone", target: "nginx", brief: true, begin: dnsGone},
	{name: "clock-3h-ahead", target: "clock", begin: shifted(3 * time.Hour)},
	{name: "clock-9h-ahead", target: "clock", begin: shifted(9 * time.Hour)},
	{name: "clock-3h-behind", target: "clock", begin: shifted(-3 * time.Hour)},
	{name: "clock-9h-behind", target: "clock", begin: shifted(-9 * time.Hour)},
}

func faultNames() []string {
	names := []string{guesses}
	for _, f := range everyFault {
		names = append(names, f.name)
	}
	return names
}

type (
	begin = func(context.Context, *rig) (end, error)
	end   = func(context.Context) error
)

// once is a fault that is over by itself.
func once(do func(context.Context, *rig) error) begin {
	return func(ctx context.Context, r *rig) (end, error) {
		return inBackground(ctx, func(ctx context.Context) error { return do(ctx, r) }), nil
	}
}

func kill(name string) func(*stack.Stack) {
	return func(s *stack.Stack) { s.Process(name).Kill() }
}

// killed ends a process with SIGKILL, and starts it as systemd would.
func killed(stop func(*stack.Stack), start func(*stack.Stack, context.Context) error) begin {
	return once(func(ctx context.Context, r *rig) error {
		stop(r.stack)
		if err := sleep(ctx, restartAfter); err != nil {
			return err
		}
		return start(r.stack, ctx)
	})
}

// inBackground does something that may have to wait for the end of another fault.
func inBackground(ctx context.Context, do func(context.Context) error) end {
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	return func(context.Context) error { return <-done }
}

// killWorker kills nginx's workers. The master starts new ones.
func killWorker(ctx context.Context, r *rig) (end, error) {
	before, err := r.workers()
	if err != nil {
		return nil, err
	}
	for _, pid := range before {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		return waitFor(ctx, func() error { return answersAt(ctx, r.stack.URL+"/v2/") })
	}, nil
}

// paused stops a process with all its children, and continues it.
func paused(name string) begin {
	return func(_ context.Context, r *rig) (end, error) {
		signal := func(sig syscall.Signal) error { return syscall.Kill(-r.stack.Process(name).PID(), sig) }
		return func(context.Context) error { return signal(syscall.SIGCONT) }, signal(syscall.SIGSTOP)
	}
}

func expireTokens(_ context.Context, r *rig) error {
	for _, u := range r.stack.Upstreams {
		u.ECR.InvalidateTokens()
	}
	return nil
}

// Whose faults are injected.
func vendor(s *stack.Stack) []*standin.Server { return []*standin.Server{s.Vendor.TLS} }

// registry is ECR in the first region, as nginx and as authsvc sees it.
func registry(s *stack.Stack) []*standin.Server {
	return []*standin.Server{s.ECR.Front, s.ECR.Endpoint}
}

// bucket is S3 in both regions, since the second may be standing by.
func bucket(s *stack.Stack) []*standin.Server {
	return []*standin.Server{s.Upstreams[first].ECR.Bucket, s.Upstreams[second].ECR.Bucket}
}

func always(f standin.Fault) func() standin.Fault { return func() standin.Fault { return f } }

// often hits each third request.
func often(f standin.Fault) func() standin.Fault {
	return func() standin.Fault {
		var n atomic.Int64
		f.Match = func(*http.Request) bool { return n.Add(1)%3 == 0 }
		return f
	}
}

// injected lasts until it has hit at least one request.
func injected(servers func(*stack.Stack) []*standin.Server, make func() standin.Fault) begin {
	return func(_ context.Context, r *rig) (end, error) {
		var hits atomic.Int64
		for _, server := range servers(r.stack) {
			f := make()
			match := f.Match
			f.Match = func(request *http.Request) bool {
				if match != nil && !match(request) {
					return false
				}
				hits.Add(1)
				return true
			}
			server.Inject(f)
		}
		return func(ctx context.Context) error {
			err := waitFor(ctx, func() error {
				if hits.Load() == 0 {
					return errors.New("expected a request that meets the fault, found none")
				}
				return nil
			})
			for _, server := range servers(r.stack) {
				server.ClearFaults()
			}
			return err
		}, nil
	}
}

// regionDies: the first region refuses connections, and the other one serves.
func regionDies(_ context.Context, r *rig) (end, error) {
	standby := r.stack.Upstreams[second].Front
	before := standby.Received()
	mend, err := r.stack.Upstreams[first].Fail(stack.Refuses)
	return func(ctx context.Context) error {
		err := waitFor(ctx, func() error {
			if standby.Received() == before {
				return errors.New("expected a request to the region that stands by, found none")
			}
			return nil
		})
		return errors.Join(err, mend())
	}, err
}

// dnsGone reloads nginx: new workers know no addresses yet.
func dnsGone(ctx context.Context, r *rig) (end, error) {
	r.stack.DNS.Fail(true)
	queries := func() (n int) {
		for _, u := range r.stack.Upstreams {
			n += r.stack.DNS.Queries(u.Host)
		}
		return n
	}
	asked := queries()
	reloaded := inBackground(ctx, r.stack.ReloadNginx)
	return func(ctx context.Context) error {
		err := waitFor(ctx, func() error {
			if queries() == asked {
				return errors.New("expected nginx to ask for a registry's address, found no query")
			}
			return nil
		})
		r.stack.DNS.Fail(false)
		return errors.Join(err, reloaded(ctx))
	}, nil
}

func shifted(by time.Duration) begin {
	return func(_ context.Context, r *rig) (end, error) {
		return func(context.Context) error { return r.clock.shift(0) }, r.clock.shift(by)
	}
}

// full fills a folder's file system up.
func full(folder string) begin {
	return func(_ context.Context, r *rig) (end, error) {
		filler := filepath.Join(r.folder(folder), "filler")
		if err := fill(filler); err != nil {
			return nil, err
		}
		return func(context.Context) error { return unix.Unlink(filler) }, nil
	}
}

func readOnly(folder string) begin {
	return func(ctx context.Context, r *rig) (end, error) {
		remount := func(flags uintptr) error {
			return unix.Mount("", r.folder(folder), "", unix.MS_REMOUNT|flags, "")
		}
		// Busy while somebody is writing.
		err := waitFor(ctx, func() error { return remount(unix.MS_RDONLY) })
		return func(context.Context) error { return remount(0) }, err
	}
}
