package graph

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// makeRoom forgets what was used least, so that n more digests of a repository
// fit, and some after them. Of the repository used least it forgets all, or
// the tags used least if that is enough. Meanwhile everything can be read, and
// all other repositories can change.
func (s *Store) makeRoom(key string, n int) error {
	s.trimming.Lock()
	defer s.trimming.Unlock()
	over, fits := s.over(key, n)
	if fits {
		return nil // somebody else has made room
	}
	some, few := min(s.max/4, s.max-n), 0
	if over <= 0 { // it is the repositories that are too many
		few = maxRepositories / 4
	}
	for i, v := range s.leastUsed() {
		over, fits := s.over(key, n+some)
		if fits && i >= few {
			return nil
		}
		s.forget(v, over)
	}
	if _, fits := s.over(key, n); !fits {
		return ErrFull
	}
	return nil
}

// over returns how many digests are too many for n more of a repository, and
// whether they fit.
func (s *Store) over(key string, n int) (digests int, fits bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.room + n - s.max, s.fits(key, n)
}

// A keyed is a graph and its repository's key.
type keyed struct {
	key   string
	graph *Graph
	used  int64
}

// leastUsed returns all graphs, those used least first.
func (s *Store) leastUsed() []keyed {
	s.mu.RLock()
	graphs := make([]keyed, 0, len(s.graphs))
	for key, g := range s.graphs {
		graphs = append(graphs, keyed{key, g, g.used.Load()})
	}
	s.mu.RUnlock()
	slices.SortFunc(graphs, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.used, b.used), strings.Compare(a.key, b.key))
	})
	return graphs
}

// forget forgets so many digests of a graph, or all of it if it has no more.
func (s *Store) forget(v keyed, over int) {
	g := v.graph
	g.writing.Lock()
	defer g.writing.Unlock()
	var trimmed *Graph
	if 0 < over && over < len(g.nodes) {
		trimmed = g.trimmed(len(g.nodes) - over)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room -= len(g.nodes)
	if trimmed == nil || len(trimmed.tags) == 0 {
		delete(s.graphs, v.key)
		return
	}
	s.generations++
	trimmed.generation = s.generations
	s.room += len(trimmed.nodes)
	s.graphs[v.key] = trimmed
}

// trimmed returns a copy of the graph with the tags used last, as long as what
// they lead to fits into so many digests. It needs g.writing.
func (g *Graph) trimmed(room int) *Graph {
	to := newGraph(0, g.memo)
	to.used.Store(g.used.Load())
	to.missed.Store(g.missed.Load())
	to.names, to.gone, to.listed, to.told, to.refused = g.names, g.gone, g.listed, g.told, g.refused
	w := walk{g: g, seen: map[id]bool{}, follow: toReferrers}
	for _, t := range slices.SortedFunc(maps.Values(g.tags), lastUsedFirst) {
		w.addTag(t, 0)
		var below []id
		need := 0
		w.run(func(at id, m *manifest) {
			below = append(below, at)
			if need++; m != nil {
				need += len(m.children) + len(m.referrers) + len(g.subjects(at))
			}
		})
		if len(to.nodes)+need > room {
			break
		}
		for _, at := range below {
			g.copyManifest(to, at)
		}
		g.copyTag(to, t)
	}
	return to
}

func lastUsedFirst(a, b *tag) int {
	used := func(t *tag) int64 { return max(t.found.Load(), t.asked.Load(), t.checked) }
	return cmp.Or(cmp.Compare(used(b), used(a)), strings.Compare(a.name, b.name))
}

// subjects returns the nodes that a manifest has as its subject.
func (g *Graph) subjects(at id) (found []id) {
	for i := g.nodes[at].parents; i != 0; i = g.parents[i].next {
		if e := g.parents[i].edge; e.is(asReferrer) {
			found = append(found, e.node())
		}
	}
	return found
}

func (g *Graph) copyTag(to *Graph, t *tag) {
	copied := &tag{name: t.name, checked: t.checked, gone: t.gone, refused: t.refused, use: t.use}
	for _, b := range t.bindings {
		at := to.node(g.digest(b.node))
		c := &binding{tag: copied, node: at, seen: b.seen}
		copied.bindings = append(copied.bindings, c)
		m := to.manifest(at)
		m.bindings = append(m.bindings, c)
	}
	to.tags[t.name] = copied
}

// copyManifest copies a manifest and its edges, but not what is at their ends.
func (g *Graph) copyManifest(to *Graph, from id) {
	m := g.manifests[from]
	if m == nil {
		return
	}
	same := func(at id) id { return to.node(g.digest(at)) }
	at := same(from)
	copied := to.manifest(at)
	copied.status, copied.schema, copied.notFoundAt, copied.askedAt = m.status, m.schema, m.notFoundAt, m.askedAt
	children := make([]edge, 0, len(m.children))
	for _, e := range m.children {
		children = append(children, edgeTo(same(e.node()), e.relation()))
	}
	to.adopt(at, children)
	for _, referrer := range m.referrers {
		to.addReferrer(at, same(referrer))
	}
	for _, subject := range g.subjects(from) {
		to.addReferrer(same(subject), at)
	}
}
