package auth

import (
	"sync"
	"time"

	"github.com/patrickmn/go-cache"
)

// sweepInterval is how often the memory of entries past their time is given
// back. Whether an entry still counts is not decided here, but by the Cache
// and its clock.
const sweepInterval = time.Minute

// A store keeps at most as many entries as its ring has slots. A new one takes
// the slot of the one that came first.
type store struct {
	entries *cache.Cache

	mu   sync.Mutex
	ring []string // keys in the order in which they came
	next int      // the slot to take
}

// A kept entry knows its slot, since its key may have had another before.
type kept struct {
	entry
	slot int
}

func newStore(size int, ttl time.Duration) *store {
	return &store{entries: cache.New(ttl, sweepInterval), ring: make([]string, size)}
}

func (s *store) len() int { return s.entries.ItemCount() }

func (s *store) get(key string) (entry, bool) {
	found, ok := s.entries.Get(key)
	if !ok {
		return entry{}, false
	}
	return found.(*kept).entry, true
}

func (s *store) put(key string, e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.entries.Get(key); ok {
		s.entries.SetDefault(key, &kept{e, found.(*kept).slot})
		return
	}
	// One that is past its time is not found, but still there.
	if first, ok := s.entries.Get(s.ring[s.next]); !ok || first.(*kept).slot == s.next {
		s.entries.Delete(s.ring[s.next])
	}
	s.ring[s.next] = key
	s.entries.SetDefault(key, &kept{e, s.next})
	s.next = (s.next + 1) % len(s.ring)
}

func (s *store) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries.Delete(key)
}
