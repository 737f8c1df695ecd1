package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// guarded is the registry that has a stand-by.
	guarded = "eu"
	// After more than fewFailures authsvc asks the stand-by alone.
	fewFailures = 4
	// Every openEvery-th time it may come to that, for openTime.
	openEvery    = 8
	manyFailures = 8
	openTime     = 700 * time.Millisecond
	// relief is how long the gate stays closed otherwise, at least.
	relief = 150 * time.Millisecond
	// Answers that authsvc gave before it forgot may come so much later.
	grace = 2 * time.Second
)

// A gate lets a registry fail now and then. authsvc's breaker would soon send all
// requests to the stand-by, so authsvc is made to forget what it has counted.
type gate struct {
	mu     sync.Mutex
	count  int // failures since authsvc has forgotten
	most   int // after which the gate closes
	cycles int
	until  time.Time     // so long answers may come from when it was open
	full   chan struct{} // gets a value when the gate closes
}

func newGate() *gate { return &gate{most: fewFailures, full: make(chan struct{}, 1)} }

// admit says what a registry does with a request: what the client wants, or, instead of
// too many failures, the usual.
func (g *gate) admit(registry, behavior string) string {
	if registry != guarded || !behaviors[behavior].fails {
		return behavior
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count >= g.most {
		return ""
	}
	if g.count++; g.count == g.most {
		g.full <- struct{}{}
	}
	return behavior
}

// open says whether authsvc may have been told of so many failures that it asks the
// stand-by alone.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count > fewFailures || time.Now().Before(g.until)
}

// next opens the gate again.
func (g *gate) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count > fewFailures {
		g.until = time.Now().Add(grace)
	}
	g.cycles++
	g.count, g.most = 0, fewFailures
	if g.cycles%openEvery == 0 {
		g.most = manyFailures
	}
}

// close closes the gate, and says whether something has come through.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == 0 {
		return false
	}
	select {
	case <-g.full:
	default:
	}
	g.most = g.count
	return true
}

// watch makes authsvc forget whenever the gate closes, until ctx ends.
func (f *front) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.gate.full:
		}
		time.Sleep(relief)
		if f.gate.open() {
			time.Sleep(openTime)
		}
		if err := f.forget(ctx); err != nil && ctx.Err() == nil {
			f.found(nil, err)
			return
		}
	}
}

// calm makes authsvc forget now.
func (f *front) calm(ctx context.Context) error {
	if !f.gate.close() {
		return nil
	}
	return f.forget(ctx)
}

// forget makes authsvc take over another configuration of its registries, and with that
// begin to count again.
func (f *front) forget(ctx context.Context) error {
	f.forgetting.Lock()
	defer f.forgetting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if err := f.reconfigure(); err != nil {
			return fmt.Errorf("reloading authsvc: %w", err)
		}
		if err := f.stack.Process("authsvc").Signal(syscall.SIGHUP); err != nil {
			return fmt.Errorf("reloading authsvc: %w", err)
		}
		for range 50 { // failures that were under way may have come after the reload
			forgotten, err := f.hasForgotten(ctx)
			if err != nil {
				return fmt.Errorf("reloading authsvc: %w\n%s", err, f.stack.Log("authsvc"))
			}
			if forgotten {
				f.gate.next()
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// timeouts are what the registries' configuration changes between. It makes no
// difference.
var timeouts = [2]string{"refresh_timeout: 5001ms", "refresh_timeout: 5002ms"}

// reconfigure changes authsvc's configuration.
func (f *front) reconfigure() error {
	path := filepath.Join(f.stack.Dir, "authsvc.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	from, to := timeouts[0], timeouts[1]
	if !strings.Contains(string(text), from) {
		from, to = to, from
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("%s: expected it to contain %s", path, from)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), from, to)), 0o600)
}

// hasForgotten says whether authsvc counts no failure of the guarded registry.
func (f *front) hasForgotten(ctx context.Context) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.stack.AuthsvcURL()+"/metrics", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return false, err
	}
	known := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "authsvc_nginx_registry_failures_total{") && strings.Contains(line, `upstream="`+guarded+`"`) {
			known++
			if !strings.HasSuffix(line, "} 0\n") {
				return false, nil
			}
		}
	}
	if known == 0 {
		return false, errors.New("expected authsvc_nginx_registry_failures_total, found none")
	}
	return true, nil
}
