package release

import (
	"hash/maphash"
	"sync"
)

// memos remember how long climbs ended, until the store is compacted. One that
// is in the way of another is overwritten.
type memos struct {
	seed maphash.Seed
	mu   sync.Mutex
	slot []memo // allocated when the first climb is long
}

// memoSlots is how many are remembered.
const memoSlots = 1 << 15

// A memo is how a climb ended: from a node, for a set of tags.
type memo struct {
	key     uint64 // of the tags; 0 for none
	changes uint64 // the store's, then
	node    uint32
	binding uint32 // the one that it arrived at; 0 for none
}

// hash returns a key of a set of tags; never 0.
func (m *memos) hash(tags Tags) uint64 { return maphash.String(m.seed, tags.Key()) | 1 }

// at returns the slot for a node and a set of tags.
func (m *memos) at(node uint32, key uint64) *memo {
	if m.slot == nil {
		m.slot = make([]memo, memoSlots)
	}
	return &m.slot[(key>>1^uint64(node)*0x9e3779b97f4a7c15>>20)%memoSlots]
}

// recall returns what is remembered of a climb from a node for m.key. A way is
// believed only if it still is one: edges stay, and the tag and its binding are
// looked at again. That there is none is believed as long as nothing has been
// learned.
func (m *memo) recall(c *climb, node uint32) (t *tag, ok bool) {
	s := c.s
	s.memos.mu.Lock()
	known := *s.memos.at(node, m.key)
	s.memos.mu.Unlock()
	switch {
	case known.key != m.key || known.node != node:
		return nil, false
	case known.binding == 0:
		return nil, known.changes == s.changes
	}
	b := s.bindings.at(known.binding)
	return b.tag, b.seen > c.since && c.want.Match(b.tag.name)
}

// learn remembers how a climb from a node for m.key ended; nothing if it was
// short. A way by the name of a tag is not remembered, since it can lapse at
// two places, and neither is that there is none but for tags that have lapsed.
func (m *memo) learn(c *climb, node, binding uint32) {
	if m.key == 0 || c.hopped || binding == 0 && len(c.lapsed) > 0 {
		return
	}
	m.changes, m.node, m.binding = c.s.changes, node, binding
	c.s.memos.mu.Lock()
	defer c.s.memos.mu.Unlock()
	*c.s.memos.at(node, m.key) = *m
}
