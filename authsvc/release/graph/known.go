package graph

import (
	"cmp"
	"slices"
	"time"
)

// Generation tells this graph from all others that a repository has had, so
// also whether something was forgotten. 0 means that nothing is known.
func (g *Graph) Generation() uint64 { return g.generation }

// Checked says whether the registry was asked for a tag at since or later.
func (g *Graph) Checked(name string, since time.Time) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := g.tags[name]
	return t != nil && !t.refused && t.checked >= since.UnixNano()
}

// Current returns what a tag had when the registry was last asked for it.
func (g *Graph) Current(name string) (Digest, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := g.tags[name]
	if t == nil || t.gone {
		return Digest{}, false
	}
	return g.digest(t.bindings[len(t.bindings)-1].node), true
}

// Last returns what a tag had by what the registry said last, also of all tags, if it
// said after since that the tag has it.
func (g *Graph) Last(name string, since time.Time) (Digest, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := g.tags[name]
	if t == nil {
		return Digest{}, false
	}
	b := t.bindings[len(t.bindings)-1]
	return g.digest(b.node), g.current(b) && b.seen > since.UnixNano()
}

// current says whether the tag still had it by what the registry said last: of the tag,
// and of all tags.
func (g *Graph) current(b *binding) bool {
	t := b.tag
	return !t.gone && !t.refused && t.bindings[len(t.bindings)-1] == b && !g.unlisted(b)
}

// unlisted says whether a later list of all tags lacks the one of a binding.
func (g *Graph) unlisted(b *binding) bool {
	if g.listed <= b.seen {
		return false
	}
	_, listed := slices.BinarySearch(g.names, b.tag.name)
	return !listed
}

// Fetched says whether a digest is that of a manifest that was fetched.
func (g *Graph) Fetched(d Digest) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, ok := g.find(d)
	m := g.manifests[at]
	return ok && m != nil && m.status == fetched
}

// Schema1 says whether a manifest is one of Docker's schema 1; known is false if it was
// not fetched.
func (g *Graph) Schema1(d Digest) (is, known bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, ok := g.find(d)
	m := g.manifests[at]
	if !ok || m == nil {
		return false, false
	}
	return m.schema == schema1, m.schema != unread
}

// Referrers returns the known referrers of a manifest, and whether the
// registry was asked for them at since or later.
func (g *Graph) Referrers(subject Digest, since time.Time) (found []Digest, asked bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, _ := g.find(subject)
	m := g.manifests[at]
	if m == nil {
		return nil, false
	}
	return g.digests(m.referrers), m.askedAt >= since.UnixNano()
}

// NoteAsked notes that a customer was let through to a tag, and says whether
// the tag should be learned: it is not known as of since or later.
func (g *Graph) NoteAsked(name string, now, since time.Time) (unknown bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t := g.tags[name]
	if t == nil {
		return true
	}
	g.touch(now)
	t.asked.Store(now.UnixNano())
	return t.checked < since.UnixNano()
}

// Missed says whether, at since or later, a customer was let through to a tag
// of which no note could be made.
func (g *Graph) Missed(since time.Time) bool { return g.missed.Load() >= since.UnixNano() }

// Doubtful returns the wanted tags to ask for again since the customer may
// have got something newer than what is known. urgent are those that a
// customer was let through to after the registry was last asked. recent are
// those that one was let through to shortly before: at since or later.
func (g *Graph) Doubtful(want Tags, since time.Time) (urgent, recent []string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for name, t := range g.tags {
		asked := t.asked.Load()
		if asked <= t.checked && asked <= since.UnixNano() || !want.Match(name) {
			continue
		}
		if asked > t.checked {
			urgent = append(urgent, name)
		} else {
			recent = append(recent, name)
		}
	}
	return urgent, recent
}

// InOrder sorts tags by the chance that what somebody asks for now is theirs:
// those that a customer was let through to last, those asked for longest ago,
// by name.
func (g *Graph) InOrder(names []string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	type rank struct{ asked, checked int64 }
	ranks := make(map[string]rank, len(names))
	for _, name := range names {
		if t := g.tags[name]; t != nil {
			ranks[name] = rank{t.asked.Load(), t.checked}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(ranks[b].asked, ranks[a].asked), cmp.Compare(ranks[a].checked, ranks[b].checked))
	})
}
