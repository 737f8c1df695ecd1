package guard

import (
	"net/netip"
	"time"
)

// judge says whether a caller must wait for the end of a ban or a delay. To
// whom it applies depends on nothing but earlier questions, so that it tells
// nothing of the credential; except that one that was accepted from this
// address within a day always passes.
func (g *Guard) judge(v visit) *Limit {
	now := g.now()
	if !v.counts() || v.known(now) {
		return nil
	}
	shared := g.shared(v, now)
	if end, ok := g.banned(who{address: v.address, scope: byAddress}, now); ok && !shared {
		return limit(Ban, end-now)
	}
	if end, ok := g.banned(v.pair(), now); ok {
		return limit(Ban, end-now)
	}
	var until time.Duration
	if p, ok := g.pairs.Get(v.pair()); ok {
		until = p.until
	}
	if !shared {
		until = max(until, v.record.until)
	}
	if until > now {
		return limit(Delay, until-now)
	}
	return nil
}

// Banned returns the Limit of a caller who is banned; nil for all others, among
// them who has used this very credential at this address within a day. Ask it
// before the cache: what passes there, and how fast, must tell a guesser nothing.
func (g *Guard) Banned(c Caller) *Limit {
	g.mu.Lock()
	limit := g.judge(g.visit(c))
	g.mu.Unlock()
	if limit == nil || limit.Reason != Ban {
		return nil
	}
	g.metrics.limits.WithLabelValues(string(Ban)).Inc()
	return limit
}

// limit rounds up to seconds, which Retry-After is in (RFC 9110, 10.2.3).
func limit(reason Reason, wait time.Duration) *Limit {
	return &Limit{Reason: reason, RetryAfter: (wait + time.Second - 1).Truncate(time.Second)}
}

func (v visit) pair() who { return who{address: v.address, user: v.user, scope: byPair} }

// shared says whether many customers are behind the caller's address, such as
// that of a NAT, or of a balancer that hides its clients; or all whose address
// is not known.
func (g *Guard) shared(v visit, now time.Duration) bool {
	return !v.address.IsValid() || v.record.subjects(now) >= g.config().SharedCustomers
}

// accept counts a right credential: it takes back the user's failures at this
// address, which were typing errors. Others' stay.
func (g *Guard) accept(v visit, subject string) {
	v.withdraw(g.config())
	if !v.counts() {
		return
	}
	v.record.wrong.drop(v.short())
	if p, ok := g.pairs.Get(v.pair()); ok {
		v.record.failures.back(g.config().Forgive, p.failures.level(g.now(), g.config().Forgive))
		g.pairs.Remove(v.pair())
	}
	g.welcome(v, subject)
}

// welcome notes a customer at an address. Twice the number that makes it
// shared is kept, for customers with several credentials.
func (g *Guard) welcome(v visit, subject string) {
	c := customer{credential: v.short(), subject: g.hash(subject), at: g.now()}
	v.record.welcome(c, 2*g.config().SharedCustomers)
	g.file(v.address, v.record, host)
}

// refuse counts a wrong credential, unless it is one of the last eight: a
// cluster that repeats an old password for days is no guesser.
func (g *Guard) refuse(v visit) []sentence {
	if !v.counts() {
		return nil
	}
	again := v.record.wrong.has(v.short())
	v.record.wrong.add(v.short())
	v.record.forget(v.short())
	g.file(v.address, v.record, offender)
	if again {
		return nil
	}
	var said []sentence
	p, ok := g.pairs.Get(v.pair())
	if !ok {
		p = &pair{}
		g.pairs.Add(v.pair(), p)
	}
	if until, ban := g.punish(&p.failures, g.config().Pair); ban {
		said = g.ban(said, v.pair())
	} else {
		p.until = max(p.until, until)
	}
	until, ban := g.punish(&v.record.failures, g.config().Address)
	switch {
	case !ban:
		v.record.until = max(v.record.until, until)
	case g.shared(v, g.now()):
		said = g.ban(said, who{address: v.address, scope: spared})
	default:
		said = g.ban(said, who{address: v.address, scope: byAddress})
	}
	return said
}

// punish counts a failure and returns when the delay for it ends, or that it
// is time for a ban, which settles the account.
func (g *Guard) punish(failures *meter, at Threshold) (until time.Duration, ban bool) {
	now := g.now()
	failures.add(now, g.config().Forgive, at.Ban)
	n := failures.level(now, g.config().Forgive)
	if n >= at.Ban {
		*failures = 0
		return 0, true
	}
	if n <= at.Free {
		return 0, false
	}
	delay := time.Second << min(n-at.Free-1, 20)
	return now + min(delay, g.config().MaxDelay), false
}

// A sentence is a ban to be announced.
type sentence struct {
	who
	customers int
}

// ban starts a ban, unless it is running.
func (g *Guard) ban(said []sentence, w who) []sentence {
	now := g.now()
	if _, running := g.banned(w, now); running {
		return said
	}
	g.bans.Add(w, now+g.config().BanFor)
	return append(said, sentence{w, g.open(w.address).subjects(now)})
}

// announce puts a ban into the metrics and the log. The user is not told:
// people paste tokens there.
func (g *Guard) announce(s sentence) {
	g.metrics.bans.WithLabelValues(string(s.scope)).Inc()
	log := g.logger.With("address", display(s.address), "customers", s.customers, "period", g.config().BanFor)
	switch s.scope {
	case byAddress:
		log.Warn("address banned: too many wrong credentials", "failures", g.config().Address.Ban)
	case byPair:
		log.Warn("one user name banned at an address: too many wrong credentials", "failures", g.config().Pair.Ban)
	case spared:
		log.Warn("too many wrong credentials from an address with many customers: only user names are banned there; "+
			"if it is a load balancer, it must pass on its clients' addresses", "failures", g.config().Address.Ban)
	}
}

// display is an address for a log.
func display(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "unknown"
	case a.Is6():
		return netip.PrefixFrom(a, 64).String()
	}
	return a.String()
}
