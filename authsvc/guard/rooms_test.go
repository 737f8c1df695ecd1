package guard_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/guard"
)

// enter must get a pass.
func (w *world) enter(c guard.Caller) *guard.Pass {
	w.t.Helper()
	pass, limit := w.Enter(context.Background(), c)
	if limit != nil {
		w.t.Fatalf("%s at %v: %v", c.User, c.Address, limit)
	}
	return pass
}

// at returns an address of its own for each i.
func at(i int) string { return fmt.Sprintf("203.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

// suspect makes an address have failed.
func (w *world) suspect(address string) {
	w.t.Helper()
	w.wants(from(address, "x", "1"), no, "pass")
	w.wants(from(address, "x", "2"), no, "pass")
}

// What each bound lets in at once: new customers, one after the other, who are
// refused or not answered yet.
func TestBoundsOnLookUps(t *testing.T) {
	one := func(int) string { return home }
	tests := []struct {
		name    string
		change  func(*guard.Config)
		address func(int) string
		answer  string // empty if it is not answered
		history string // of the addresses
		want    int
	}{
		{"in flight", func(c *guard.Config) { c.InFlight = 8 }, at, "", "", 6},
		{"in flight, suspects", func(c *guard.Config) { c.InFlight = 8 }, at, "", "suspect", 4},
		{"in flight, known", func(c *guard.Config) { c.InFlight = 8 }, at, "", "known", 8},
		{"in flight, a credential known to be wrong", func(c *guard.Config) { c.InFlight = 8 }, at, "", "wrong", 4},
		{"in flight, one typing error beside a customer", func(c *guard.Config) { c.InFlight = 8 }, at, "", "host", 6},
		{"in flight of an address", func(c *guard.Config) { c.AddressInFlight = 3 }, one, "", "", 3},
		{"refusals", func(c *guard.Config) { c.PerSecond, c.Burst = 1, 8 }, at, no, "", 6},
		{"refusals, suspects", func(c *guard.Config) { c.PerSecond, c.Burst = 1, 8 }, at, no, "suspect", 4},
		{"refusals, known", func(c *guard.Config) { c.PerSecond, c.Burst = 1, 8 }, at, no, "known", 8},
		{"refusals of an address", func(c *guard.Config) { c.AddressPerSecond, c.AddressBurst = 1, 3 }, one, no, "", 3},
		{"accepted", func(c *guard.Config) { c.PerSecond, c.Burst, c.InFlight = 1, 8, 8 }, at, "ann", "", 50},
		{"accepted from one address", func(c *guard.Config) { c.AddressPerSecond, c.AddressBurst = 1, 3 }, one, "ann", "", 50},
		{"outage", func(c *guard.Config) { c.PerSecond, c.Burst, c.AddressBurst = 1, 8, 3 }, one, outage, "", 50},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			change := func(c *guard.Config) {
				roomy(c)
				c.Wait = 0
				test.change(c)
			}
			inWorld(t, change, func(w *world) {
				for i := range 50 {
					switch test.history {
					case "suspect":
						w.suspect(at(i))
						time.Sleep(5 * time.Second) // the budgets fill again
					case "wrong":
						w.wants(from(at(i), fmt.Sprint("user", i), "secret"), no, "pass")
						time.Sleep(5 * time.Minute) // no strike is left
					case "host":
						w.Passed(from(at(i), "customer", "right"), "customer")
						w.wants(from(at(i), "x", "typo"), no, "pass")
					case "known":
						w.Passed(from(at(i), fmt.Sprint("user", i), "secret"), "ann")
					}
				}
				got := 0
				for i := range 50 {
					pass, limit := w.Enter(context.Background(), from(test.address(i), fmt.Sprint("user", i), "secret"))
					if limit != nil {
						if *limit != (guard.Limit{RetryAfter: time.Second, Reason: guard.Busy}) {
							t.Fatalf("%v", limit)
						}
						continue
					}
					got++
					if test.answer != "" {
						settle(pass, test.answer)
					}
				}
				if got != test.want {
					t.Errorf("%d let in, want %d", got, test.want)
				}
			})
		})
	}
}

// Those who wait are let in by rank and then by arrival; a full queue makes
// room for the better.
func TestCleanAddressesGoFirst(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.InFlight, c.MaxWaiting = 4, 3 }, func(w *world) {
		w.suspect("192.0.2.66")
		w.suspect("192.0.2.77")
		w.wants(from("192.0.2.77", "x", "3"), no, "pass")
		first, second := w.enter(from(home, "a", "")), w.enter(from(office, "b", ""))
		w.enter(from("192.0.2.8", "c", ""))
		var group sync.WaitGroup
		var order []string
		come := func(name, address string) {
			group.Go(func() {
				pass, limit := w.Enter(context.Background(), from(address, name, ""))
				if limit != nil {
					order = append(order, name+" is "+string(limit.Reason))
					return
				}
				order = append(order, name)
				pass.Accepted(name)
			})
			synctest.Wait()
		}
		come("worse", "192.0.2.77")
		come("bad", "192.0.2.66")
		come("clean 1", "192.0.2.1")
		come("clean 2", "192.0.2.2") // instead of "worse"
		come("worse again", "192.0.2.77")
		w.Passed(from("192.0.2.3", "known", ""), "known")
		come("known", "192.0.2.3") // into what is kept free
		first.Accepted("a")
		synctest.Wait()
		second.Accepted("b")
		group.Wait()
		if want := []string{"worse is busy", "worse again is busy", "known", "clean 1", "clean 2", "bad"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
	})
}

