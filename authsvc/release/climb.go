package release

import (
	"slices"
	"time"
)

// Tags are the tags that a customer may pull.
type Tags interface {
	// Match says whether tag is one of them. It always says the same: the
	// result of a look is shared.
	Match(tag string) bool
	// Key tells two sets of tags apart. It is asked for only when an answer is
	// not near at hand.
	Key() string
}

// A climb goes up from a digest to the tags that reach it.
type climb struct {
	s    *store
	r    *repository
	want Tags
	// since is the moment, in Unix nanoseconds, after which a tag must have
	// been seen to have a manifest.
	since int64

	path []step
	few  []uint32            // what has been met, while that is few
	many map[uint32]struct{} // and when it is not
	// hops are the manifests to which tags that have something on the way
	// belong by their names.
	hops   []uint32
	hopped bool // one of them was met
	// lapsed are wanted tags that had something on the way, but were not seen
	// to have it lately.
	lapsed []string
}

// A step is where a climb is: the next of the parents of a node to go on to.
type step struct {
	next uint32
	// first is the step from the digest itself. Whatever is met above is met
	// as a manifest: the bytes of a layer may happen to be those of a
	// manifest, but who may have them as a layer may not for that have what
	// they name.
	first bool
}

const (
	// maxLapsed bounds the tags that are asked for again before a look through
	// all of them.
	maxLapsed = 16
	// fewNodes is how many nodes a climb meets before it looks whether an
	// earlier one has found the way. A layer can be part of thousands of
	// images.
	fewNodes = 32
)

// reached returns a wanted tag that reaches d in a repository, "" if none is
// known, and then the tags to ask for again.
func (s *store) reached(key string, d digest, want Tags, now, since time.Time) (name string, lapsed []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return "", nil
	}
	id := s.find(r, d)
	if id == 0 {
		return "", nil
	}
	var path [8]step
	var few [fewNodes]uint32
	c := climb{s: s, r: r, want: want, since: since.UnixNano(), path: path[:0], few: few[:0]}
	t := c.run(id)
	if t == nil {
		return "", c.lapsed
	}
	t.used.Store(now.UnixNano())
	return t.name, nil
}

// run climbs from a node, depth first: most often the first way up is one.
func (c *climb) run(id uint32) *tag {
	if t, _ := c.bound(id); t != nil {
		return t
	}
	c.path = append(c.path, step{c.s.nodes.at(id).parents, true})
	var known memo
	for {
		at, ok := c.next()
		if !ok {
			break
		}
		t, place := c.bound(at)
		if t != nil {
			known.learn(c, id, place)
			return t
		}
		if c.many != nil && known.key == 0 {
			known.key = c.s.memos.hash(c.want)
			if t, ok := known.recall(c, id); ok {
				return t
			}
		}
	}
	known.learn(c, id, 0)
	return nil
}

// next goes on to a node that has not been met.
func (c *climb) next() (id uint32, ok bool) {
	for {
		for len(c.path) > 0 {
			at := &c.path[len(c.path)-1]
			if at.next == 0 {
				c.path = c.path[:len(c.path)-1]
				continue
			}
			p := c.s.parents.at(at.next)
			at.next = p.next
			if (at.first || p.of.as() != asBlob) && c.meet(p.of.node()) {
				return p.of.node(), true
			}
		}
		if len(c.hops) == 0 {
			return 0, false
		}
		hop := c.hops[len(c.hops)-1]
		c.hops = c.hops[:len(c.hops)-1]
		if c.meet(hop) {
			c.hopped = true
			return hop, true
		}
	}
}

// meet says whether a node is met for the first time, and then goes on from
// it.
func (c *climb) meet(id uint32) bool {
	switch {
	case c.many != nil:
		if _, ok := c.many[id]; ok {
			return false
		}
		c.many[id] = struct{}{}
	case slices.Contains(c.few, id):
		return false
	case len(c.few) < fewNodes:
		c.few = append(c.few, id)
	default:
		c.many = make(map[uint32]struct{}, 8*fewNodes)
		for _, id := range c.few {
			c.many[id] = struct{}{}
		}
		c.many[id] = struct{}{}
	}
	c.path = append(c.path, step{next: c.s.nodes.at(id).parents})
	return true
}

// bound returns a wanted tag that has the node, and its binding. A tag that
// belongs to another manifest (a signature's) leads on to that one.
func (c *climb) bound(id uint32) (*tag, uint32) {
	m := c.s.nodes.at(id).manifest
	if m == 0 {
		return nil, 0
	}
	for i := c.s.manifests.at(m).bindings; i != 0; i = c.s.bindings.at(i).next {
		b := c.s.bindings.at(i)
		inTime := b.seen > c.since
		if c.want.Match(b.tag.name) {
			if inTime {
				return b.tag, i
			}
			c.lapse(b.tag.name)
			continue
		}
		if of, ok := subject(b.tag.name); ok {
			if to := c.s.find(c.r, of); to != 0 && inTime {
				c.hops = append(c.hops, to)
			} else if to != 0 {
				c.lapse(b.tag.name)
			}
		}
	}
	return nil, 0
}

func (c *climb) lapse(name string) {
	if len(c.lapsed) < maxLapsed && !slices.Contains(c.lapsed, name) {
		c.lapsed = append(c.lapsed, name)
	}
}
