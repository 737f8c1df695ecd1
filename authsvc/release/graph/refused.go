package graph

import "time"

// Refuse notes that the registry refused to tell what a tag has: it may be there, but
// nobody gets it. Of a repository that is not known, nothing is remembered.
func (s *Store) Refuse(key, tag string, asked time.Time) error {
	if s.Graph(key) == nothing {
		return nil
	}
	return s.change(key, 0, func(g *Graph) { g.refuse(tag, asked) })
}

func (g *Graph) refuse(name string, asked time.Time) {
	at := asked.UnixNano()
	g.refused = max(g.refused, at)
	if t := g.tags[name]; t != nil && at >= t.checked {
		t.checked, t.refused = at, true
	}
}

// Refused says whether the registry refused to tell what a tag has, and has not told what
// any has since.
func (g *Graph) Refused() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.refused > g.told
}

// NoteFailed notes that the registry failed to tell what a tag has.
func (g *Graph) NoteFailed(name string, now time.Time) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if t := g.tags[name]; t != nil {
		t.failed.Store(now.UnixNano())
	}
}

// Failed says whether the registry failed to tell what a tag has, after since.
func (g *Graph) Failed(name string, since time.Time) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := g.tags[name]
	return t != nil && t.failed.Load() > since.UnixNano()
}
