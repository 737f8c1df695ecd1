// Package guard decides who may ask about an unknown credential, and how often, so
// that guessing costs the vendor's API next to nothing and shuts out no customer.
//
// It does two things. Wrong credentials count, by address and by (address, user),
// and lead to delays and then to a ban that ends (judge.go). And look-ups share a
// small budget, in which an address that has not guessed goes before one that has
// (rooms.go). config.go has the bounds, and why they are what they are.
//
// Customers whose credential is in package auth's cache do not come here, and
// neither do renewals of their entries, so no flood can take anything from them.
//
// What the guard remembers (book.go) is in memory, bounded by Config.MaxRecords,
// and lost in a restart. It contains no user name and no secret, only keyed hashes.
package guard

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Caller is one request with a credential that is not in the cache.
type Caller struct {
	// Address is the client's, as the proxy tells it. IPv4 counts whole, IPv6
	// by /64, which is what one customer gets. All callers without a valid
	// address share one record; like an address with many customers, it is
	// never delayed or banned as a whole.
	Address netip.Addr
	// User is the user name as typed; only a keyed hash of it is kept. Letter
	// case and outer spaces do not matter, so that they multiply no guesses.
	User string
	// Credential is a keyed hash of the source, the user, and the secret. Two
	// callers with the same value wait for the same look-up.
	Credential [32]byte
}

// A Limit says that a caller must wait: 429 with Retry-After. It is an answer,
// not an error, and it is for this caller alone: do not cache it, and do not
// give it to others who present the same credential.
type Limit struct {
	// RetryAfter is how long to wait, in whole seconds; at least one.
	RetryAfter time.Duration
	Reason     Reason
}

// A Reason is why a caller must wait, fit for a log and a metric's label.
type Reason string

// The reasons.
const (
	// Delay: the address, or the user at this address, has failed too often
	// within a short time.
	Delay Reason = "delay"
	// Ban: it went on after that.
	Ban Reason = "ban"
	// Busy: there was no room for another look-up within Config.Wait.
	Busy Reason = "busy"
)

// A Guard keeps count. It is safe for concurrent use.
type Guard struct {
	bounds  atomic.Pointer[Config]
	logger  *slog.Logger
	metrics *metrics
	start   time.Time
	seed    maphash.Seed

	mu sync.Mutex // guards the following
	book
	rooms
}

// New returns a Guard whose metrics are registered with r. The error names
// the field of the configuration that cannot be used.
func New(config Config, r prometheus.Registerer, logger *slog.Logger) (*Guard, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	g := &Guard{logger: logger, start: time.Now(), seed: maphash.MakeSeed(),
		book: newBook(config.MaxRecords), rooms: rooms{places: make(map[[32]byte]*place)}}
	g.bounds.Store(&config)
	g.metrics = newMetrics(r, g)
	return g, nil
}

// Configure changes the bounds, and forgets nothing. MaxRecords stays. The error is
// New's, and then nothing has changed.
func (g *Guard) Configure(config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config.MaxRecords = g.config().MaxRecords
	g.bounds.Store(&config)
	return nil
}

// config is the bounds in force.
func (g *Guard) config() *Config { return g.bounds.Load() }

// Enter asks whether a caller may look up its credential, and waits for room
// up to Config.Wait. It returns either a Pass, which must be settled, or a
// Limit. A caller whose context ends while it waits gets Busy.
func (g *Guard) Enter(ctx context.Context, c Caller) (*Pass, *Limit) {
	pass, limit := g.enter(ctx, c)
	if limit != nil && ctx.Err() == nil {
		g.metrics.limits.WithLabelValues(string(limit.Reason)).Inc()
	}
	return pass, limit
}

func (g *Guard) enter(ctx context.Context, c Caller) (*Pass, *Limit) {
	g.mu.Lock()
	v := g.visit(c)
	if limit := g.judge(v); limit != nil {
		g.mu.Unlock()
		return nil, limit
	}
	v.present(g.now(), g.config())
	if pass := g.admit(v); pass != nil {
		g.mu.Unlock()
		return pass, nil
	}
	w := g.queue(v)
	g.mu.Unlock()
	if w == nil {
		return nil, busy
	}
	return g.wait(ctx, w)
}

