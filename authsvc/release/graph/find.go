package graph

import (
	"math"
	"slices"
	"time"
)

// Tags are the tags that a customer may pull.
type Tags interface {
	// Match says whether tag is one of them. It must always say the same: the
	// result of a search is shared.
	Match(tag string) bool
	// Key tells two sets of tags apart. It is asked for only when an answer is
	// not close at hand.
	Key() string
}

// A climb goes up from a digest to the tags that lead to it.
type climb struct {
	g     *Graph
	want  Tags
	since int64 // the moment after which a tag must have been seen to have a manifest
	// held is the same for what a tag has, and not for what it had; never for none.
	held int64
	// current leaves out what tags had before, and referrers.
	current bool
	// memo remembers how long climbs end; nil to leave it alone.
	memo *memo

	path []step
	few  []id            // the nodes that were met, while they are few
	many map[id]struct{} // and when they are not
	// subjects are the manifests to which tags that have something on the way
	// belong by their names.
	subjects       []id
	throughSubject bool // one of them was met
	// lapsed are wanted tags that had something on the way, but were not seen
	// to have it after since.
	lapsed []string
}

// A step is where a climb is: at the next of the parents of a node.
type step struct {
	next uint32 // index in Graph.parents
	// first is the step from the digest itself. Above it, edges to blobs do not
	// count: the bytes of a layer may happen to be those of a manifest, but the
	// right to a layer does not include what its bytes name.
	first bool
}

// never is later than all times.
const never = math.MaxInt64

const (
	// maxLapsed bounds the tags that are asked for again before a look through
	// all of them.
	maxLapsed = 16
	// fewNodes is how many nodes a climb meets before it needs a map for them,
	// and looks whether it is remembered where the way ends.
	fewNodes = 32
)

// Find returns a wanted tag that was seen after since to lead to a digest, and when the
// registry was last asked for it, in Unix nanoseconds. If none is known, it returns "" and
// the tags that led to it before.
func (g *Graph) Find(d Digest, want Tags, now, since time.Time) (name string, checked int64, lapsed []string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	b, lapsed := g.climb(d, want, since.UnixNano(), never, g.memo)
	if b == nil {
		return "", 0, lapsed
	}
	g.noteFound(b, now)
	return b.tag.name, b.tag.checked, nil
}

// FindHeld is Find while the registry fails: a tag also counts that was seen after held
// to have what it still had by what the registry said last.
func (g *Graph) FindHeld(d Digest, want Tags, now, since, held time.Time) (name string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	b, _ := g.climb(d, want, since.UnixNano(), held.UnixNano(), g.memo)
	if b == nil {
		return ""
	}
	g.noteFound(b, now)
	return b.tag.name
}

// noteFound notes that somebody needs a tag.
func (g *Graph) noteFound(b *binding, now time.Time) {
	b.tag.found.Store(now.UnixNano())
	g.touch(now)
}

// Peek is Find without a note that somebody needs the tag.
func (g *Graph) Peek(d Digest, want Tags, since time.Time) (name string) {
	return g.peek(d, want, since.UnixNano(), never)
}

// PeekHeld is FindHeld without that note.
func (g *Graph) PeekHeld(d Digest, want Tags, since, held time.Time) (name string) {
	return g.peek(d, want, since.UnixNano(), held.UnixNano())
}

func (g *Graph) peek(d Digest, want Tags, since, held int64) (name string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if b, _ := g.climb(d, want, since, held, nil); b != nil {
		return b.tag.name
	}
	return ""
}

// anyTag is every tag.
type anyTag struct{}

func (anyTag) Match(string) bool { return true }
func (anyTag) Key() string       { return "" }

// Holds says whether any tag leads to a digest by what the registry said last, after
// since. Ways through referrers do not count.
func (g *Graph) Holds(d Digest, since time.Time) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, ok := g.find(d)
	if !ok {
		return false
	}
	c := climb{g: g, want: anyTag{}, since: since.UnixNano(), held: never, current: true}
	return c.run(at) != nil
}

