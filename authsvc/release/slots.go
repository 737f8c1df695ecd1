package release

import (
	"context"
	"strings"
)

// slots bound what is asked of one registry, so that one that does not answer takes
// nothing from the others.
type slots struct {
	// ahead is for the tags that are learned ahead in repositories that are known,
	// and strangers for all that is asked about others: whoever invents names of
	// repositories leaves most of the registry's time to those that there are.
	ahead, strangers chan struct{}
}

// maxAhead bounds the tags of a registry that are learned ahead at once.
const maxAhead = 64

// slots returns those of a place's registry.
func (r *Releases) slots(p place) slots {
	host, _, _ := strings.Cut(p.key, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.slotsOf[host]
	if !ok {
		s = slots{ahead: make(chan struct{}, maxAhead), strangers: make(chan struct{}, max(1, r.options.Parallel/4))}
		r.slotsOf[host] = s
	}
	return s
}

// enterStranger waits for one of the places for all that is asked about repositories
// that are not known.
func (r *Releases) enterStranger(ctx context.Context, p place) (leave func(), err error) {
	strangers := r.slots(p).strangers
	select {
	case strangers <- struct{}{}:
		return func() { <-strangers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
