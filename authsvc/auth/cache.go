package auth

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// CacheConfig bounds a Cache in time and in size.
type CacheConfig struct {
	// TTL is how long an acceptance is not asked about again, RefusalTTL a
	// refusal. They run from the look-up, and a hit does not prolong them.
	TTL, RefusalTTL time.Duration
	// StaleTTL is how much longer an acceptance serves while the source
	// cannot be asked.
	StaleTTL time.Duration
	// MaxEntries and MaxRefusals bound the numbers kept. They are counted
	// apart, so that guessed passwords cannot push customers out.
	MaxEntries, MaxRefusals int
	// MaxStrangers is how many requests may wait at once for an answer about a
	// credential that is not known; the rest are an outage at once. They leave
	// room for those of known customers. Zero for no bound.
	MaxStrangers int
}

// Options are what a Cache is made of. All must be set.
type Options struct {
	Source  Source
	Config  CacheConfig
	Hashes  *credential.Key
	Guard   *guard.Guard
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// A Cache remembers what a source said, and decides when to ask it again.
//
// An outage is not an answer: a customer who was accepted goes on for
// StaleTTL. A refusal ends that at once. The bound from a license's withdrawal
// to the refusal is TTL plus the time that the source takes to answer; in an
// outage TTL + StaleTTL.
type Cache struct {
	source Source
	bearer bool
	config CacheConfig
	hashes *credential.Key
	guard  *guard.Guard
	logger *slog.Logger

	accepted *store
	refused  *store
	failed   *store // outages, for those who are not known
	flights  singleflight.Group
	wave     wave
	// Strangers have a breaker of their own, so that what their look-ups meet
	// never keeps a known customer from being asked about.
	customers, strangers *gobreaker.CircuitBreaker[Decision]
	metrics              *metrics
	waiting              atomic.Int64 // strangers
}

// knownFor is how long a customer is known who was accepted once. A known
// customer is asked about without the guard, which bounds what strangers cost.
const knownFor = 24 * time.Hour

// NewCache returns a Cache before a source.
func NewCache(o Options) *Cache {
	c := &Cache{
		source: o.Source, bearer: o.Source.Bearer(), config: o.Config, hashes: o.Hashes, guard: o.Guard, logger: o.Logger,
		accepted: newStore(o.Config.MaxEntries, max(knownFor, o.Config.TTL+o.Config.StaleTTL)),
		refused:  newStore(o.Config.MaxRefusals, o.Config.RefusalTTL),
		failed:   newStore(o.Config.MaxRefusals, outagePause),
	}
	c.customers = c.newBreaker("customers", func() bool { return true })
	// Somebody who has found a credential at which the source fails must not
	// shut out all who log in for the first time while it answers others.
	c.strangers = c.newBreaker("strangers", func() bool { return c.customers.Counts().TotalSuccesses == 0 })
	c.metrics = newMetrics(o.Metrics, c)
	return c
}

// Len is the number of credentials that are remembered.
func (c *Cache) Len() int { return c.accepted.len() + c.refused.len() }

// Authenticate says who presents a credential. However many callers ask about
// one at a time, the source is asked once; a caller whose context ends leaves
// alone.
func (c *Cache) Authenticate(ctx context.Context, caller Caller) (Decision, error) {
	hash := c.hash(caller.Credential)
	// Before anything is looked at: neither what passes nor how long it takes
	// must tell a banned guesser that a credential is right.
	if limit := c.guard.Banned(guardCaller(hash, caller)); limit != nil {
		return limited(limit), nil
	}
	now := time.Now()
	if e, ok := c.accepted.get(hash, now); ok {
		decision, err := c.known(ctx, hash, e, caller)
		if err != nil || decision.Refusal != "" {
			return decision, err
		}
		if decision = c.confirm(caller, decision); decision.Refusal == "" {
			c.guard.Passed(guardCaller(hash, caller), decision.Subject)
		}
		return decision, nil
	}
	if e, ok := c.refusal(hash, now); ok {
		return e.as(Hit), nil
	}
	if e, ok := c.failed.get(hash, now); ok {
		return Decision{}, e.err
	}
	decision, err := c.unknown(ctx, hash, caller)
	if err != nil || decision.Refusal != "" {
		return decision, err
	}
	return c.confirm(caller, decision), nil
}

// refusal returns a refusal that still stands.
func (c *Cache) refusal(hash credential.Hash, now time.Time) (entry, bool) {
	e, ok := c.refused.get(hash, now)
	return e, ok && now.Before(e.asked.Add(c.config.RefusalTTL))
}

// hash names a credential. An account's bearer token has one name, whoever is
// typed with it; a password is nothing without its user.
func (c *Cache) hash(presented credential.Credential) credential.Hash {
	if c.bearer {
		return c.hashes.Hash("bearer", presented.Secret.Reveal())
	}
	return c.hashes.Hash("password", presented.User, presented.Secret.Reveal())
}

// confirm compares the typed user with the one that the source confirms.
func (c *Cache) confirm(caller Caller, decision Decision) Decision {
	if decision.User != "" && !strings.EqualFold(strings.TrimSpace(decision.User), strings.TrimSpace(caller.User)) {
		return Decision{Refusal: WrongAccount, Cache: decision.Cache}
	}
	return decision
}

func guardCaller(hash credential.Hash, caller Caller) guard.Caller {
	return guard.Caller{Address: caller.Address, User: caller.User, Credential: hash}
}

// limited is what a caller is told who must wait.
func limited(limit *guard.Limit) Decision {
	refusal := TooManyGuesses
	if limit.Reason == guard.Busy {
		refusal = TooBusy
	}
	return Decision{Refusal: refusal, RetryAfter: limit.RetryAfter}
}

// An entry is a decision and the moment at which it was asked for, or an
// outage.
type entry struct {
	decision Decision
	asked    time.Time
	// retry is when a source that could not be asked is asked again; err is
	// why it could not.
	retry time.Time
	err   error
}

func (e entry) as(state CacheState) Decision {
	e.decision.Cache = state
	return e.decision
}
