package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	pullEvery     = 1500 * time.Millisecond // a client starts a pull this often, or as soon as it can
	progressEvery = 5 * time.Second
)

// A trial is a run of all clients through a schedule of faults.
type trial struct {
	rig      *rig
	ledger   *ledger
	out      io.Writer
	generous bool // planted: every customer has a license for everything

	customers []customer
	tokens    map[string]bool // ECR's, as seen in the token files
}

// A customer is a client with what it asks.
type customer struct {
	kind     kind
	client   *client
	name     string
	requests []request
	pulled   *atomic.Int64 // how often
}

func (t *trial) run(ctx context.Context, steps []step) error {
	t.tokens = map[string]bool{}
	if err := t.admit(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fmt.Fprintf(t.out, "%d customers pull\n", len(t.customers))
	guesser := newGuesser(t.rig.stack.URL, t.victims())
	var pulling sync.WaitGroup
	enough := make(chan struct{})
	for i := range t.customers {
		pulling.Go(func() {
			if err := t.pullUntil(ctx, enough, t.customers[i]); err != nil {
				cancel(err)
			}
		})
	}
	watching := t.watch(ctx, guesser)
	before, err := t.warm(ctx, guesser)
	if err == nil {
		err = t.disturb(ctx, steps)
	}
	close(enough)
	pulling.Wait()
	var grew error
	if err == nil {
		fmt.Fprintln(t.out, "the faults are over; waiting until all processes are as small as before")
		grew = t.settle(ctx, before)
	}
	cancel(err)
	guesser.done.Wait()
	<-watching
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if err != nil {
		return err
	}
	return t.judge(guesser, grew)
}

// admit gives every client a customer.
func (t *trial) admit() error {
	for _, k := range everyKind {
		for _, program := range k.clients {
			i := len(t.customers)
			c, err := t.rig.newClient(i, program)
			if err != nil {
				return err
			}
			k := k.kind
			requests := k.requests(t.rig.images)
			if program == "docker" { // which cannot list
				requests = slices.DeleteFunc(requests, func(r request) bool { return r.asks() == aList })
			}
			if t.generous {
				k.account = unlimited
			}
			t.customers = append(t.customers, customer{k, c, fmt.Sprintf("%s-%d", k.name, i), requests, &atomic.Int64{}})
			if err := t.login(t.customers[i], t.customers[i].name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trial) login(c customer, name string) error {
	return c.client.login(newCredential(t.rig.stack, c.kind, name))
}

// victims are the customers whose names guessers know.
func (t *trial) victims() []string {
	var names []string
	for _, c := range t.customers {
		names = append(names, c.name+"@acme.example")
	}
	return names
}

// pullUntil pulls one thing after the other.
func (t *trial) pullUntil(ctx context.Context, enough <-chan struct{}, c customer) error {
	for n := 0; ; n++ {
		next := time.After(pullEvery)
		if c.kind.fresh {
			if err := t.login(c, fmt.Sprintf("%s-%d", c.name, n)); err != nil {
				return err
			}
		}
		switch p, err := c.client.fetch(ctx, c.kind, c.requests[n%len(c.requests)]); {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of the run
		case err != nil:
			return err
		default:
			t.ledger.add(p)
			c.pulled.Add(1)
		}
		select {
		case <-enough:
			return nil
		case <-ctx.Done():
			return nil
		case <-next:
		}
	}
}

// watch writes progress until ctx ends.
func (t *trial) watch(ctx context.Context, g *guesser) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, progressEvery) == nil {
			t.ledger.progress(g)
			t.noteTokens()
		}
	}()
	return done
}

// warm waits until every customer is known, lets authsvc write that down, and starts
// the guesses. It returns what the processes use.
func (t *trial) warm(ctx context.Context, g *guesser) (map[string]state, error) {
	if err := t.allPull(ctx); err != nil {
		return nil, err
	}
	if err := t.rig.stack.RestartAuthsvc(ctx); err != nil {
		return nil, err
	}
	t.ledger.starts(guesses)
	g.start(ctx)
	if err := t.allPull(ctx); err != nil {
		return nil, err
	}
	return vitals(ctx, t.rig)
}

// allPull waits until each customer has pulled twice more.
func (t *trial) allPull(ctx context.Context) error {
	enough := map[string]int64{}
	for _, c := range t.customers {
		enough[c.name] = c.pulled.Load() + 2
	}
	for _, c := range t.customers {
		err := waitFor(ctx, func() error {
			if n := c.pulled.Load(); n < enough[c.name] {
				return fmt.Errorf("warming up: expected %d pulls of %s, found %d", enough[c.name], c.name, n)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// disturb goes through the schedule.
func (t *trial) disturb(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := sleep(ctx, s.quiet); err != nil {
			return err
		}
		var ends []end
		for _, f := range s.faults {
			t.ledger.starts(f.name)
			end, err := f.begin(ctx, t.rig)
			if end != nil {
				ends = append(ends, end)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", f.name, err), endAll(ctx, ends))
			}
		}
		if err := sleep(ctx, s.lasts); err != nil {
			return errors.Join(err, endAll(ctx, ends))
		}
		if err := endAll(ctx, ends); err != nil {
			return fmt.Errorf("ending %s: %w", s, err)
		}
		t.ledger.allEnd()
	}
	return sleep(ctx, steps[0].quiet)
}

// endAll ends faults at the same time: one may wait for the end of another.
func endAll(ctx context.Context, ends []end) error {
	var all errgroup.Group
	for _, end := range ends {
		all.Go(func() error { return end(ctx) })
	}
	return all.Wait()
}

// settle waits until the processes use what they used before, or returns what is
// more.
func (t *trial) settle(ctx context.Context, before map[string]state) error {
	var after map[string]state
	err := waitFor(ctx, func() (err error) {
		if after, err = vitals(ctx, t.rig); err != nil {
			return err
		}
		return grown(before, after)
	})
	for name, is := range after {
		was := before[name]
		fmt.Fprintf(t.out, "%-15s after the warm-up: %3d goroutines, %3d descriptors, %3d MB; at the end: %3d, %3d, %3d MB\n", name,
			was.goroutines, was.descriptors, was.memory>>20, is.goroutines, is.descriptors, is.memory>>20)
	}
	return err
}

// judge says whether the run was good.
func (t *trial) judge(g *guesser, grew error) error {
	if err := t.ledger.summary(); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "\n%d guesses, %.0f a second\n", g.tried.Load(), g.rate())
	found, err := secretsIn(context.Background(), t.rig.stack, t.tokens)
	if err != nil {
		return err
	}
	failures := append(t.ledger.failures(), found...)
	if n := g.letIn.Load(); n > 0 {
		failures = append(failures, fmt.Sprintf("%d guesses were let in", n))
	}
	if len(t.tokens) == 0 {
		failures = append(failures, "never saw a token in a token file")
	}
	if grew != nil {
		failures = append(failures, grew.Error())
	}
	if len(failures) == 0 {
		fmt.Fprintf(t.out, "\nnothing was lost without an excuse, nothing served without a right, no process grew, and no log has a secret\n")
		return nil
	}
	errs := []error{errors.New("the run failed")}
	for _, text := range failures {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
