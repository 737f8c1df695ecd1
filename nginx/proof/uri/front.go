package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pullgate/pullgate/nginx/stack"
)

// A front is the running system with the oracle around it.
type front struct {
	*oracle
	stack *stack.Stack
	tls   *tls.Config
	plant plant

	forgetting sync.Mutex
	addresses  atomic.Uint32
	redirects  sync.Map // paths of the bucket that have been checked

	mu       sync.Mutex
	findings []finding
	stop     context.CancelFunc // ends the fuzzing at the first finding; may be nil
}

// A finding is what must not be, and the connection on which it was seen, if known.
type finding struct {
	err    error
	sender *sender
}

// start starts the system, with a planted hole if the settings have one.
func start(ctx context.Context, set settings, progress io.Writer) (*front, error) {
	w, err := build()
	if err != nil {
		return nil, err
	}
	f := &front{plant: set.plant}
	f.oracle = newOracle(w, f.found)
	f.stack, err = stack.Start(ctx, stack.Options{
		Nginx: set.nginx, Progress: progress, Interpose: true, Judged: func(r *http.Response) {
			if set.plant.judge != nil {
				set.plant.judge(r)
			}
			f.fake(r)
			f.judge(r)
		},
		Record: -1, Upstreams: upstreams(),
		// Guesses are a test of their own (nginx/e2e), and would be banned here.
		Authsvc: map[string]any{"log.level": "warn", "guard.failures": 1000000, "guard.refusals_per_second": 10000},
		Server:  set.server + "\naccess_log off; include registry/dedicated.conf; location = " + sentinelPath + " { return 200 '" + sentinelAnswer + "'; }",
	})
	if err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(err, f.stack.Close())
	}
	return f, nil
}

// client connects from a new address.
func (f *front) client(ctx context.Context, http2 bool) (*client, *sender, error) {
	n := f.addresses.Add(1)
	from := net.IPv4(127, byte(1+n>>16%200), byte(n>>8), byte(n))
	to, config := f.stack.Host, (*tls.Config)(nil)
	if http2 {
		to, config = strings.TrimPrefix(f.stack.TLSURL, "https://"), f.tls
	}
	s := &sender{targets: map[string]bool{}}
	f.sender.Add(from.String(), s)
	c, err := dial(ctx, from, to, config)
	return c, s, err
}

// found notes a finding.
func (f *front) found(s *sender, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.findings = append(f.findings, finding{err, s})
	if f.stop != nil {
		f.stop()
	}
}

// take returns what has been found, and forgets it.
func (f *front) take() []finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.findings
	f.findings = nil
	return all
}

// checkAnswers checks what came back to an exchange.
func (f *front) checkAnswers(ctx context.Context, s *sender, x exchange, answers []answer) {
	about := f.world.expect(x)
	for _, a := range answers {
		err := about.check(a)
		if err == nil && a.status == http.StatusTemporaryRedirect {
			err = f.checkRedirect(ctx, a.header.Get("Location"))
		}
		if err != nil {
			f.found(s, err)
		}
	}
}

// isBucket says whether a host is the storage of a registry.
func (f *front) isBucket(host string) bool {
	for _, u := range f.stack.Upstreams {
		if host == u.ECR.Bucket.Addr() {
			return true
		}
	}
	return false
}

// checkRedirect fetches what a signed URL leads to, once for each blob.
func (f *front) checkRedirect(ctx context.Context, location string) error {
	u, err := url.Parse(location)
	if err != nil || !f.isBucket(u.Host) {
		return fmt.Errorf("a redirect to %q, which is not the bucket", location)
	}
	if _, known := f.redirects.LoadOrStore(u.Host+u.Path, true); known {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.redirects.Delete(u.Host + u.Path)
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("fetching a redirect's target: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetching a redirect's target: status %d, %w", resp.StatusCode, err)
	}
	return f.world.checkBlob(body)
}
