package release_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// may says whether what was told of a tag allows a digest, fresh or because the registry
// fails, and whether the latter was certain to.
func (m *outageModel) may(repository, tag, digest string) (fresh, held bool) {
	now, t := m.clock(), m.tags[repository+":"+tag]
	if t == nil || t.refused || t.seen[digest].IsZero() {
		return false, false
	}
	seen := t.seen[digest]
	held = t.has == digest && now.Sub(m.heard) < modelStale && seen.After(m.heard.Add(-modelStale)) && !m.refusedAt[repository].After(m.confirmedAt[repository])
	return now.Sub(seen) < modelPrevious, held
}

// ask asks for a manifest by digest, or for what a tag has.
func (m *outageModel) ask() {
	repository, tag := m.repository(), m.tag()
	m.told.Lock()
	digest := ""
	if t := m.tags[repository+":"+tag]; t != nil {
		all := slices.Sorted(maps.Keys(t.seen))
		digest = all[m.random.IntN(len(all))]
	}
	m.told.Unlock()
	if digest == "" || m.random.IntN(2) == 0 {
		m.askTag(repository, tag)
		return
	}
	fresh, held := m.may(repository, tag, digest)
	found, err := m.releases.Find(m.t.Context(), repository, digest, globs{tag})
	synctest.Wait()
	m.told.Lock()
	defer m.told.Unlock()
	freshYet, heldYet := m.may(repository, tag, digest) // an answer came meanwhile
	switch {
	case found.Tag != "" && !fresh && !held && !freshYet && !heldYet:
		m.t.Errorf("%s by %s: found %v, but the registry was heard %s ago, and told %+v", repository, tag, found, m.clock().Sub(m.heard), m.tags[repository+":"+tag])
	case found.Tag == "" && err != nil && held && heldYet && !errors.Is(err, release.ErrRefused):
		m.t.Errorf("%s by %s: %v, but it holds", repository, tag, err)
	case found.Stale && fresh && freshYet:
		m.t.Errorf("%s by %s is called stale", repository, tag)
	}
	m.count(found.Stale, err)
}

// last is what was told of a tag, and whether that holds.
func (m *outageModel) last(repository, tag string) (t told, held bool) {
	m.told.Lock()
	defer m.told.Unlock()
	if known := m.tags[repository+":"+tag]; known != nil {
		t = *known
		_, held = m.may(repository, tag, t.has)
	}
	return t, held
}

// askTag asks for what a tag has: as of modelTTL ago, or what holds. The registry may
// answer late, and then either is right.
func (m *outageModel) askTag(repository, tag string) {
	before, held := m.last(repository, tag)
	pinned, err := m.releases.Pin(m.t.Context(), manifest(repository, tag))
	synctest.Wait()
	after, heldYet := m.last(repository, tag)
	recent := !after.refused && m.clock().Sub(after.seen[pinned.Digest]) <= modelTTL
	holds := held && before.has == pinned.Digest || heldYet && after.has == pinned.Digest
	switch {
	case pinned.Stale && !holds, !pinned.Stale && pinned.Digest != "" && !recent:
		m.t.Errorf("%s:%s is %v, but the registry was heard %s ago, and told %+v, then %+v", repository, tag, pinned, m.clock().Sub(m.heard), before, after)
	case err != nil && held && heldYet && m.fetched[repository+"@"+after.has] && !errors.Is(err, release.ErrRefused):
		m.t.Errorf("%s:%s: %v, but it holds", repository, tag, err)
	}
	m.count(pinned.Stale, err)
}

func (m *outageModel) count(stale bool, err error) {
	if stale {
		m.stale++
	}
	if err != nil {
		m.outages++
	}
}

// TestStaleModel: what the registry said last holds as long as it may while it fails, and
// no longer, through moved and deleted tags, restarts, and refusals.
func TestStaleModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	stale, outages := 0, 0
	for i := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			m := newOutageModel(t, seed+i)
			for range 120 {
				if m.live(); t.Failed() {
					t.Fatalf("seed %d", seed+i)
				}
			}
			stale, outages = stale+m.stale, outages+m.outages
			m.releases.Close()
		})
		if t.Failed() {
			return
		}
	}
	if stale < 50 || outages < 50 {
		t.Errorf("%d answers were stale, %d outages", stale, outages)
	}
}
