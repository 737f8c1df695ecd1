package auth_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
)

// TestStrangersSpendTheVendorsAPI: 8,000 guesses in 8 seconds made 8,000 calls
// to the vendor's API.
func TestStrangersSpendTheVendorsAPI(t *testing.T) {
	const guesses = 8000
	for _, addresses := range []int{1, 1000, guesses} {
		t.Run(fmt.Sprint(addresses, " addresses"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := knows("ann")
				cache := authtest.NewCache(v, settings())
				var group sync.WaitGroup
				for i := range guesses {
					guess := presented(fmt.Sprint("user", i%100), fmt.Sprint("guess", i))
					guess.Address = netip.AddrFrom4([4]byte{10, 0, byte(i % addresses >> 8), byte(i % addresses)})
					group.Go(func() {
						got, err := cache.Authenticate(t.Context(), guess)
						if err != nil || got.Refusal != auth.WrongCredential && (got.Refusal != auth.TooManyGuesses && got.Refusal != auth.TooBusy || got.RetryAfter < time.Second) {
							t.Errorf("guess %d: %+v, %v", i, got, err)
						}
					})
					time.Sleep(time.Millisecond)
				}
				group.Wait()
				if calls := v.asked.Load(); calls > guesses/20 {
					t.Errorf("%d guesses made %d calls, want at most one for 20", guesses, calls)
				}
			})
		})
	}
}

// TestGuardIsNotForProbes: our own made-up pulls are asked about while the guard turns
// strangers away, whatever the address has guessed; and they make no address an
// office.
func TestGuardIsNotForProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("probe")
		cache := authtest.NewCache(v, settings())
		guess := func(i int) auth.Decision {
			got, err := cache.Authenticate(t.Context(), presented(fmt.Sprint("user", i), fmt.Sprint("wrong", i)))
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		banned := 0
		for ; guess(banned).RetryAfter <= time.Minute; banned++ { // longer than any delay
			if banned > 1000 {
				t.Fatal("no ban")
			}
			time.Sleep(10 * time.Second)
		}
		own := presented("probe", "right")
		if got, err := cache.Authenticate(t.Context(), own); err != nil || got.Refusal != auth.TooManyGuesses {
			t.Fatalf("a stranger at a banned address: %+v, %v", got, err)
		}
		own.Probe = true
		wants(t, cache, own, "", auth.Miss)
		wants(t, cache, own, "", auth.Hit)
		wrong := presented("probe", "wrong")
		wrong.Probe = true
		wants(t, cache, wrong, auth.WrongCredential, auth.Miss)
		if got := guess(banned + 1); got.Refusal != auth.TooManyGuesses {
			t.Errorf("after a probe, a guess is told %+v", got)
		}
	})
}
