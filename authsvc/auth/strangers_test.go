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
