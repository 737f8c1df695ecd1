package guard_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/guard"
)

// An attack is a minute of guesses against a vendor that answers in 20 ms, and
// what came of it.
type attack struct {
	*world
	guesses, calls atomic.Int64
	// For customers who log in for the first time, and for those who are
	// known but have lost their place in the cache: refused at the first try,
	// and refused for good after tries within two seconds.
	first, known struct{ retried, refused atomic.Int64 }
}

func (a *attack) lookUp(c guard.Caller, answer string) (time.Duration, bool) {
	pass, limit := a.Enter(context.Background(), c)
	if limit != nil {
		return limit.RetryAfter, false
	}
	a.calls.Add(1)
	time.Sleep(20 * time.Millisecond)
	settle(pass, answer)
	return 0, true
}

// logIn tries until two seconds have passed, as Retry-After says.
func (a *attack) logIn(c guard.Caller, count *struct{ retried, refused atomic.Int64 }) {
	begin := time.Now()
	for n := 0; ; n++ {
		wait, ok := a.lookUp(c, c.User)
		if ok {
			return
		}
		if n == 0 {
			count.retried.Add(1)
		}
		if time.Since(begin)+wait > 2*time.Second {
			count.refused.Add(1)
			return
		}
		time.Sleep(wait)
	}
}

// run lets 1,000 guesses a second come from so many addresses, in three phases
// of ten seconds with quiet ones between; 20 customers a second log in for the
// first time, and each of 50 known ones is asked about again twice a phase.
func (a *attack) run(addresses int) {
	for i := range 50 {
		a.lookUp(from(at(1<<20+i), fmt.Sprint("known", i), "right"), fmt.Sprint("known", i))
	}
	var group sync.WaitGroup
	for phase := range 3 {
		for ms := range 10_000 {
			i := phase*10_000 + ms
			group.Go(func() {
				a.guesses.Add(1)
				a.lookUp(from(at(1<<21+i%addresses), fmt.Sprint("user", i%100), fmt.Sprint("guess", i)), no)
			})
			if ms%50 == 25 {
				group.Go(func() { a.logIn(from(at(1<<22+i), fmt.Sprint("new", i), "right"), &a.first) })
			}
			if ms%100 == 75 {
				k := ms / 100 % 50
				group.Go(func() { a.logIn(from(at(1<<20+k), fmt.Sprint("known", k), "right"), &a.known) })
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
	}
	group.Wait()
}

// TestFigures simulates the four figures that the guard promises.
func TestFigures(t *testing.T) {
	tests := []struct {
		addresses int
		retried   bool // whether first logins may need a second try
		calls     float64
	}{
		{addresses: 1, calls: 0.01}, {addresses: 10, calls: 0.05}, {addresses: 100, retried: true, calls: 0.05},
		{addresses: 1000, retried: true, calls: 0.05}, {addresses: 10_000, retried: true, calls: 0.05},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.addresses, " addresses"), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				a := &attack{world: w}
				a.run(test.addresses)
				customers := int64(50 + 3*(200+100))
				perGuess := float64(a.calls.Load()-customers) / float64(a.guesses.Load())
				t.Logf("%.4f calls a guess; first logins: %d retried, %d refused; known: %d retried, %d refused", perGuess,
					a.first.retried.Load(), a.first.refused.Load(), a.known.retried.Load(), a.known.refused.Load())
				if a.guesses.Load() != 30_000 || perGuess > test.calls {
					t.Errorf("%.4f calls a guess, want at most %v", perGuess, test.calls)
				}
				if test.addresses > 1000 {
					return // told, not promised
				}
				if got := a.known.retried.Load(); got != 0 {
					t.Errorf("%d known customers refused", got)
				}
				if got := a.first.refused.Load(); got != 0 {
					t.Errorf("%d first logins refused within two seconds", got)
				}
				if got := a.first.retried.Load(); got != 0 && !test.retried {
					t.Errorf("%d first logins needed a second try", got)
				}
			})
		})
	}
}
