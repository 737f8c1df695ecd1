package guard

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A kind says how useful a record is. Each kind has a table of its own, in
// which the one that was not used for longest makes room. So a flood of
// addresses pushes out only others that have merely come; those that have
// failed go no faster than Config.PerSecond lets others fail; and those with
// customers make room only for others with customers.
type kind int

const (
	visitor kind = iota
	offender
	host // of customers
	kinds
)

// A ban's subject: an address, or a user at it.
type who struct {
	address netip.Addr
	user    uint64
	scope   scope
}

// A scope is what a ban covers, fit for a log and a metric's label.
type scope string

// The scopes. Spared is the mark of an address that would be banned, were it
// not for its customers; it keeps the log at one line for each such time.
const (
	byAddress scope = "address"
	byPair    scope = "pair"
	spared    scope = "spared"
)

// A pair is what is known of a user at an address.
type pair struct {
	failures meter
	until    time.Duration
}

// A book is what is remembered.
type book struct {
	addresses [kinds]*simplelru.LRU[netip.Addr, *record]
	pairs     *simplelru.LRU[who, *pair]
	bans      *simplelru.LRU[who, time.Duration] // to their ends
}

func newBook(size int) book {
	b := book{pairs: newTable[who, *pair](size), bans: newTable[who, time.Duration](size)}
	for k := range b.addresses {
		b.addresses[k] = newTable[netip.Addr, *record](size)
	}
	return b
}

func newTable[K comparable, V any](size int) *simplelru.LRU[K, V] {
	table, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // the size has been validated
	}
	return table
}

// open returns the record of an address, a new one if there is none.
func (b *book) open(address netip.Addr) *record {
	for k := range b.addresses {
		if r, ok := b.addresses[k].Get(address); ok {
			return r
		}
	}
	r := &record{}
	b.addresses[visitor].Add(address, r)
	return r
}

// file moves an open record up to a kind's table.
func (b *book) file(address netip.Addr, r *record, k kind) {
	if k > r.kind {
		b.addresses[r.kind].Remove(address)
		r.kind = k
		b.addresses[k].Add(address, r)
	}
}

// banned returns the end of a ban in force.
func (b *book) banned(w who, now time.Duration) (time.Duration, bool) {
	end, ok := b.bans.Get(w)
	if ok && end <= now {
		b.bans.Remove(w)
		return 0, false
	}
	return end, ok
}

// active counts the bans in force, and drops the others.
func (b *book) active(now time.Duration) map[scope]int {
	n := make(map[scope]int)
	for _, w := range b.bans.Keys() {
		if end, _ := b.bans.Peek(w); end <= now {
			b.bans.Remove(w)
		} else {
			n[w.scope]++
		}
	}
	return n
}

// records is how many addresses and pairs are remembered.
func (b *book) records() map[string]int {
	return map[string]int{
		"visitor": b.addresses[visitor].Len(), "offender": b.addresses[offender].Len(), "host": b.addresses[host].Len(),
		"pair": b.pairs.Len(),
	}
}
