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
	// TTL is how long an acceptance is cached, and RefusalTTL a refusal. They
	// run from the lookup; a hit does not extend them.
	TTL, RefusalTTL time.Duration
	// StaleTTL is how much longer an acceptance is used while the source cannot
	// be asked.
	StaleTTL time.Duration
	// MaxEntries and MaxRefusals bound the numbers kept. They are counted
	// separately, so that guessed passwords cannot evict customers.
	MaxEntries, MaxRefusals int
	// MaxStrangers bounds the requests that wait for an answer about an unknown
	// credential; any more get an outage immediately. This leaves room for known
	// customers. Zero for no bound.
	MaxStrangers int
}

// Options configure a Cache. All must be set but Name, Settings, and Licenses.
type Options struct {
	Source Source
	// Name is the source's. If there is one, it begins the subjects.
	Name string
	// Settings is a fingerprint of what the source's decisions depend on:
	// those that were made under other settings are not found.
	Settings string
	// Licenses tells the grants of an account without its secret; nil if the
	// source cannot. Only a Peek asks it.
	Licenses Licenser
	Config   CacheConfig
	Hashes   *credential.Key
	Guard    *guard.Guard
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// A Cache remembers a source's answers, and decides when to ask it again.
//
// An outage is not an answer: an accepted customer is served for StaleTTL longer.
// A refusal ends that at once. A withdrawn license is refused within TTL plus the
// time that the source takes to answer; in an outage, within TTL + StaleTTL.
type Cache struct {
	source   Source
	name     string
	settings string
	bearer   bool
	licenses Licenser
	bounds   atomic.Pointer[CacheConfig]
	hashes   *credential.Key
	guard    *guard.Guard
	logger   *slog.Logger

	accepted *store
	refused  *store
	failed   *store // outages, for those who are not known
	flights  singleflight.Group
	wave     wave
	// Strangers have their own breaker, so that their failed lookups never block
	// the renewals of known customers.
	customers, strangers *gobreaker.CircuitBreaker[Decision]
	grants               *gobreaker.CircuitBreaker[Decision] // of another source; nil without
	metrics              *metrics
	waiting              atomic.Int64 // strangers
}

// knownFor is how long an accepted customer stays known. Lookups of known customers
// bypass the guard, which limits strangers.
const knownFor = 24 * time.Hour

// NewCache returns a Cache before a source.
func NewCache(o Options) *Cache {
	c := &Cache{
		source: o.Source, name: o.Name, settings: o.Settings, bearer: o.Source.Bearer(), licenses: o.Licenses, hashes: o.Hashes, guard: o.Guard, logger: o.Logger,
		accepted: newStore(0, 0), refused: newStore(0, 0), failed: newStore(0, 0),
	}
	c.Configure(o.Config)
	c.customers = c.newBreaker("customers", func() bool { return true })
	// Anybody who finds a credential that makes the source fail must not be able
	// to block all first logins while the source still answers others.
	c.strangers = c.newBreaker("strangers", func() bool { return c.customers.Counts().TotalSuccesses == 0 })
	if l, ok := o.Source.(*licensed); ok {
		c.grants = c.newBreaker("grants", func() bool { return true })
		l.breaker = c.grants
	}
	c.metrics = newMetrics(o.Metrics, c)
	return c
}

// Configure changes the bounds, also of what is remembered already.
func (c *Cache) Configure(config CacheConfig) {
	c.bounds.Store(&config)
	c.accepted.bound(config.MaxEntries, max(knownFor, config.TTL+config.StaleTTL))
	c.refused.bound(config.MaxRefusals, config.RefusalTTL)
	c.failed.bound(config.MaxRefusals, outagePause)
}

// config is the bounds in force.
func (c *Cache) config() *CacheConfig { return c.bounds.Load() }

// Len is the number of credentials that are remembered.
func (c *Cache) Len() int { return c.accepted.len() + c.refused.len() }

// Authenticate says whose credential it is. Concurrent callers with the same
// credential share one lookup; a caller whose context ends leaves without ending
// it.
func (c *Cache) Authenticate(ctx context.Context, caller Caller) (Decision, error) {
	return c.authenticate(ctx, caller, true)
}

// authenticate is Authenticate in a chain. If no source comes after this one, last,
// then a user who is not its own is nobody's.
func (c *Cache) authenticate(ctx context.Context, caller Caller, last bool) (Decision, error) {
	decision, err := c.find(ctx, caller, last)
	if last && decision.Refusal == NotMine {
		decision.Refusal = WrongCredential
	}
	return decision, err
}

func (c *Cache) find(ctx context.Context, caller Caller, last bool) (Decision, error) {
	hash := c.hash(caller.Credential)
	// Before any lookup: neither the answer nor its timing may tell a banned
	// guesser that a credential is right.
	if limit := c.banned(hash, caller); limit != nil {
		return limited(limit), nil
	}
	now := time.Now()
	if e, ok := c.acceptance(hash, now); ok {
		decision, err := c.known(ctx, hash, e, caller)
		if err != nil || decision.Refusal != "" {
			return decision, err
		}
		if decision = confirm(caller.User, decision); decision.Refusal == "" && !caller.Probe {
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
	decision, err := c.unknown(ctx, hash, caller, last)
	if err != nil || decision.Refusal != "" {
		return decision, err
	}
	return confirm(caller.User, decision), nil
}

// knows says whether the source has accepted the credential before, and may still be
// asked, or bypassed in an outage.
func (c *Cache) knows(presented credential.Credential) bool {
	e, ok := c.accepted.look(c.hash(presented))
	return ok && !e.decision.ended(time.Now())
}

// acceptance returns what is remembered of an accepted credential, unless the source
// gave it an end that has come.
func (c *Cache) acceptance(hash credential.Hash, now time.Time) (entry, bool) {
	e, ok := c.accepted.get(hash, now)
	if ok && e.decision.ended(now) {
		c.accepted.remove(hash)
		return entry{}, false
	}
	return e, ok
}

// refusal returns a cached refusal that is still valid.
func (c *Cache) refusal(hash credential.Hash, now time.Time) (entry, bool) {
	e, ok := c.refused.get(hash, now)
	return e, ok && now.Before(e.asked.Add(c.config().RefusalTTL))
}

// hash identifies a credential at this source with these settings. A bearer token has one hash, whatever user is typed
// with it; a password's hash includes the user.
func (c *Cache) hash(presented credential.Credential) credential.Hash {
	if c.bearer {
		return c.hashes.Hash("bearer", c.settings, presented.Secret.Reveal())
	}
	return c.hashes.Hash("password", c.settings, presented.User, presented.Secret.Reveal())
}

// confirm compares the user that was typed with the one that the source confirms.
func confirm(typed string, decision Decision) Decision {
	if decision.User != "" && !strings.EqualFold(strings.TrimSpace(decision.User), strings.TrimSpace(typed)) {
		return Decision{Refusal: WrongAccount, Cache: decision.Cache}
	}
	return decision
}

// banned says whether the guard bans a caller.
func (c *Cache) banned(hash credential.Hash, caller Caller) *guard.Limit {
	if caller.Probe {
		return nil
	}
	return c.guard.Banned(guardCaller(hash, caller))
}

func guardCaller(hash credential.Hash, caller Caller) guard.Caller {
	return guard.Caller{Address: caller.Address, User: caller.User, Credential: hash}
}

// limited is the answer to a caller who must wait.
func limited(limit *guard.Limit) Decision {
	refusal := TooManyGuesses
	if limit.Reason == guard.Busy {
		refusal = TooBusy
	}
	return Decision{Refusal: refusal, RetryAfter: limit.RetryAfter}
}

// An entry is a decision and the time at which it was asked for, or an outage.
type entry struct {
	decision Decision
	asked    time.Time
	// user is a keyed hash of the user who was typed when it was asked for.
	user credential.Hash
	// retry is when a source that could not be asked is asked again; err is
	// why it could not.
	retry time.Time
	err   error
}

func (e entry) as(state CacheState) Decision {
	e.decision.Cache = state
	return e.decision
}