func (g *Graph) climb(d Digest, want Tags, since, held int64, memo *memo) (b *binding, lapsed []string) {
	at, ok := g.find(d)
	if !ok {
		return nil, nil
	}
	var path [8]step
	var few [fewNodes]id
	c := climb{g: g, want: want, since: since, held: held, memo: memo, path: path[:0], few: few[:0]}
	b = c.run(at)
	return b, c.lapsed
}

// run climbs from a node, depth first: most often the first way up leads to a
// wanted tag.
func (c *climb) run(from id) *binding {
	if b := c.wanted(from); b != nil {
		return b
	}
	c.path = append(c.path, step{c.g.nodes[from].parents, true})
	var long *way
	for {
		at, ok := c.next()
		var b *binding
		if ok {
			b = c.wanted(at)
		}
		switch {
		case (b != nil || !ok) && long != nil:
			c.memo.learn(c, *long, b)
			fallthrough
		case b != nil || !ok:
			return b
		case c.many != nil && long == nil && c.memo != nil:
			w := c.memo.way(c, from)
			if b, ok := c.memo.recall(c, w); ok {
				return b
			}
			long = &w
		}
	}
}

// next goes on to a node that has not been met.
func (c *climb) next() (at id, ok bool) {
	for {
		for len(c.path) > 0 {
			top := &c.path[len(c.path)-1]
			if top.next == 0 {
				c.path = c.path[:len(c.path)-1]
				continue
			}
			p := c.g.parents[top.next]
			top.next = p.next
			if c.goes(p.edge, top.first) && c.meet(p.edge.node()) {
				return p.edge.node(), true
			}
		}
		if len(c.subjects) == 0 {
			return 0, false
		}
		subject := c.subjects[len(c.subjects)-1]
		c.subjects = c.subjects[:len(c.subjects)-1]
		if c.meet(subject) {
			c.throughSubject = true
			return subject, true
		}
	}
}

// goes says whether an edge up counts.
func (c *climb) goes(e edge, first bool) bool {
	switch e.relation() {
	case asBlob:
		return first
	case asReferrer:
		return !c.current
	}
	return true
}

// meet says whether a node is met for the first time, and then goes on from
// it.
func (c *climb) meet(at id) bool {
	switch {
	case c.many != nil:
		if _, ok := c.many[at]; ok {
			return false
		}
		c.many[at] = struct{}{}
	case slices.Contains(c.few, at):
		return false
	case len(c.few) < fewNodes:
		c.few = append(c.few, at)
	default:
		c.many = make(map[id]struct{}, 8*fewNodes)
		for _, at := range append(c.few, at) {
			c.many[at] = struct{}{}
		}
	}
	c.path = append(c.path, step{next: c.g.nodes[at].parents})
	return true
}

// wanted returns the binding of a wanted tag that has the node. A tag that belongs to another
// manifest by its name, such as a signature's, leads on to that manifest.
func (c *climb) wanted(at id) *binding {
	m := c.g.manifests[at]
	if m == nil {
		return nil
	}
	for _, b := range m.bindings {
		if c.current && !c.g.current(b) {
			continue
		}
		match := c.want.Match(b.tag.name)
		var subject id
		if !match {
			d, ok := Subject(b.tag.name)
			if ok {
				subject, ok = c.g.find(d)
			}
			if !ok {
				continue
			}
		}
		switch {
		case !c.counts(b):
			c.lapse(b.tag.name)
		case match:
			return b
		default:
			c.subjects = append(c.subjects, subject)
		}
	}
	return nil
}

// counts says whether a tag was seen to have it late enough.
func (c *climb) counts(b *binding) bool {
	if b.tag.refused {
		return false
	}
	return b.seen > c.since || b.seen > c.held && c.g.current(b)
}

func (c *climb) lapse(name string) {
	if len(c.lapsed) < maxLapsed && !slices.Contains(c.lapsed, name) {
		c.lapsed = append(c.lapsed, name)
	}
}
