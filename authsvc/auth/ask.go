package auth

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

const (
	// lookUpTimeout bounds a lookup. Callers share lookups, so none ends with a
	// caller's context. The source's own timeout is shorter.
	lookUpTimeout = 2 * time.Minute
	// patience is how long a known customer waits for a renewal before getting
	// the last answer.
	patience = 250 * time.Millisecond
	// outagePause is how long a credential is not looked up again after an
	// outage: a pull is dozens of requests, and each would wait for the source's
	// timeout.
	outagePause = 5 * time.Second
	// trialPoll is how often the end of a breaker's trial is looked for.
	trialPoll = 100 * time.Millisecond
	// A breaker opens when so many look-ups have failed within breakerWindow,
	// and more than have not. One customer whose answer cannot be understood
	// fails at most twice within it.
	breakerFailures = 5
	breakerWindow   = 10 * time.Second
)

var (
	errBreaker = errors.New("the source failed too often; pausing requests to it briefly")
	errPanic   = errors.New("asking the source panicked; the log has the stack")
	errCrowd   = errors.New("too many requests are waiting for answers about unknown credentials (limit: half of listen.max_requests)")
)

// known answers for a customer who was accepted before.
func (c *Cache) known(ctx context.Context, hash credential.Hash, e entry, caller Caller) (Decision, error) {
	now := time.Now()
	if now.Before(e.asked.Add(c.config().TTL)) {
		return e.as(Hit), nil
	}
	stale := now.Before(e.asked.Add(c.config().TTL + c.config().StaleTTL))
	switch paused := now.Before(e.retry); {
	case stale && (paused || c.sourceDown()):
		return e.as(Stale), nil
	case paused:
		return Decision{}, e.err
	}
	var enough <-chan time.Time
	if stale {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	case <-enough:
		return e.as(Stale), nil // the look-up goes on, and its answer counts
	case result := <-c.share(ctx, hash, c.customers, caller.Credential):
		if result.Err != nil && stale && !e.decision.ended(time.Now()) {
			return e.as(Stale), nil
		}
		return decided(result)
	}
}

// sourceDown says that waiting for the source is not worth it: it has
// failed too often, and the one question that shows whether that is over has
// been asked.
func (c *Cache) sourceDown() bool {
	switch c.customers.State() {
	case gobreaker.StateOpen:
		return true
	case gobreaker.StateHalfOpen:
		return c.customers.Counts().Requests > 0
	}
	return false
}

// unknown asks about somebody who is not known, if the guard lets it.
func (c *Cache) unknown(ctx context.Context, hash credential.Hash, caller Caller, last bool) (Decision, error) {
	if caller.Probe {
		return c.unguarded(ctx, hash, caller)
	}
	if c.strangers.State() == gobreaker.StateOpen {
		return Decision{}, errBreaker
	}
	defer c.waiting.Add(-1)
	if n := c.waiting.Add(1); c.config().MaxStrangers > 0 && n > int64(c.config().MaxStrangers) {
		return Decision{}, errCrowd
	}
	pass, limit := c.guard.Enter(ctx, guardCaller(hash, caller))
	switch {
	case ctx.Err() != nil && pass == nil:
		return Decision{}, ctx.Err()
	case limit != nil:
		return limited(limit), nil
	}
	result := c.share(ctx, hash, c.strangers, caller.Credential)
	select {
	case <-ctx.Done():
		// A guesser who hangs up is still a guesser.
		go func() { _, _ = settle(pass, <-result, last) }()
		return Decision{}, ctx.Err()
	case r := <-result:
		return settle(pass, r, last)
	}
}

// unguarded asks about our own made-up pulls, as about a known customer.
func (c *Cache) unguarded(ctx context.Context, hash credential.Hash, caller Caller) (Decision, error) {
	select {
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	case result := <-c.share(ctx, hash, c.customers, caller.Credential):
		return decided(result)
	}
}

// settle tells the guard how a look-up has ended. A user whom no source knows, as
// the last one says, is a guess.
func settle(pass *guard.Pass, result singleflight.Result, last bool) (Decision, error) {
	decision, err := decided(result)
	switch {
	case errors.Is(err, ErrUnreadable):
		pass.Unclear()
	case err != nil:
		pass.NoAnswer()
	case decision.Refusal == NotMine && !last:
		pass.Elsewhere()
	case decision.Refusal != "":
		pass.Refused()
	default:
		pass.Accepted(decision.Subject)
	}
	return decision, err
}

