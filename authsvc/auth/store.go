package auth

import (
	"container/list"
	"sync"
	"time"

	"github.com/patrickmn/go-cache"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// protectedFor is how long after its last use the entry of a licensed customer
// cannot be evicted.
const protectedFor = time.Hour

// An account's entries can take a tenth of a store, and at least smallShare. A source may
// take many spellings for the same user, and an account can have many tokens.
const accountShare, smallShare = 10, 16

// A store keeps at most size entries, each for its time to live. A new entry evicts
// the least recently used one, but never one that a customer with a license in
// force has used within protectedFor. An account that has its share evicts its own.
type store struct {
	entries *cache.Cache

	mu   sync.Mutex
	size int
	ttl  time.Duration
	// Both are in the order of their last use, the latest first.
	licensed, others list.List // of *kept
	accounts         map[string]*list.List
}

type kept struct {
	entry
	hash credential.Hash
	used time.Time
	// account is the subject of an acceptance; empty if it is none.
	account string
	// Its places in licensed or others, and among its account's entries.
	in, of *list.List
	at, by *list.Element
}

// newStore makes a store. What is past its time is swept when somebody counts;
// until then it is not found, and the first to be given up.
func newStore(size int, ttl time.Duration) *store {
	s := &store{entries: cache.New(ttl, 0), size: size, ttl: ttl, accounts: map[string]*list.List{}}
	s.entries.OnEvicted(func(_ string, v any) { s.dropped(v.(*kept)) })
	return s
}

// drop gives an entry up.
func (s *store) drop(at *list.Element) {
	hash := at.Value.(*kept).hash
	s.entries.Delete(string(hash[:]))
}

// dropped forgets the places of an entry.
func (s *store) dropped(k *kept) {
	k.in.Remove(k.at)
	if k.of.Remove(k.by); k.of.Len() == 0 {
		delete(s.accounts, k.account)
	}
}

// bound changes the size, and the time to live of what is put from now on. What no
// longer fits is evicted as entries are put.
func (s *store) bound(size int, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.ttl = size, ttl
}

// max is the size.
func (s *store) max() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries.DeleteExpired()
	return s.entries.ItemCount()
}

// get returns an entry, and notes its use.
func (s *store) get(hash credential.Hash, now time.Time) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.find(hash)
	if !ok {
		return entry{}, false
	}
	k.used = now
	k.in.MoveToFront(k.at)
	k.of.MoveToFront(k.by)
	return k.entry, true
}

// look returns an entry without noting its use.
func (s *store) look(hash credential.Hash) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.find(hash)
	if !ok {
		return entry{}, false
	}
	return k.entry, true
}

// put keeps an entry; false if there is no room for it.
func (s *store) put(hash credential.Hash, e entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.entries.Delete(string(hash[:]))
	k := &kept{entry: e, hash: hash, used: now, in: &s.others}
	if e.decision.Refusal == "" {
		k.account = e.decision.Subject
	}
	if own := s.accounts[k.account]; k.account != "" && own != nil && own.Len() >= max(smallShare, s.size/accountShare) {
		s.drop(own.Back())
	}
	for s.entries.ItemCount() >= s.size {
		if !s.makeRoom(now) {
			return false
		}
	}
	for g := range e.decision.Grants.All() {
		if g.ValidAt(now) {
			k.in = &s.licensed
			break
		}
	}
	if k.of = s.accounts[k.account]; k.of == nil {
		k.of = list.New()
		s.accounts[k.account] = k.of
	}
	k.at, k.by = k.in.PushFront(k), k.of.PushFront(k)
	s.entries.Set(string(hash[:]), k, s.ttl)
	return true
}

// update changes an entry in its place; false if there is none.
func (s *store) update(hash credential.Hash, change func(*entry)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.find(hash)
	if ok {
		change(&k.entry)
	}
	return ok
}

func (s *store) remove(hash credential.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries.Delete(string(hash[:]))
}

// all returns the entries, those that were used last first.
func (s *store) all() []kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries.DeleteExpired()
	found := make([]kept, 0, s.entries.ItemCount())
	for _, from := range [...]*list.List{&s.licensed, &s.others} {
		for at := from.Front(); at != nil; at = at.Next() {
			found = append(found, *at.Value.(*kept))
		}
	}
	return found
}

func (s *store) find(hash credential.Hash) (*kept, bool) {
	found, ok := s.entries.Get(string(hash[:]))
	if !ok {
		return nil, false
	}
	return found.(*kept), true
}

// makeRoom gives up one entry, if one may be given up.
func (s *store) makeRoom(now time.Time) bool {
	var oldest *kept
	if back := s.others.Back(); back != nil {
		oldest = back.Value.(*kept)
	}
	if back := s.licensed.Back(); back != nil {
		if k := back.Value.(*kept); now.Sub(k.used) >= protectedFor && (oldest == nil || k.used.Before(oldest.used)) {
			oldest = k
		}
	}
	if oldest == nil {
		return false
	}
	s.entries.Delete(string(oldest.hash[:]))
	return true
}
