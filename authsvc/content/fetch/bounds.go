package fetch

import (
	"errors"
	"sync"
)

// ErrBusy means that too much is being fetched.
var ErrBusy = errors.New("too much is being fetched")

// bounds count what asks registries.
type bounds struct {
	limits Limits

	mu        sync.Mutex
	total     int
	customers map[string]int
}

// enter counts one more for a customer, until release.
func (b *bounds) enter(subject string) (release func(), _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total >= b.limits.Total || b.customers[subject] >= b.limits.PerCustomer {
		return nil, ErrBusy
	}
	b.total++
	b.customers[subject]++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.total--
		if b.customers[subject]--; b.customers[subject] == 0 {
			delete(b.customers, subject)
		}
	}), nil
}
