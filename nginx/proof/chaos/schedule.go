package main

import (
	"math/rand/v2"
	"strings"
	"time"
)

// A step is a quiet time, and then one or two faults.
type step struct {
	quiet, lasts time.Duration
	faults       []fault
}

func (s step) String() string {
	var names []string
	for _, f := range s.faults {
		names = append(names, f.name)
	}
	return strings.Join(names, " + ")
}

// shortSchedule has each fault once, in an order of the seed's.
func shortSchedule(seed uint64) []step {
	var steps []step
	for _, f := range shuffled(random(seed), everyFault) {
		steps = append(steps, step{quiet: 1500 * time.Millisecond, lasts: 1500 * time.Millisecond, faults: []fault{f}})
	}
	return steps
}

// schedule fills a time with faults, one or two at once. Each fault comes about
// equally often. After half of the time no process is restarted any more, so that a
// leak has time to show.
func schedule(seed uint64, during time.Duration) []step {
	r := random(seed)
	var steps []step
	var first, second []fault
	for total := time.Duration(0); total < during; {
		var f fault
		f, first = draw(r, first, func(f fault) bool { return total < during/2 || !f.restarts })
		s := step{quiet: between(r, 5*time.Second, 9*time.Second), lasts: between(r, 4*time.Second, 10*time.Second), faults: []fault{f}}
		if r.IntN(3) == 0 {
			f, second = draw(r, second, func(g fault) bool {
				return g.target != f.target && (total < during/2 || !g.restarts)
			})
			s.faults = append(s.faults, f)
		}
		for _, f := range s.faults {
			if f.brief {
				s.lasts = between(r, 1500*time.Millisecond, 2500*time.Millisecond)
			}
		}
		total += s.quiet + s.lasts
		steps = append(steps, s)
	}
	return steps
}

// draw takes the first card that fits from a deck, and shuffles a new one when none
// is left.
func draw(r *rand.Rand, deck []fault, fits func(fault) bool) (fault, []fault) {
	for {
		for i, f := range deck {
			if fits(f) {
				return f, append(deck[:i:i], deck[i+1:]...)
			}
		}
		deck = shuffled(r, everyFault)
	}
}

func shuffled(r *rand.Rand, faults []fault) []fault {
	deck := append([]fault(nil), faults...)
	r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
