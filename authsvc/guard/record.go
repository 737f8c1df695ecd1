package guard

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// day is how long an accepted credential is remembered at its address.
const day = 24 * time.Hour

// maxStrikes bounds what an address can be held to have guessed: beyond it one
// guesser is like another, and has lost its rank for less than two hours.
const maxStrikes = 20

// A record is what is known of an address.
type record struct {
	kind kind
	// failures are the wrong credentials, each counted once. strikes are the
	// credentials that were presented and not accepted; they decide nothing
	// but who comes first.
	failures, strikes meter
	// until is the end of a delay.
	until time.Duration
	// spent and inFlight are the look-ups.
	spent    meter
	inFlight int
	// wrong and asked are the last credentials that were refused, and that
	// made a strike.
	wrong, asked recent
	// customers are the credentials in use, the latest last.
	customers []customer
	// distinct is how many subjects they have, and stays right until a moment.
	distinct      int
	distinctUntil time.Duration
}

// A customer is a credential that was accepted.
type customer struct {
	credential, subject uint64
	at                  time.Duration
}

// knows says whether a credential was accepted within a day.
func (r *record) knows(credential uint64, now time.Duration) bool {
	i := r.find(credential)
	return i >= 0 && now-r.customers[i].at < day
}

func (r *record) find(credential uint64) int {
	return slices.IndexFunc(r.customers, func(c customer) bool { return c.credential == credential })
}

// welcome notes an accepted credential, and keeps the last most of them.
func (r *record) welcome(c customer, most int) {
	i := r.find(c.credential)
	if i < 0 || r.customers[i].subject != c.subject || c.at-r.customers[i].at >= day {
		r.distinctUntil = 0
	}
	if i < 0 && len(r.customers) >= most {
		i = 0
	}
	if i >= 0 {
		r.customers = slices.Delete(r.customers, i, i+1)
	}
	r.customers = append(r.customers, c)
}

// forget drops a credential that is no longer accepted.
func (r *record) forget(credential uint64) {
	if i := r.find(credential); i >= 0 {
		r.customers = slices.Delete(r.customers, i, i+1)
		r.distinctUntil = 0
	}
}

// subjects is how many different customers were accepted within a day.
func (r *record) subjects(now time.Duration) int {
	if now < r.distinctUntil {
		return r.distinct
	}
	r.distinct, r.distinctUntil = 0, math.MaxInt64
	for i, c := range r.customers {
		later := func(other customer) bool { return other.subject == c.subject }
		if now-c.at < day && !slices.ContainsFunc(r.customers[i+1:], later) {
			r.distinct++
			r.distinctUntil = min(r.distinctUntil, c.at+day)
		}
	}
	return r.distinct
}

// recent is the last eight credentials of a kind, by short hash, the latest
// first; 0 is none.
type recent [8]uint64

func (r *recent) has(credential uint64) bool { return slices.Contains(r[:], credential) }

// add puts a credential first, wherever it was.
func (r *recent) add(credential uint64) {
	i := slices.Index(r[:], credential)
	if i < 0 {
		i = len(r) - 1
	}
	copy(r[1:i+1], r[:i])
	r[0] = credential
}

// drop removes a credential, and says whether it was there.
func (r *recent) drop(credential uint64) bool {
	i := slices.Index(r[:], credential)
	if i < 0 {
		return false
	}
	copy(r[i:], r[i+1:])
	r[len(r)-1] = 0
	return true
}

// short is the part of the credential's keyed hash that records keep; never 0.
func (v visit) short() uint64 { return binary.BigEndian.Uint64(v.credential[:]) | 1 }

// known says whether the caller uses a credential that was accepted from its
// address within a day.
func (v visit) known(now time.Duration) bool { return v.record.knows(v.short(), now) }

// present notes that a credential was presented: a strike until it is
// accepted. One that is known, or already noted, is none.
func (v visit) present(now time.Duration, c *Config) {
	if !v.counts() || v.known(now) || v.record.wrong.has(v.short()) || v.record.asked.has(v.short()) {
		return
	}
	v.record.asked.add(v.short())
	v.record.strikes.add(now, c.Forgive, maxStrikes)
}

// withdraw takes the strike back.
func (v visit) withdraw(c *Config) {
	if v.counts() && v.record.asked.drop(v.short()) {
		v.record.strikes.back(c.Forgive, 1)
	}
}

// rank orders those who wait, the least first: how many other credentials the
// address has presented, spread over its customers. Above 0 are suspects, to
// which a credential that is known to be wrong always belongs; below 0 is one
// that is known to be right.
func (v visit) rank(now time.Duration, c *Config) int {
	switch {
	case !v.counts():
		return 0
	case v.known(now):
		return -1
	}
	n := max(v.record.strikes.level(now, c.Forgive)-1, 0) / (1 + v.record.subjects(now))
	if v.record.wrong.has(v.short()) {
		return max(n, 1)
	}
	return n
}
