package graph_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func parse(text string) graph.Digest {
	d, ok := graph.ParseDigest(text)
	if !ok {
		panic(text + " is no digest")
	}
	return d
}

func digest(name string) graph.Digest {
	return parse(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))))
}

func long(name string) graph.Digest {
	return parse(fmt.Sprintf("sha512:%x", sha512.Sum512([]byte(name))))
}

// glob is the tags that a pattern matches.
type glob string

func (g glob) Match(tag string) bool { ok, _ := path.Match(string(g), tag); return ok }
func (g glob) Key() string           { return string(g) }

// store is a graph.Store that a test fills.
type store struct {
	*graph.Store
	t testing.TB
}

func newStore(t testing.TB, maxDigests int) store { return store{graph.New(maxDigests), t} }

func (s store) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// put learns a tag of an image with some layers, five digests in all for three
// layers.
func (s store) put(key, tag string, when time.Time, layers ...string) {
	s.t.Helper()
	image := digest(key + ":" + tag)
	content := graph.Content{Blobs: []graph.Digest{digest("config " + key + tag)}}
	for _, layer := range layers {
		content.Blobs = append(content.Blobs, digest(layer))
	}
	s.must(s.Bind(key, tag, image, when))
	s.must(s.Learn(key, image, content))
}

// finds says by which tag a digest is found at a time.
func (s store) finds(key string, d graph.Digest, want string, when time.Time) string {
	tag, _, _ := s.Graph(key).Find(d, glob(want), when, start.Add(-time.Hour))
	return tag
}

func (s store) is(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s is found by %q, want %q", what, got, want)
	}
}

// TestLeastUsedRepository goes first, and nothing of the others goes with it.
func TestLeastUsedRepository(t *testing.T) {
	s := newStore(t, 21)
	for i, key := range []string{"a", "b", "c", "d"} {
		s.put(key, "1", at(i), "one "+key, "two "+key, "three "+key)
	}
	s.is("a's layer", s.finds("a", digest("one a"), "1", at(10)), "1")
	before := s.Graph("a").Generation()
	s.put("e", "1", at(20), "one e", "two e", "three e")
	for key, want := range map[string]string{"a": "1", "b": "", "d": "1", "e": "1"} {
		s.is(key+"'s layer", s.finds(key, digest("one "+key), "*", at(21)), want)
	}
	if s.Graph("a").Generation() != before || s.Graph("b").Generation() != 0 {
		t.Error("the generations do not tell what was forgotten")
	}
	if n := s.Size(); n > 21 {
		t.Errorf("%d digests, want 21 at most", n)
	}
}

// TestLeastUsedTags: in one repository that is too big, the tags used last
// stay, with all that they lead to.
func TestLeastUsedTags(t *testing.T) {
	s := newStore(t, 60)
	s.must(s.List("a", []string{"1.0", "2.0"}, at(0)))
	for i := range 10 {
		s.put("a", fmt.Sprint("1.", i), at(i), "base", fmt.Sprint("own ", i))
	}
	signature := digest("signature")
	s.must(s.Learn("a", signature, graph.Content{Blobs: []graph.Digest{digest("payload")}, Subject: ref(digest("a:1.0"))}))
	s.must(s.AddReferrers("a", digest("a:1.0"), []graph.Digest{signature}, at(0)))
	s.must(s.Bind("a", digest("a:1.0").SchemaTags()[1], digest("cosign"), at(0)))
	s.must(s.Learn("a", digest("cosign"), graph.Content{Blobs: []graph.Digest{digest("cosign's payload")}}))
	s.is("the oldest", s.finds("a", digest("own 0"), "1.0", at(100)), "1.0")
	s.Graph("a").NoteAsked(digest("a:1.0").SchemaTags()[1], at(101), at(0))
	before := s.Graph("a").Generation()
	for i := range 20 {
		s.put("a", fmt.Sprint("2.", i), at(50+i), "base", fmt.Sprint("new ", i))
		if n := s.Size(); n > 60 {
			t.Fatalf("%d digests, want 60 at most", n)
		}
	}
	if s.Graph("a").Generation() == before {
		t.Error("something was forgotten, and the generation is the same")
	}
	for name, want := range map[string]string{"own 0": "1.0", "payload": "1.0", "cosign's payload": "1.0", "own 1": "", "new 19": "", "base": "1.0"} {
		s.is(name, s.finds("a", digest(name), "1.*", at(200)), want)
	}
	s.is("the newest", s.finds("a", digest("new 19"), "2.*", at(200)), "2.19")
	if names, missing, ok := s.Names("a", at(0)); len(names) != 2 || missing || !ok {
		t.Errorf("the tags are %q, %t, %t", names, missing, ok)
	}
	if found, asked := s.Graph("a").Referrers(digest("a:1.0"), at(0)); len(found) != 1 || !asked {
		t.Errorf("the referrers are %v, %t", found, asked)
	}
	if missing := s.Graph("a").Unlearned(digest("a:1.0"), at(0)); len(missing) != 0 {
		t.Errorf("%v must be learned again", missing)
	}
}

func ref(d graph.Digest) *graph.Digest { return &d }