func decided(r singleflight.Result) (Decision, error) {
	if r.Err != nil {
		return Decision{}, r.Err
	}
	return r.Val.(Decision), nil
}

// share asks the source, once for all who ask at a time: with what the first one's
// context carries, but not until its end.
func (c *Cache) share(ctx context.Context, hash credential.Hash, breaker *gobreaker.CircuitBreaker[Decision], presented credential.Credential) <-chan singleflight.Result {
	return c.flights.DoChan(string(hash[:]), func() (any, error) {
		now := time.Now()
		if e, ok := c.acceptance(hash, now); ok && now.Before(e.asked.Add(c.config().TTL)) {
			return e.as(Hit), nil // it arrived since the caller looked
		}
		if e, ok := c.refusal(hash, now); ok {
			return e.as(Hit), nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpTimeout)
		defer cancel()
		decision, err := c.try(ctx, breaker, presented)
		switch {
		case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
			return nil, errBreaker
		case err != nil:
			c.noteOutage(hash, err)
			return nil, err
		}
		return c.note(hash, now, decision, presented)
	})
}

// try asks the source through a breaker. While that lets a single question
// through, to see whether an outage is over, the others wait for its answer.
func (c *Cache) try(ctx context.Context, breaker *gobreaker.CircuitBreaker[Decision], presented credential.Credential) (decision Decision, err error) {
	defer func() { // it would end the program: singleflight passes a panic on
		if r := recover(); r != nil {
			c.logger.Error("panic", "error", r, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	for range outagePause / trialPoll {
		decision, err = breaker.Execute(func() (Decision, error) { return c.source.Authenticate(ctx, presented) })
		if !errors.Is(err, gobreaker.ErrTooManyRequests) {
			break
		}
		time.Sleep(trialPoll)
	}
	return decision, err
}

// note remembers an answer of the source, asked for at a moment.
func (c *Cache) note(hash credential.Hash, asked time.Time, decision Decision, presented credential.Credential) (Decision, error) {
	before, known := c.accepted.get(hash, asked)
	if known && c.wave.renewed(before.decision.Subject, decision.Refusal != "", time.Now()) {
		c.metrics.distrusted.Inc()
		c.noteOutage(hash, errWave)
		return Decision{}, errWave
	}
	decision = c.complete(decision, asked, presented)
	made := entry{decision: decision, asked: asked, user: c.userHash(presented.User)}
	if decision.Refusal != "" {
		c.accepted.remove(hash)
		c.refused.put(hash, made)
		return decision, nil
	}
	if !c.accepted.put(hash, made) {
		c.metrics.noRoom.Inc()
	}
	return decision, nil
}

// complete adds to an answer of the source what a Cache knows: the source's name, a
// subject if there is none, and that an end that has come is a refusal.
func (c *Cache) complete(decision Decision, asked time.Time, presented credential.Credential) Decision {
	decision.Cache = Miss
	switch {
	case decision.Refusal != "":
		return decision
	case decision.ended(asked):
		return Decision{Refusal: WrongCredential, Reason: "the credential has expired", Cache: Miss}
	case decision.Subject == "":
		decision.Subject = "token:" + c.hashes.Hash("subject", presented.Secret.Reveal()).Short()
	}
	if c.name != "" {
		decision.Subject = c.name + "/" + decision.Subject
	}
	return decision
}

// noteOutage sees to it that a credential is not asked about again at once.
func (c *Cache) noteOutage(hash credential.Hash, err error) {
	pause := outagePause
	if ofGrants(err) { // the credential has just been confirmed
		pause = max(pause, c.config().TTL/4)
	}
	retry := time.Now().Add(pause)
	if !c.accepted.update(hash, func(e *entry) { e.retry, e.err = retry, err }) {
		c.failed.put(hash, entry{err: err})
	}
}

// newBreaker makes a breaker that is told of outages alone: a refusal is an
// answer, and so is one about an account that cannot be understood. It opens
// only if trips agrees.
func (c *Cache) newBreaker(of string, trips func() bool) *gobreaker.CircuitBreaker[Decision] {
	return gobreaker.NewCircuitBreaker[Decision](gobreaker.Settings{
		Name:     of,
		Interval: breakerWindow,
		Timeout:  outagePause,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return n.TotalFailures >= breakerFailures && n.TotalFailures > n.TotalSuccesses && trips()
		},
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreadable) || ofGrants(err)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			c.logger.Warn("the circuit breaker of the source changed state", "breaker", name, "from", from.String(), "to", to.String())
		},
	})
}
