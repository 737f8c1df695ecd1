package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Peek answers as a Chain does, and leaves no trace: no entry in a cache or its
// order, nothing in a guard, a breaker or a metric. It is for one explanation, and
// not safe for concurrent use.
//
// The guard's limits depend on the caller's address, so a Peek leaves them out.
type Peek struct {
	Chain Chain
	// NoSecret: the customer's secret is not known, so the sources are asked
	// only what they can tell without it.
	NoSecret bool
	// Findings are what was found at each source that was looked at.
	Findings []Finding
}

// A Finding is what was found at one source.
type Finding struct {
	Source string
	How    How
	// Asked is when the source was asked for what is cached; zero for the others.
	Asked time.Time
	// Credentials is how many cached credentials of the user there are, of which
	// the latest counts; only without the secret.
	Credentials int
	// Account is the user that the source confirms for the secret, whoever was
	// typed; empty if it confirms none.
	Account  string
	Took     time.Duration
	Decision Decision
	Err      error
}

// How tells where a Finding comes from.
type How string

// The origins of a Finding.
const (
	// Cached: it is in the cache. Decision.Cache says whether it is still fresh.
	Cached How = "cache"
	// Asked: the source was asked now.
	Asked How = "asked"
	// Told: the source told the licenses without the secret.
	Told How = "licenses"
)

// ErrUntold means that nothing is known of a customer without the secret.
var ErrUntold = errors.New("nothing is cached for this user, and no source can tell the licenses without the token")

type peeking struct{}

// Peeking says whether a request to a source belongs to a Peek, which no metric
// counts.
func Peeking(ctx context.Context) bool { return ctx.Value(peeking{}) != nil }

// Authenticate says whose credential it is, as far as is known.
func (p *Peek) Authenticate(ctx context.Context, caller Caller) (Decision, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, peeking{}, true), lookUpTimeout)
	defer cancel()
	if p.NoSecret {
		return p.told(ctx, caller.User)
	}
	return p.Chain.each(caller.Credential, func(m Member, last bool) (Decision, error) {
		found := m.peek(ctx, caller)
		if last && found.Decision.Refusal == NotMine {
			found.Decision.Refusal = WrongCredential
		}
		p.Findings = append(p.Findings, found)
		return found.Decision, found.Err
	})
}

// told looks for a user without the secret: in the caches, then at the sources that
// can tell licenses, then among cached refusals.
func (p *Peek) told(ctx context.Context, user string) (Decision, error) {
	for _, look := range []func(*Cache) (Finding, bool){
		func(c *Cache) (Finding, bool) { return c.cached(c.accepted, user, c.config().TTL+c.config().StaleTTL) },
		func(c *Cache) (Finding, bool) { return c.tell(ctx, user) },
		func(c *Cache) (Finding, bool) { return c.cached(c.refused, user, c.config().RefusalTTL) },
	} {
		for _, m := range p.Chain.of(user) {
			if found, ok := look(m.Cache); ok {
				found = m.found(found, user)
				p.Findings = append(p.Findings, found)
				return found.Decision, found.Err
			}
		}
	}
	return Decision{}, ErrUntold
}

// peek is find without a trace.
func (c *Cache) peek(ctx context.Context, caller Caller) Finding {
	hash, now := c.hash(caller.Credential), time.Now()
	e, accepted := c.accepted.look(hash)
	accepted = accepted && !e.decision.ended(now)
	if accepted && now.Before(e.asked.Add(c.config().TTL)) {
		return c.found(Finding{How: Cached, Asked: e.asked, Decision: e.as(Hit)}, caller.User)
	}
	if r, ok := c.refused.look(hash); !accepted && ok && now.Before(r.asked.Add(c.config().RefusalTTL)) {
		return c.found(Finding{How: Cached, Asked: r.asked, Decision: r.as(Hit)}, caller.User)
	}
	breaker := c.strangers
	if accepted {
		breaker = c.customers
	}
	found := Finding{How: Asked, Err: errBreaker}
	if breaker.State() != gobreaker.StateOpen {
		found.Decision, found.Err = c.source.Authenticate(ctx, caller.Credential)
		found.Took = time.Since(now)
	}
	switch {
	case found.Err == nil:
		found.Decision = c.complete(found.Decision, now, caller.Credential)
	case accepted && now.Before(e.asked.Add(c.config().TTL+c.config().StaleTTL)):
		found.How, found.Asked, found.Decision, found.Err = Cached, e.asked, e.as(Stale), nil
	}
	return c.found(found, caller.User)
}

// found completes a Finding about the user that was typed.
func (c *Cache) found(f Finding, typed string) Finding {
	f.Source = c.name
	if f.Err == nil && f.Decision.Refusal == "" {
		f.Account, f.Decision = f.Decision.User, confirm(typed, f.Decision)
	}
	return f
}

// cached returns what a store has of a user that is younger than age.
func (c *Cache) cached(s *store, user string, age time.Duration) (Finding, bool) {
	hash, now := c.userHash(user), time.Now()
	of := slices.DeleteFunc(s.all(), func(k kept) bool {
		return k.user != hash && !strings.EqualFold(k.decision.User, user) || k.decision.ended(now) || !now.Before(k.asked.Add(age))
	})
	if len(of) == 0 {
		return Finding{}, false
	}
	last := slices.MaxFunc(of, func(a, b kept) int { return a.asked.Compare(b.asked) })
	state := Hit
	if last.decision.Refusal == "" && !now.Before(last.asked.Add(c.config().TTL)) {
		state = Stale
	}
	return Finding{How: Cached, Asked: last.asked, Credentials: len(of), Decision: last.as(state)}, true
}

// tell returns the licenses of a user, if the source can tell them without the
// secret. An account that it does not know has none.
func (c *Cache) tell(ctx context.Context, user string) (Finding, bool) {
	if c.licenses == nil {
		return Finding{}, false
	}
	start := time.Now()
	grants, err := c.licenses.Grants(ctx, Account{User: user})
	found := Finding{How: Told, Took: time.Since(start), Err: err, Decision: Decision{Grants: grants, User: user, Subject: user}}
	if c.name != "" {
		found.Decision.Subject = c.name + "/" + user
	}
	return found, err != nil || grants.Len() > 0
}

// userHash identifies a typed user, in any letter case.
func (c *Cache) userHash(user string) credential.Hash {
	return c.hashes.Hash("typed user", strings.ToLower(strings.TrimSpace(user)))
}
