package release

import (
	"cmp"
	"slices"
	"time"
)

// names returns a repository's tags, if they are known as of since or later.
func (s *store) names(key string, since time.Time) (names []string, missing, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil || r.listed == 0 || r.listed < since.UnixNano() {
		return nil, false, false
	}
	return r.names, r.missing, true
}

// checked says whether the registry was asked for a tag at since or later.
func (s *store) checked(key, name string, since time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	return r != nil && r.tags[name] != nil && r.tags[name].checked >= since.UnixNano()
}

// current returns what a tag had when it was last asked for.
func (s *store) current(key, name string) (digest, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil || r.tags[name] == nil || r.tags[name].gone {
		return digest{}, false
	}
	bindings := r.tags[name].bindings
	return s.digest(s.bindings.at(bindings[len(bindings)-1]).node), true
}

// referred says whether the referrers of a manifest were asked for at since or
// later.
func (s *store) referred(key string, subject digest, since time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.lookUp(key, subject)
	return m != nil && m.referred >= since.UnixNano()
}

// referrersOf returns what is known to refer to a manifest.
func (s *store) referrersOf(key string, subject digest) []digest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.lookUp(key, subject)
	if m == nil {
		return nil
	}
	var found []digest
	for i := m.referrers; i != 0; i = s.referrers.at(i).next {
		found = append(found, s.digest(s.referrers.at(i).node))
	}
	return found
}

// lookUp returns a manifest, nil if it is not known.
func (s *store) lookUp(key string, d digest) *manifestNode {
	r := s.repositories[key]
	if r == nil {
		return nil
	}
	id := s.find(r, d)
	if id == 0 || s.nodes.at(id).manifest == 0 {
		return nil
	}
	return s.manifests.at(s.nodes.at(id).manifest)
}

// asked notes that a customer was let through to a tag, and says whether the
// tag is to be learned: it is not known as of since or later.
func (s *store) asked(key, name string, now, since time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil || r.tags[name] == nil {
		return true
	}
	t := r.tags[name]
	t.asked.Store(now.UnixNano())
	return t.checked < since.UnixNano()
}

// missed notes that a customer was let through to a tag that could not be
// noted.
func (s *store) missed(key string, now time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.repositories[key]; r != nil {
		r.missed.Store(now.UnixNano())
	}
}

// doubtful returns the wanted tags that a customer has asked for since the
// registry was, or lately, so that the customer may have got something newer.
func (s *store) doubtful(key string, want Tags, now time.Time) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return nil
	}
	var found []string
	for name, t := range r.tags {
		asked := t.asked.Load()
		lately := asked > now.Add(-time.Minute).UnixNano() && t.checked < now.Add(-minRest).UnixNano()
		if (asked > t.checked || lately) && want.Match(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// inOrder sorts tags by the chance that what somebody asks for now is theirs:
// asked for last, not known yet, name.
func (s *store) inOrder(key string, names []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repositories[key]
	if r == nil {
		return
	}
	type rank struct{ asked, checked int64 }
	ranks := make(map[string]rank, len(names))
	for _, name := range names {
		if t := r.tags[name]; t != nil {
			ranks[name] = rank{t.asked.Load(), t.checked}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(ranks[b].asked, ranks[a].asked), cmp.Compare(ranks[a].checked, ranks[b].checked))
	})
}

// state returns what a view's completeness depends on.
func (s *store) state(key string) (generation uint64, missed int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.repositories[key]; r != nil {
		missed = r.missed.Load()
	}
	return s.generation, missed
}
