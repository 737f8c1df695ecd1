package release

import "time"

// maxDepth is how deep indexes in indexes, and referrers of referrers, are
// followed from a tag. Two of either were seen in the wild.
const maxDepth = 16

// A walk goes down from tags to what they reach.
type walk struct {
	s     *store
	r     *repository
	since int64 // as in climb
	// referrers tells whether to go on to what refers to a manifest.
	referrers bool
	seen      map[uint32]bool
	level     []uint32
}

// unlearned returns what is still to be fetched below a manifest, of what it
// lists and they list: manifests that are not known yet, and those that the
// registry did not have before since.
func (s *store) unlearned(key string, root digest, since time.Time) []digest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return []digest{root}
	}
	id := s.find(r, root)
	if id == 0 {
		return []digest{root}
	}
	w := walk{s: s, r: r, seen: map[uint32]bool{id: true}, level: []uint32{id}}
	var found []digest
	w.run(func(id uint32) {
		m := s.nodes.at(id).manifest
		switch {
		case m == 0, s.manifests.at(m).state == unlearned,
			s.manifests.at(m).state == absent && s.manifests.at(m).checked < since.UnixNano():
			found = append(found, s.digest(id))
		}
	})
	return found
}

// manifestsOf returns all manifests that wanted tags reach, those that refer
// to others included. seen is the moment after which a tag must have been seen
// to have what it has.
func (s *store) manifestsOf(key string, want Tags, seen time.Time) []digest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return nil
	}
	w := walk{s: s, r: r, since: seen.UnixNano(), referrers: true, seen: map[uint32]bool{}}
	for _, t := range r.tags {
		if want.Match(t.name) {
			w.tag(t)
		}
	}
	var found []digest
	w.run(func(id uint32) { found = append(found, s.digest(id)) })
	return found
}

// run visits level by level.
func (w *walk) run(visit func(id uint32)) {
	for range maxDepth {
		level := w.level
		w.level = nil
		for _, id := range level {
			visit(id)
			w.below(id)
		}
	}
}

func (w *walk) below(id uint32) {
	m := w.s.nodes.at(id).manifest
	if m == 0 {
		return
	}
	manifest := w.s.manifests.at(m)
	for i := range manifest.count {
		if c := *w.s.children.at(manifest.first + i); c.as() == asManifest {
			w.add(c.node())
		}
	}
	if !w.referrers {
		return
	}
	for i := manifest.referrers; i != 0; i = w.s.referrers.at(i).next {
		w.add(w.s.referrers.at(i).node)
	}
	stem := w.s.digest(id).schemaTag()
	for _, suffix := range schemaSuffixes {
		if t := w.r.tags[stem+suffix]; t != nil {
			w.tag(t)
		}
	}
}

func (w *walk) tag(t *tag) {
	for _, place := range t.bindings {
		if b := w.s.bindings.at(place); b.seen > w.since {
			w.add(b.node)
		}
	}
}

func (w *walk) add(id uint32) {
	if !w.seen[id] {
		w.seen[id] = true
		w.level = append(w.level, id)
	}
}
