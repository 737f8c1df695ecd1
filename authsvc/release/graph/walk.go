package graph

import "time"

// MaxDepth is how deep indexes in indexes, and referrers of referrers, are
// followed from a tag. Two of either were seen in the wild.
const MaxDepth = 16

// A walk goes down from manifests, level by level, as far as follow leads.
type walk struct {
	g      *Graph
	seen   map[id]bool
	level  []id
	follow func(w *walk, at id, m *manifest)
}

// run visits each manifest once, those that are not known included.
func (w *walk) run(visit func(at id, m *manifest)) {
	for range MaxDepth {
		level := w.level
		w.level = nil
		for _, at := range level {
			m := w.g.manifests[at]
			visit(at, m)
			if m != nil {
				w.follow(w, at, m)
			}
		}
	}
}

func (w *walk) add(at id) {
	if !w.seen[at] {
		w.seen[at] = true
		w.level = append(w.level, at)
	}
}

// addTag adds what a tag was seen to have after since.
func (w *walk) addTag(t *tag, since int64) {
	for _, b := range t.bindings {
		if b.seen > since {
			w.add(b.node)
		}
	}
}

// toListed follows an index to the manifests that it lists.
func toListed(w *walk, _ id, m *manifest) {
	for _, e := range m.children {
		if e.is(asManifest) {
			w.add(e.node())
		}
	}
}

// toReferrers follows a manifest to those that it lists and to those that have
// it as their subject.
func toReferrers(w *walk, at id, m *manifest) {
	toListed(w, at, m)
	for _, from := range m.referrers {
		w.add(from)
	}
}

// Unlearned returns what is to be fetched at and below a manifest, of what it
// lists and those list: manifests that are not known yet, and those that the
// registry did not have before since.
func (g *Graph) Unlearned(root Digest, since time.Time) (found []Digest) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, ok := g.find(root)
	if !ok {
		return []Digest{root}
	}
	w := walk{g: g, seen: map[id]bool{}, follow: toListed}
	w.add(at)
	w.run(func(at id, m *manifest) {
		if m == nil || m.status == named || m.status == absent && m.notFoundAt < since.UnixNano() {
			found = append(found, g.digest(at))
		}
	})
	return found
}

// Manifests returns all manifests that wanted tags lead to, referrers
// included. seen is the moment after which a tag must have been seen to have
// what it has.
func (g *Graph) Manifests(want Tags, seen time.Time) (found []Digest) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	since := seen.UnixNano()
	w := walk{g: g, seen: map[id]bool{}, follow: func(w *walk, at id, m *manifest) {
		toReferrers(w, at, m)
		for _, name := range g.digest(at).SchemaTags() {
			if t := g.tags[name]; t != nil {
				w.addTag(t, since)
			}
		}
	}}
	for name, t := range g.tags {
		if want.Match(name) {
			w.addTag(t, since)
		}
	}
	w.run(func(at id, _ *manifest) { found = append(found, g.digest(at)) })
	return found
}
