package release

import (
	"cmp"
	"slices"
	"strings"
)

// maxRepositories bounds the repositories that are remembered. A customer may
// name any that a pattern of a license matches.
const maxRepositories = 10_000

// makeRoom sees to it that n more nodes of a repository fit, by forgetting
// what was not used for the longest time.
func (s *store) makeRoom(key string, n int) error {
	newcomer := 0
	if s.repositories[key] == nil {
		newcomer = 1
	}
	if s.nodes.len()+n <= s.max && len(s.repositories)+newcomer <= maxRepositories {
		return nil
	}
	s.compact(min(s.max*3/4, s.max-n), maxRepositories*3/4)
	if s.nodes.len()+n > s.max {
		return errFull
	}
	return nil
}

// compact makes the graph anew out of the tags that were used last, as long as
// they fit into a number of nodes and of repositories. The lists of tags go:
// they are the first to be asked for again anyway.
func (s *store) compact(nodes, repositories int) {
	type held struct {
		*tag
		key  string
		used int64
	}
	var tags []held
	for _, r := range s.repositories {
		for _, t := range r.tags {
			tags = append(tags, held{t, r.key, max(t.used.Load(), t.asked.Load(), t.checked)})
		}
	}
	slices.SortFunc(tags, func(a, b held) int {
		return cmp.Or(cmp.Compare(b.used, a.used), strings.Compare(a.key, b.key), strings.Compare(a.name, b.name))
	})
	c := copier{from: &store{seed: s.seed, graph: s.graph}, to: s, max: nodes, copied: make([]bool, s.nodes.n)}
	s.graph = newGraph()
	s.memos.slot = nil
	s.generation++
	for _, t := range tags {
		if s.repositories[t.key] == nil && len(s.repositories) >= repositories {
			continue
		}
		if !c.tag(t.key, t.tag) {
			return
		}
	}
}

// A copier copies tags and what they reach from one store to another. It stops
// when that is full, in the middle of a tag if need be: what was not copied
// whole is then unlearned, and will be learned again.
type copier struct {
	from, to *store
	max      int    // nodes
	copied   []bool // manifests, by their nodes in from
}

// tag copies a tag; false means that there is no more room.
func (c *copier) tag(key string, t *tag) bool {
	r := c.to.repository(key)
	copied := r.tag(t.name)
	copied.checked, copied.gone = t.checked, t.gone
	copied.asked.Store(t.asked.Load())
	copied.used.Store(t.used.Load())
	for _, place := range t.bindings {
		b := c.from.bindings.at(place)
		id := c.to.intern(r, c.from.digest(b.node))
		m := c.to.manifest(id)
		m.bindings = c.to.bindings.add(binding{tag: copied, node: id, next: m.bindings, seen: b.seen})
		copied.bindings = append(copied.bindings, m.bindings)
		if !c.closure(r, b.node, id) {
			return false
		}
	}
	return true
}

// A pair is a node in either store.
type pair struct{ from, to uint32 }

// closure copies what a manifest reaches.
func (c *copier) closure(r *repository, from, to uint32) bool {
	todo := []pair{{from, to}}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if c.copied[next.from] {
			continue
		}
		c.copied[next.from] = true
		more, ok := c.manifest(r, next)
		if !ok {
			return false
		}
		todo = append(todo, more...)
	}
	return true
}

// manifest copies a manifest, and returns those that it reaches.
func (c *copier) manifest(r *repository, at pair) (more []pair, ok bool) {
	m := c.from.manifest(at.from)
	needs := int(m.count)
	for i := m.referrers; i != 0; i = c.from.referrers.at(i).next {
		needs++
	}
	if c.to.nodes.len()+needs+1 > c.max {
		return nil, false
	}
	var children []related
	for i := range m.count {
		reached := *c.from.children.at(m.first + i)
		to := c.to.intern(r, c.from.digest(reached.node()))
		children = append(children, relate(to, reached.as()))
		if reached.as() == asManifest {
			more = append(more, pair{reached.node(), to})
		}
	}
	for i := m.referrers; i != 0; i = c.from.referrers.at(i).next {
		referrer := c.from.referrers.at(i).node
		to := c.to.intern(r, c.from.digest(referrer))
		c.to.refer(at.to, to)
		more = append(more, pair{referrer, to})
	}
	// What it refers to follows from its bytes, which are not read again.
	for i := c.from.nodes.at(at.from).parents; i != 0; i = c.from.parents.at(i).next {
		if p := c.from.parents.at(i).of; p.as() == asReferrer {
			c.to.refer(c.to.intern(r, c.from.digest(p.node())), at.to)
		}
	}
	c.to.adopt(at.to, children)
	copied := c.to.manifest(at.to)
	copied.state, copied.checked, copied.referred = m.state, m.checked, m.referred
	return more, true
}
