package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients are how many send at a time: enough to keep two cores busy.
const clients = 8

// A tally counts what a run has done.
type tally struct {
	began                                  time.Time
	exchanges, connections, givenUp, http2 atomic.Int64
	mu                                     sync.Mutex
	statuses                               map[int]int64
}

func (t *tally) count(x exchange, answers []answer) {
	t.exchanges.Add(1)
	if x.http2 {
		t.http2.Add(int64(len(answers)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range answers {
		t.statuses[a.status]++
	}
}

// requests is how many requests nginx has answered, and a description by status.
func (t *tally) requests() (n int64, statuses string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, status := range slices.Sorted(maps.Keys(t.statuses)) {
		n += t.statuses[status]
		name := fmt.Sprint(status)
		if status == 0 {
			name = "HTTP/0.9"
		}
		fmt.Fprintf(&b, " %s:%d", name, t.statuses[status])
	}
	return n, b.String()
}

func (t *tally) rate() float64 {
	n, _ := t.requests()
	return float64(n) / time.Since(t.began).Seconds()
}

// fuzz sends generated exchanges until ctx ends, or something is found.
func (f *front) fuzz(ctx context.Context, seed uint64, t *tally) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.stop = cancel
	if len(f.findings) > 0 {
		cancel()
	}
	f.mu.Unlock()
	g := newGrammar(seed, f.world)
	var next atomic.Uint64
	errs := make(chan error, clients)
	for range clients {
		go func() {
			errs <- f.work(ctx, t, func() exchange { return g.exchange(next.Add(1)) })
		}()
	}
	var all []error
	for range clients {
		if err := <-errs; err != nil {
			cancel()
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// work is one client of each protocol, one after the other.
func (f *front) work(ctx context.Context, t *tally, next func() exchange) error {
	type connection struct {
		client *client
		sender *sender
	}
	open := map[bool]connection{}
	defer func() {
		for _, c := range open {
			_ = c.client.close()
		}
	}()
	for ctx.Err() == nil {
		x := next()
		c, ok := open[x.http2]
		if !ok {
			var err error
			if c.client, c.sender, err = f.client(ctx, x.http2); err != nil {
				var network net.Error
				if ctx.Err() != nil || errors.As(err, &network) && network.Timeout() { // a busy machine
					continue
				}
				return fmt.Errorf("connecting to nginx: %w", err)
			}
			open[x.http2] = c
			t.connections.Add(1)
		}
		c.sender.sends(x)
		answers, err := c.client.do(x)
		f.checkAnswers(ctx, c.sender, x, answers)
		t.count(x, answers)
		if err == nil {
			continue
		}
		_ = c.client.close()
		delete(open, x.http2)
		switch {
		case errors.Is(err, errGivenUp):
			t.givenUp.Add(1)
		case !errors.Is(err, io.EOF):
			f.found(c.sender, fmt.Errorf("an answer that a client cannot read: %w", err))
		}
	}
	return nil
}

// once sends one exchange on a connection of its own.
func (f *front) once(ctx context.Context, x exchange) ([]answer, error) {
	c, s, err := f.client(ctx, x.http2)
	if err != nil {
		return nil, err
	}
	defer c.close() //nolint:errcheck // nothing is under way
	s.sends(x)
	answers, err := c.do(x)
	f.checkAnswers(ctx, s, x, answers)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errGivenUp) {
		f.found(s, fmt.Errorf("an answer that a client cannot read: %w", err))
	}
	return answers, nil
}

// quiet is how long nothing more must come after an exchange, until what is found is
// taken to be its finding.
const quiet = 30 * time.Millisecond

// try sends an exchange alone, and returns what is found then.
func (f *front) try(ctx context.Context, x exchange) (error, error) {
	if err := f.calm(ctx); err != nil {
		return nil, err
	}
	f.take()
	if _, err := f.once(ctx, x); err != nil {
		return nil, err
	}
	time.Sleep(quiet)
	if all := f.take(); len(all) > 0 {
		return all[0].err, nil
	}
	return nil, nil
}

// shrink drops parts as long as something is still found, and returns the shortest
// exchange and what it finds; nil if x alone finds nothing.
func (f *front) shrink(ctx context.Context, x exchange) (exchange, error, error) {
	found, err := f.try(ctx, x)
	if found == nil || err != nil {
		return x, nil, err
	}
	for size := (len(x.parts) + 1) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(x.parts) && len(x.parts) > size; {
			shorter := x
			shorter.parts = slices.Delete(slices.Clone(x.parts), i, i+size)
			now, err := f.try(ctx, shorter)
			switch {
			case err != nil:
				return x, found, err
			case now != nil:
				x, found = shorter, now
			default:
				i += size
			}
		}
	}
	return x, found, nil
}
