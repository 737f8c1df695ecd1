package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

const (
	phases      = 5
	phaseTime   = 4 * time.Second
	customers   = 50
	guessEvery  = time.Millisecond
	newEvery    = 50 * time.Millisecond   // a customer logs in for the first time
	newPatience = 2100 * time.Millisecond // and tries for 2 s, and what tries take
	// answerTime is what the vendor's API takes.
	answerTime = 20 * time.Millisecond
	// guessers are the connections at least, from however few addresses.
	guessers = 200
	// unanswered is how many guesses can be under way. More means that the
	// machine is too slow for this measurement.
	unanswered = 2000
)

// measureGuessing measures what strangers cost, and whom they harm.
func measureGuessing(ctx context.Context, stdout io.Writer) (figures, error) {
	all := figures{}
	for _, part := range []struct {
		what    string
		authsvc map[string]any
		do      func(context.Context, *stack.Stack, io.Writer) (figures, error)
	}{
		{fmt.Sprintf("1,000 wrong credentials a second, %d phases of %v, against %d customers who pull", phases, phaseTime, customers), nil, measureAttacks},
		{"one token under 20,000 names", map[string]any{"cache.ttl": "1h"}, measureNames},
		{"customers while the vendor's API hangs", map[string]any{"cache.ttl": dueAfter.String(), "kloudless.timeout": "1s"}, measureOutage},
	} {
		fmt.Fprintln(stdout, "guessing:", part.what)
		measured, err := withStack(ctx, part.authsvc, func(s *stack.Stack) (figures, error) { return part.do(ctx, s, stdout) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.what, err)
		}
		for name, value := range measured {
			all[name] = value
		}
	}
	return all, nil
}

