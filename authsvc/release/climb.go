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
	// Key tells two sets of tags apart. It is asked for only when the graph
	// has to look.
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

	todo []uint32
	seen map[uint32]struct{} // of todo, once it is long
	// lapsed are wanted tags that had a manifest on the way, but were not seen
	// to have it lately.
	lapsed []string
}

// maxLapsed bounds the tags that are asked for again before a look through all
// of them.
const maxLapsed = 16

// reached returns a wanted tag that reaches d in a repository, "" if none is
// known, and then the tags to ask for again.
func (s *store) reached(key string, d digest, want Tags, now, since time.Time) (name string, lapsed []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return "", nil
	}
	r.used.Store(now.UnixNano())
	id := s.find(r, d)
	if id == 0 {
		return "", nil
	}
	var first [16]uint32
	c := climb{s: s, r: r, want: want, since: since.UnixNano(), todo: first[:0]}
	t := c.run(id)
	if t == nil {
		return "", c.lapsed
	}
	t.used.Store(now.UnixNano())
	return t.name, nil
}

// run climbs from a node. Whatever is met on the way up is met as a manifest:
// the bytes of a layer may happen to be those of a manifest, but who may have
// them as a layer may not for that have what they name.
func (c *climb) run(id uint32) *tag {
	for i := c.s.nodes.at(id).parents; i != 0; i = c.s.parents.at(i).next {
		c.visit(c.s.parents.at(i).of.node())
	}
	// After the parents: a blob has nothing else, and it is asked for most.
	if t := c.bound(id); t != nil {
		return t
	}
	for n := 0; n < len(c.todo); n++ {
		at := c.todo[n]
		if t := c.bound(at); t != nil {
			return t
		}
		for i := c.s.nodes.at(at).parents; i != 0; i = c.s.parents.at(i).next {
			if p := c.s.parents.at(i).of; p.as() != asBlob {
				c.visit(p.node())
			}
		}
	}
	return nil
}

// visit puts a node on the list, once.
func (c *climb) visit(id uint32) {
	switch {
	case c.seen != nil:
		if _, ok := c.seen[id]; ok {
			return
		}
		c.seen[id] = struct{}{}
	case slices.Contains(c.todo, id):
		return
	case len(c.todo) == 64:
		c.seen = make(map[uint32]struct{}, 256)
		for _, id := range c.todo {
			c.seen[id] = struct{}{}
		}
		c.seen[id] = struct{}{}
	}
	c.todo = append(c.todo, id)
}

// bound returns a wanted tag that has the node. A tag that belongs to another
// manifest (a signature's) leads on to that one.
func (c *climb) bound(id uint32) *tag {
	m := c.s.nodes.at(id).manifest
	if m == 0 {
		return nil
	}
	for i := c.s.manifests.at(m).bindings; i != 0; i = c.s.bindings.at(i).next {
		b := c.s.bindings.at(i)
		inTime := b.seen > c.since
		if c.want.Match(b.tag.name) {
			if inTime {
				return b.tag
			}
			c.lapse(b.tag.name)
			continue
		}
		if of, ok := subject(b.tag.name); ok {
			if to := c.s.find(c.r, of); to != 0 && inTime {
				c.visit(to)
			} else if to != 0 {
				c.lapse(b.tag.name)
			}
		}
	}
	return nil
}

func (c *climb) lapse(name string) {
	if len(c.lapsed) < maxLapsed && !slices.Contains(c.lapsed, name) {
		c.lapsed = append(c.lapsed, name)
	}
}
