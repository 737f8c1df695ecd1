package guard

import (
	"context"
	"slices"
	"time"
)

// retryTick is how often those who wait are looked at while nothing else
// happens: budgets fill with time.
const retryTick = 10 * time.Millisecond

var busy = &Limit{RetryAfter: time.Second, Reason: Busy}

// rooms are the look-ups under way, and those who wait for one.
type rooms struct {
	spent    meter
	inFlight int
	places   map[[32]byte]*place
	waiting  []*waiter // in the order of their arrival
	ticking  bool
}

// A place is a look-up under way. All who ask for the same credential share
// it, as they share the question to the source; so a cluster whose machines
// come at once takes one place.
type place struct {
	credential [32]byte
	record     *record // who pays; nil for nobody
	open       bool
}

// A waiter is a caller that waits for room. Either pass or limit is set before
// done is closed.
type waiter struct {
	visit visit
	done  chan struct{}
	pass  *Pass
	limit *Limit
}

// admit lets a caller in if its credential is being looked up, or if there is
// room for it.
func (g *Guard) admit(v visit) *Pass {
	p, ok := g.places[v.credential]
	if !ok {
		if !g.room(v) {
			return nil
		}
		p = g.take(v)
	}
	return &Pass{guard: g, visit: v, place: p}
}

// room says whether another look-up may begin.
func (g *Guard) room(v visit) bool {
	now, c := g.now(), g.config()
	rank := v.rank(now, c)
	if g.inFlight >= share(rank, c.InFlight) || g.spent.level(now, each(c.PerSecond)) >= share(rank, c.Burst) {
		return false
	}
	if rank < 0 || !v.counts() || g.shared(v, now) {
		return true
	}
	return v.record.inFlight < c.AddressInFlight && v.record.spent.level(now, each(c.AddressPerSecond)) < c.AddressBurst
}

// share is the part of a bound that a rank can use.
func share(rank, bound int) int {
	switch {
	case rank < 0:
		return bound
	case rank == 0:
		return bound * 3 / 4
	}
	return bound / 2
}

// each is the time that one of so many a second takes.
func each(perSecond int) time.Duration { return time.Second / time.Duration(perSecond) }

// take begins a look-up, at the expense of the caller's address.
func (g *Guard) take(v visit) *place {
	now := g.now()
	p := &place{credential: v.credential, record: v.record, open: true}
	g.places[v.credential] = p
	g.inFlight++
	g.spent.add(now, each(g.config().PerSecond), g.config().Burst)
	if p.record != nil {
		p.record.inFlight++
		p.record.spent.add(now, each(g.config().AddressPerSecond), g.config().AddressBurst)
	}
	return p
}

// release ends a look-up when the first who shared it tells of its end.
func (g *Guard) release(p *place, giveBack bool) {
	if !p.open {
		return
	}
	p.open = false
	delete(g.places, p.credential)
	g.inFlight--
	if giveBack {
		g.spent.back(each(g.config().PerSecond), 1)
	}
	if p.record != nil {
		p.record.inFlight--
		if giveBack {
			p.record.spent.back(each(g.config().AddressPerSecond), 1)
		}
	}
}

// queue lets a caller wait. If too many wait already, the last of the worst
// makes way, or the caller itself (nil).
func (g *Guard) queue(v visit) *waiter {
	if len(g.waiting) >= g.config().MaxWaiting {
		now := g.now()
		worst, rank := 0, -1
		for i, w := range g.waiting {
			if r := w.visit.rank(now, g.config()); r >= rank {
				worst, rank = i, r
			}
		}
		if rank <= v.rank(now, g.config()) {
			return nil
		}
		g.dismiss(worst, nil, busy)
	}
	w := &waiter{visit: v, done: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.tick()
	return w
}

func (g *Guard) wait(ctx context.Context, w *waiter) (*Pass, *Limit) {
	timer := time.NewTimer(g.config().Wait)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.dismiss(i, nil, busy)
	}
	return w.pass, w.limit
}

// dismiss ends a wait.
func (g *Guard) dismiss(i int, pass *Pass, limit *Limit) {
	w := g.waiting[i]
	g.waiting = slices.Delete(g.waiting, i, i+1)
	w.pass, w.limit = pass, limit
	close(w.done)
}

// pump lets in who waits and finds room now, the least rank first and then
// the first who came. Who has been banned while waiting is told so.
func (g *Guard) pump() {
	for {
		best, rank := -1, 0
		now := g.now()
		for i, w := range g.waiting {
			if r := w.visit.rank(now, g.config()); (best < 0 || r < rank) && g.fits(w.visit) {
				best, rank = i, r
			}
		}
		if best < 0 {
			return
		}
		v := g.waiting[best].visit
		if limit := g.judge(v); limit != nil {
			g.dismiss(best, nil, limit)
			continue
		}
		g.dismiss(best, g.admit(v), nil)
	}
}

// fits says whether admit would let a caller in.
func (g *Guard) fits(v visit) bool {
	_, ok := g.places[v.credential]
	return ok || g.room(v)
}

// tick pumps as long as somebody waits.
func (g *Guard) tick() {
	if g.ticking || len(g.waiting) == 0 {
		return
	}
	g.ticking = true
	time.AfterFunc(retryTick, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.ticking = false
		g.pump()
		g.tick()
	})
}