// TestTooBig: what can never fit pushes out nothing.
func TestTooBig(t *testing.T) {
	s := newStore(t, 20)
	s.put("a", "1", at(0), "a")
	content := graph.Content{}
	for i := range 30 {
		content.Blobs = append(content.Blobs, digest(fmt.Sprint("layer", i)))
	}
	if err := s.Learn("big", digest("big"), content); !errors.Is(err, graph.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	s.is("what was known", s.finds("a", digest("a"), "1", at(1)), "1")
}

// TestManyRepositories are bounded, and so are those that do not exist, which
// push out none.
func TestManyRepositories(t *testing.T) {
	s := newStore(t, 1_000_000)
	s.put("known", "1", at(0), "layer")
	for i := range 12_000 {
		s.must(s.Missing(fmt.Sprint("missing", i), at(1)))
	}
	s.is("what was known", s.finds("known", digest("layer"), "1", at(2)), "1")
	remembered := 0
	for i := range 12_000 {
		if _, missing, ok := s.Names(fmt.Sprint("missing", i), at(1)); ok && missing {
			remembered++
		}
	}
	if remembered != 10_000 {
		t.Errorf("%d missing repositories are remembered, want 10,000", remembered)
	}
	for i := range 10_500 {
		s.must(s.List(fmt.Sprint("empty", i), nil, at(10+i)))
	}
	s.is("what was used least", s.finds("known", digest("layer"), "1", at(3)), "")
	if _, _, ok := s.Names("empty10499", at(0)); !ok {
		t.Error("what was used last is forgotten")
	}
	if _, _, ok := s.Names("empty0", at(0)); ok {
		t.Error("more than 10,000 repositories are remembered")
	}
}

// TestMissing: a repository that was there is not forgotten when it goes, and
// one that comes is no longer missing.
func TestMissing(t *testing.T) {
	s := newStore(t, 100)
	s.put("a", "1", at(0), "layer")
	s.must(s.Missing("a", at(1)))
	if _, missing, ok := s.Names("a", at(1)); !missing || !ok {
		t.Errorf("missing %t, known %t", missing, ok)
	}
	s.is("what it had", s.finds("a", digest("layer"), "1", at(2)), "1")
	s.must(s.Missing("b", at(0)))
	s.must(s.List("b", []string{"1"}, at(1)))
	if names, missing, ok := s.Names("b", at(1)); len(names) != 1 || missing || !ok {
		t.Errorf("the tags are %q, missing %t, known %t", names, missing, ok)
	}
}

// TestLongDigests: sha512 digests are known like others, also after a restart
// and after something was forgotten; and not by their first half.
func TestLongDigests(t *testing.T) {
	s := newStore(t, 17)
	s.must(s.Bind("a", "1", long("index"), at(0)))
	s.must(s.Learn("a", long("index"), graph.Content{Manifests: []graph.Digest{long("image"), digest("other")}}))
	s.must(s.Learn("a", long("image"), graph.Content{Blobs: []graph.Digest{long("layer")}}))
	twin := parse("sha256:" + long("layer").String()[len("sha512:"):][:64])
	same := parse(long("layer").String()[:len("sha512:")+64] + digest("x").String()[len("sha256:"):])
	check := func(s store) {
		t.Helper()
		s.is("a layer by sha512", s.finds("a", long("layer"), "1", at(1)), "1")
		s.is("an image by sha512", s.finds("a", long("image"), "1", at(1)), "1")
		s.is("the first half as sha256", s.finds("a", twin, "1", at(1)), "")
		s.is("another with the same first half", s.finds("a", same, "1", at(1)), "")
	}
	check(s)
	file := filepath.Join(t.TempDir(), "releases")
	s.must(s.Save(file))
	other := newStore(t, 17)
	other.must(other.Load(file, at(1)))
	check(other)
	for i := range 10 {
		s.must(s.Bind("a", fmt.Sprint("old", i), digest(fmt.Sprint("old", i)), at(-i)))
	}
	s.put("a", "2", at(2), "x")
	s.is("the oldest tag", s.finds("a", digest("old9"), "old9", at(1)), "")
	check(s)
}

// TestAtTheSameTime learns, finds, forgets and saves, and finds in the end as
// many digests as it counts.
func TestAtTheSameTime(t *testing.T) {
	const maximum = 400
	s := newStore(t, maximum)
	file := filepath.Join(t.TempDir(), "releases")
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 300 {
				key, tag := fmt.Sprint((worker+i)%5), fmt.Sprint(worker, ".", i%40)
				image := digest(key + ":" + tag)
				blobs := []graph.Digest{digest("base"), digest("layer " + key + tag)}
				if err := errors.Join(s.Bind(key, tag, image, at(i)), s.Learn(key, image, graph.Content{Blobs: blobs})); err != nil {
					t.Error(err)
				}
				if tag := s.finds(key, digest("base"), "nobody's", at(i)); tag != "" {
					t.Errorf("found by %q", tag)
				}
				s.finds(key, digest("base"), "*", at(i))
				if n := s.Size(); n > maximum {
					t.Errorf("%d digests, want %d at most", n, maximum)
				}
				if i%100 == 0 {
					if err := s.Save(fmt.Sprint(file, worker)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	s.must(s.Save(file))
	again := newStore(t, 10*maximum)
	again.must(again.Load(file, at(1000)))
	if s.Size() == 0 || again.Size() != s.Size() {
		t.Errorf("%d digests are counted, and %d saved", s.Size(), again.Size())
	}
}

func TestDigest(t *testing.T) {
	for _, text := range []string{"", "sha256:", "sha256:" + "AB", "md5:00", "sha256-" + digest("x").String()[7:], digest("x").String() + "0", "sha512:" + digest("x").String()[7:]} {
		if _, ok := graph.ParseDigest(text); ok {
			t.Errorf("%q is taken for a digest", text)
		}
	}
	for _, d := range []graph.Digest{digest("x"), long("x")} {
		for _, tag := range d.SchemaTags() {
			if of, ok := graph.Subject(tag); !ok || of != d {
				t.Errorf("%s belongs to %s, %t", tag, of, ok)
			}
		}
		for _, tag := range []string{d.String(), d.SchemaTags()[0] + ".exe", d.SchemaTags()[1] + ".sig", "1.0"} {
			if of, ok := graph.Subject(tag); ok {
				t.Errorf("%s belongs to %s", tag, of)
			}
		}
	}
}
