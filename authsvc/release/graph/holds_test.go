package graph_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// TestHolds compares Holds and Last with a model that tries every way down from every
// tag, also after a restart.
func TestHolds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	yes, no := 0, 0
	for i := range uint64(200) {
		w := newModel(t, seed+i)
		for range 60 {
			w.live()
		}
		stores := []store{w.store}
		if i%8 == 0 {
			file := filepath.Join(t.TempDir(), "releases")
			w.must(w.Save(file))
			restarted := newStore(t, 1000)
			restarted.must(restarted.Load(file, at(w.now)))
			stores = append(stores, restarted)
		}
		for _, s := range stores {
			for _, d := range w.digests {
				since := w.now - w.random.IntN(60)
				want := w.holds(d, since)
				if got := s.Graph("a").Holds(d, at(since)); got != want {
					t.Errorf("seed %d: %s is held: %t, want %t", seed+i, d, got, want)
				}
				if found := s.finds("a", d, "*", at(w.now)); want && found == "" {
					t.Errorf("seed %d: %s is held, but not found", seed+i, d)
				}
				if want {
					yes++
				} else {
					no++
				}
			}
			for name, tag := range w.tags {
				since := w.now - w.random.IntN(60)
				got, ok := s.Graph("a").Last(name, at(since))
				if want := w.has(name, since); ok != want || ok && got != tag.digest {
					t.Errorf("seed %d: the tag %s has %s, %t, want %s, %t", seed+i, name, got, ok, tag.digest, want)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	if yes < 100 || no < 100 {
		t.Errorf("%d are held, and %d not", yes, no)
	}
}

// A model is one repository, by a store and by plain maps.
type model struct {
	store
	random   *rand.Rand
	now      int
	digests  []graph.Digest
	tags     map[string]*modelTag
	contents map[graph.Digest]graph.Content
	known    bool // the repository
	names    []string
	listed   int
}

// A modelTag is what the registry said of a tag last.
type modelTag struct {
	digest        graph.Digest
	seen, checked int
	gone          bool
}

func newModel(t *testing.T, seed uint64) *model {
	w := &model{store: newStore(t, 1000), random: rand.New(rand.NewPCG(seed, 0)), now: 100, //nolint:gosec // repeatable
		tags: map[string]*modelTag{}, contents: map[graph.Digest]graph.Content{}, listed: -1000}
	for i := range 12 {
		w.digests = append(w.digests, digest(fmt.Sprint(i)))
	}
	w.digests[11] = long("11")
	return w
}

func (w *model) digest() graph.Digest { return w.digests[w.random.IntN(len(w.digests))] }

func (w *model) some() []graph.Digest {
	some := make([]graph.Digest, w.random.IntN(4))
	for i := range some {
		some[i] = w.digest()
	}
	return some
}

// tag is a name; some belong to a digest.
func (w *model) tag() string {
	if i := w.random.IntN(8); i < 6 {
		return fmt.Sprint("1.", i)
	}
	return w.digest().SchemaTags()[w.random.IntN(4)]
}

// live lets the registry say something, now or in an answer that is late.
func (w *model) live() {
	w.now += w.random.IntN(4)
	asked := w.now - []int{0, 0, 0, 7}[w.random.IntN(4)]
	what := w.random.IntN(10)
	defer func() { w.known = w.known || what != 3 && what != 4 }()
	switch what {
	case 0, 1, 2:
		w.bind(w.tag(), w.digest(), asked)
	case 3:
		w.unbind(w.tag(), asked)
	case 4:
		w.list(asked)
	case 5:
		w.must(w.Absent("a", w.digest(), at(asked)))
	case 6:
		w.must(w.AddReferrers("a", w.digest(), w.some(), at(asked)))
	default:
		w.learn(w.digest(), graph.Content{Manifests: w.some(), Blobs: w.some()})
	}
}

func (w *model) bind(name string, d graph.Digest, asked int) {
	w.must(w.Bind("a", name, d, at(asked)))
	old := w.tags[name]
	if old == nil || asked >= old.checked {
		w.tags[name] = &modelTag{d, asked, asked, false}
	}
}

func (w *model) unbind(name string, asked int) {
	w.must(w.Unbind("a", name, at(asked)))
	if old := w.tags[name]; old != nil && asked >= old.checked {
		old.checked, old.gone = asked, true
	}
}

// list lists some of the tags; now and then, the repository is gone.
func (w *model) list(asked int) {
	var names []string
	for name := range w.tags {
		if w.random.IntN(4) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if w.random.IntN(5) == 0 {
		names = nil
		w.must(w.Missing("a", at(asked)))
		if !w.known {
			return // that is noted elsewhere
		}
	} else {
		w.must(w.List("a", names, at(asked)))
		w.known = true
	}
	if asked >= w.listed {
		w.names, w.listed = names, asked
	}
}

func (w *model) learn(d graph.Digest, c graph.Content) {
	if w.random.IntN(3) == 0 {
		c.Subject = ref(w.digest())
	}
	w.must(w.Learn("a", d, c))
	if _, ok := w.contents[d]; !ok {
		w.contents[d] = c
	}
}

// has says whether a tag is there by what was said last.
func (w *model) has(name string, since int) bool {
	t := w.tags[name]
	return !t.gone && t.seen > since && (w.listed <= t.seen || slices.Contains(w.names, name))
}

func (w *model) holds(d graph.Digest, since int) bool {
	for name, t := range w.tags {
		if w.has(name, since) && w.leads(t.digest, d, map[graph.Digest]bool{}) {
			return true
		}
	}
	return false
}

// leads says whether a manifest leads to a digest, through none of met.
func (w *model) leads(from, to graph.Digest, met map[graph.Digest]bool) bool {
	if met[from] {
		return false
	}
	met[from] = true
	if from == to || slices.Contains(w.contents[from].Blobs, to) {
		return true
	}
	return slices.ContainsFunc(w.contents[from].Manifests, func(child graph.Digest) bool { return w.leads(child, to, met) })
}