// Of those who have guessed, the one who guessed less goes first.
func TestLesserSuspectGoesFirst(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.InFlight = 4 }, func(w *world) {
		w.suspect("192.0.2.66")
		w.suspect("192.0.2.77")
		w.wants(from("192.0.2.77", "x", "3"), no, "pass")
		first := w.enter(from(home, "a", ""))
		w.enter(from(office, "b", ""))
		var group sync.WaitGroup
		var order []string
		for _, address := range []string{"192.0.2.77", "192.0.2.66"} {
			group.Go(func() {
				pass := w.enter(from(address, address, ""))
				order = append(order, address)
				time.Sleep(time.Millisecond)
				pass.Accepted(address)
			})
			synctest.Wait()
		}
		w.wantNumber("waiting", "", 2)
		first.Accepted("a")
		group.Wait()
		if want := []string{"192.0.2.66", "192.0.2.77"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.InFlight, c.PerSecond, c.Burst = 4, 2, 4 }, func(w *world) {
		begin := time.Now()
		held := w.enter(from(home, "a", ""))
		w.enter(from(office, "b", ""))
		w.enter(from("192.0.2.8", "b", "too"))
		w.wants(from("192.0.2.9", "c", ""), "c", "busy 1s")
		if got := time.Since(begin); got != 750*time.Millisecond {
			t.Errorf("waited %v", got)
		}
		// By a place that is given back.
		time.AfterFunc(300*time.Millisecond, func() { held.Accepted("a") })
		w.wants(from("192.0.2.9", "c", ""), "c", "pass")
		// By the caller.
		w.enter(from("192.0.2.10", "d", ""))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if pass, limit := w.Enter(ctx, from("192.0.2.11", "e", "")); pass != nil || limit.Reason != guard.Busy {
			t.Errorf("%v, %v", pass, limit)
		}
		w.wantNumber("waiting", "", 0)
		w.wantNumber("limits_total", "busy", 1) // not the one who left
	})
}

// A budget fills with time, also for those who wait already.
func TestBudgetFills(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.PerSecond, c.Burst = 2, 4 }, func(w *world) {
		w.wants(from(at(1), "a", ""), no, "pass")
		w.wants(from(at(2), "b", ""), no, "pass")
		w.wants(from(at(3), "c", ""), no, "pass")
		begin := time.Now()
		w.wants(from(at(4), "d", ""), no, "pass")
		if got := time.Since(begin); got != 500*time.Millisecond {
			t.Errorf("waited %v for a budget of two a second", got)
		}
	})
}

// Who is banned while waiting does not get in.
func TestBanReachesThoseWhoWait(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.InFlight, c.Pair = 4, guard.Threshold{Free: 1, Ban: 1} }, func(w *world) {
		first := w.enter(from(home, "ann", "1"))
		w.enter(from(office, "bob", ""))
		var group sync.WaitGroup
		group.Go(func() { w.wants(from(home, "ann", "2"), no, "ban 15m0s") })
		synctest.Wait()
		first.Refused()
		group.Wait()
	})
}

// The machines of a cluster come at once, from one address or from many.
func TestOneCredentialTakesOnePlace(t *testing.T) {
	for name, address := range map[string]func(int) string{"one address": func(int) string { return office }, "many": at} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				var group sync.WaitGroup
				for i := range 500 {
					group.Go(func() {
						pass := w.enter(from(address(i), "acme", "right"))
						time.Sleep(2 * time.Second)
						pass.Accepted("acme")
					})
				}
				synctest.Wait()
				w.wantNumber("lookups_in_flight", "", 1)
				group.Wait()
				w.wantNumber("lookups_in_flight", "", 0)
				w.wantNumber("lookups_total", "accepted", 500)
			})
		})
	}
}

// The first settlement counts: a deferred NoAnswer takes nothing back.
func TestPassIsSettledOnce(t *testing.T) {
	inWorld(t, func(c *guard.Config) { c.Pair = guard.Threshold{Free: 0, Ban: 1} }, func(w *world) {
		pass := w.enter(from(home, "ann", "wrong"))
		pass.Refused()
		pass.NoAnswer()
		pass.Accepted("ann")
		w.wants(from(home, "ann", "right"), "ann", "ban 15m0s")
		w.wantNumber("lookups_total", "", 1)
		w.wantNumber("lookups_in_flight", "", 0)
	})
}

// TestConcurrentUse is for the race detector, in real time.
func TestConcurrentUse(t *testing.T) {
	config := guard.Defaults()
	config.MaxRecords, config.Wait = 50, time.Millisecond
	w := newWorld(t, config)
	var group sync.WaitGroup
	var passes atomic.Int64
	for worker := range 8 {
		group.Go(func() {
			for i := range 500 {
				c := from(at(i%100), fmt.Sprint("user", i%7), fmt.Sprint(worker, i%13))
				if i%10 == 0 {
					w.Passed(c, "subject")
				}
				if pass, limit := w.Enter(t.Context(), c); limit == nil {
					passes.Add(1)
					settle(pass, []string{no, outage, "ann", "bob"}[i%4])
				}
			}
		})
	}
	group.Wait()
	if got := w.number("lookups_total", ""); got == 0 || got != int(passes.Load()) {
		t.Errorf("%d look-ups, want %d", got, passes.Load())
	}
	w.wantNumber("lookups_in_flight", "", 0)
	w.wantNumber("waiting", "", 0)
}