// withStack starts a stack with changed keys of authsvc's, and ends it.
func withStack(ctx context.Context, authsvc map[string]any, do func(*stack.Stack) (figures, error)) (measured figures, err error) {
	s, err := stack.Start(ctx, stack.Options{Authsvc: authsvc, Record: -1, ECR: ecr.Options{Record: -1}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if measured, err = do(s); err != nil {
		err = fmt.Errorf("%w\n%s", err, s.Log("nginx-error"))
	}
	return measured, err
}

// An attack is guesses from so many addresses, and what came of them, phase by
// phase.
type attack struct {
	addresses int
	retries   bool // whether a first login may need several tries

	callsPerGuess, p99, quietP99 []float64
	guesses                      int64
	refused                      int // known customers
	first                        struct{ logins, retried, refused atomic.Int64 }
}

func measureAttacks(ctx context.Context, s *stack.Stack, stdout io.Writer) (figures, error) {
	crowd, err := newCrowd(ctx, s)
	if err != nil {
		return nil, err
	}
	asked := count(s, "guess-", answerTime)
	attacks := []*attack{{addresses: 1}, {addresses: 1000, retries: true}}
	for n, a := range attacks {
		for i := range phases {
			if err := a.phase(ctx, s, crowd, asked, n*phases+i); err != nil {
				return nil, err
			}
		}
	}
	if err := showAttacks(stdout, attacks); err != nil {
		return nil, err
	}
	one, many := attacks[0], attacks[1]
	return figures{
		"guess_vendor_calls_per_guess": max(median(one.callsPerGuess), median(many.callsPerGuess)),
		"guess_good_p99_ratio":         max(ratio(one.p99, one.quietP99), ratio(many.p99, many.quietP99)),
		"guess_good_p99_ms":            max(median(one.p99), median(many.p99)),
		"guess_good_refused":           float64(one.refused + many.refused),
		"guess_new_good_refused":       float64(one.first.refused.Load() + many.first.refused.Load()),
	}, nil
}

func showAttacks(stdout io.Writer, attacks []*attack) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nADDRESSES\tGUESSES/S\tCALLS/GUESS\tP99 QUIET\tP99 ATTACKED\tREFUSED\tFIRST LOGINS\tRETRIED\tREFUSED")
	for _, a := range attacks {
		fmt.Fprintf(w, "%d\t%.0f\t%.4f\t%.1f ms\t%.1f ms\t%d\t%d\t%d\t%d\n", a.addresses, float64(a.guesses)/(phases*phaseTime).Seconds(),
			median(a.callsPerGuess), median(a.quietP99), median(a.p99), a.refused, a.first.logins.Load(), a.first.retried.Load(), a.first.refused.Load())
	}
	return w.Flush()
}

// phase is a quiet time, and one with guesses from addresses that were never
// seen before.
func (a *attack) phase(ctx context.Context, s *stack.Stack, crowd *crowd, asked *tally, number int) error {
	quiet, err := crowd.pull(ctx, phaseTime)
	if err != nil {
		return err
	}
	asked.count.Store(0)
	var group sync.WaitGroup
	var guesses int64
	var guessing error
	group.Go(func() { guesses, guessing = a.guess(ctx, s, number) })
	group.Go(func() { a.logIns(ctx, s, number) })
	attacked, err := crowd.pull(ctx, phaseTime)
	group.Wait()
	if err := errors.Join(err, guessing); err != nil {
		return err
	}
	a.guesses += guesses
	a.callsPerGuess = append(a.callsPerGuess, float64(asked.count.Load())/float64(guesses))
	a.quietP99, a.p99 = append(a.quietP99, quiet.p99()), append(a.p99, attacked.p99())
	a.refused += quiet.refused + attacked.refused
	return nil
}

// guess sends guesses, whether or not the earlier ones have been answered, and
// waits for all answers.
func (a *attack) guess(ctx context.Context, s *stack.Stack, number int) (sent int64, err error) {
	strangers := make([]*person, max(a.addresses, guessers))
	for i := range strangers {
		strangers[i] = newPerson(s, address(20+number, i%a.addresses), "", "")
		defer strangers[i].leave()
	}
	var group sync.WaitGroup
	defer group.Wait()
	var open, passed, failed atomic.Int64
	for start := time.Now(); time.Since(start) < phaseTime && ctx.Err() == nil; time.Sleep(guessEvery) {
		for ; sent < int64(time.Since(start)/guessEvery); sent++ {
			if open.Add(1) > unanswered {
				return sent, fmt.Errorf("%d guesses without an answer: this machine is too slow, or something hangs", unanswered)
			}
			stranger := strangers[sent%int64(len(strangers))]
			user, secret := fmt.Sprintf("ann%d@acme.example", sent%100), fmt.Sprintf("guess-%d-%d", number, sent)
			group.Go(func() {
				defer open.Add(-1)
				switch status, _, err := stranger.askAs(ctx, "/v2/", user, secret); {
				case err != nil:
					failed.Add(1)
				case status != http.StatusUnauthorized && status != http.StatusTooManyRequests:
					passed.Add(1)
				}
			})
		}
	}
	group.Wait()
	if passed.Load()+failed.Load() > 0 {
		return sent, fmt.Errorf("of %d guesses %d got no answer, and %d neither 401 nor 429", sent, failed.Load(), passed.Load())
	}
	return sent, nil
}

// logIns lets customers log in for the first time.
func (a *attack) logIns(ctx context.Context, s *stack.Stack, number int) {
	var group sync.WaitGroup
	defer group.Wait()
	for i := range int(phaseTime / newEvery) {
		p := newPerson(s, address(60+number, i), fmt.Sprintf("new%d-%d@acme.example", number, i), fmt.Sprintf("new-%d-%d", number, i))
		setAccount(s, p)
		group.Go(func() {
			defer p.leave()
			a.logIn(ctx, p)
		})
		time.Sleep(newEvery)
	}
}

// logIn tries as Retry-After says, for as long as a person waits.
func (a *attack) logIn(ctx context.Context, p *person) {
	a.first.logins.Add(1)
	for start, tries := time.Now(), 0; ; tries++ {
		status, wait, err := p.ask(ctx, "/v2/")
		switch {
		case err == nil && status == http.StatusOK:
			return
		case !a.retries || err != nil || status != http.StatusTooManyRequests || time.Since(start)+wait > newPatience:
			a.first.refused.Add(1)
			return
		case tries == 0:
			a.first.retried.Add(1)
		}
		time.Sleep(wait)
	}
}