// Passed tells that the cache let a caller pass without a look-up. It is how
// the guard learns of credentials in use that were first seen elsewhere: they
// are exempt from bans, and their subjects count as customers of the address.
// It clears no failures.
func (g *Guard) Passed(c Caller, subject string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.visit(c); v.counts() {
		g.welcome(v, subject)
	}
}

// A Pass is the right to one look-up. Settle it by one of its methods when the
// look-up has ended, which may be after the caller has left: a guesser who
// hangs up early is still a guesser. The first method called counts, so that
// a deferred NoAnswer is safe.
type Pass struct {
	guard   *Guard
	visit   visit
	place   *place
	settled bool
}

// Accepted settles a look-up whose credential is right, whatever is licensed.
// It costs nothing of any budget. The subject is who the source says it is.
func (p *Pass) Accepted(subject string) {
	p.settle("accepted", func(g *Guard) []sentence {
		g.release(p.place, true)
		g.accept(p.visit, subject)
		return nil
	})
}

// Refused settles a look-up whose credential is wrong.
func (p *Pass) Refused() {
	p.settle("refused", func(g *Guard) []sentence {
		g.release(p.place, false)
		return g.refuse(p.visit)
	})
}

// NoAnswer settles a look-up that brought no answer: an outage, an open
// breaker. It costs nothing and counts for nothing, so that what bounds the
// questions to a source that fails fast is its breaker.
func (p *Pass) NoAnswer() {
	p.settle("no_answer", func(g *Guard) []sentence {
		g.release(p.place, true)
		p.visit.withdraw(g.config())
		return nil
	})
}

// Unclear settles a look-up to which the source said neither yes nor no of this
// credential alone. It costs what a refusal costs, since there may be many such
// credentials, but it is no failure.
func (p *Pass) Unclear() {
	p.settle("no_answer", func(g *Guard) []sentence {
		g.release(p.place, false)
		return nil
	})
}

// Elsewhere settles a look-up of a user that the source does not know and another
// may. It costs what a refusal costs, and is no failure and no suspicion.
func (p *Pass) Elsewhere() {
	p.settle("elsewhere", func(g *Guard) []sentence {
		g.release(p.place, false)
		p.visit.withdraw(g.config())
		return nil
	})
}

func (p *Pass) settle(result string, count func(*Guard) []sentence) {
	g := p.guard
	g.mu.Lock()
	if p.settled {
		g.mu.Unlock()
		return
	}
	p.settled = true
	if p.visit.counts() { // the record may have made room meanwhile
		p.visit.record = g.open(p.visit.address)
	}
	sentences := count(g)
	g.pump()
	g.mu.Unlock()
	g.metrics.lookUps.WithLabelValues(result).Inc()
	for _, s := range sentences { // logging may wait for a disk
		g.announce(s)
	}
}

// hash is a keyed hash of a name, for this process alone.
func (g *Guard) hash(name string) uint64 { return maphash.String(g.seed, name) }

// now is the time since the guard's start.
func (g *Guard) now() time.Duration { return time.Since(g.start) }

// A visit is a caller as the guard sees it.
type visit struct {
	address    netip.Addr // masked; the zero Addr if there is none
	user       uint64
	credential [32]byte
	record     *record // nil in a network that never counts
}

func (g *Guard) visit(c Caller) visit {
	v := visit{
		address: network(c.Address), credential: c.Credential,
		user: g.hash(strings.ToLower(strings.TrimSpace(c.User))),
	}
	for _, uncounted := range g.config().Uncounted {
		if uncounted.Contains(c.Address.Unmap().WithZone("")) {
			return v
		}
	}
	v.record = g.open(v.address)
	return v
}

// counts says whether what the caller does is counted.
func (v visit) counts() bool { return v.record != nil }

// network is what counts as one address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().Addr()
	}
	return a
}
