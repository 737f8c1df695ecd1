package graph_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// fileOf is a file of a version with one line, and with the right sum if it is whole.
func fileOf(version int, line string, whole bool) string {
	text := fmt.Sprintf(`{"pullgate":"releases","version":%d}`+"\n%s\n", version, line)
	sum := sha256.Sum256([]byte(text))
	if !whole {
		sum[0]++
	}
	return fmt.Sprintf("%s%x\n", text, sum)
}

// FuzzFile: whatever a file holds, nothing panics, and without the right sum
// nothing is believed.
func FuzzFile(f *testing.F) {
	x, y := digest("x").String(), digest("y").String()
	f.Add(`{"repository":"h/a","tag":"1.0","had":[{"digest":"` + x + `","seen":1}]}`)
	f.Add(`{"repository":"h/a","manifest":"` + x + `","manifests":["` + x + `"],"blobs":["` + y + `"]}`)
	f.Add(`{"repository":"h/a","subject":"` + x + `","referrers":["` + x + `"]}`)
	f.Add(`{"repository":"h/a","tag":"1.0","gone":-1}`)
	f.Add(`{"repository":"h/a","manifest":"` + x + `","schema":1}`)
	f.Add(`{"repository":"h/a","manifest":"` + x + `","schema":-1}`)
	f.Add(`{"host":"h","registry":"main","heard":1}`)
	f.Add(`{"host":"h","heard":-9223372036854775808}`)
	f.Add(`{"repository":"h/a","tag":"1.0","had":[{"digest":"` + x + `","seen":1}],"refused":9223372036854775807}`)
	f.Add(`{"repository":"h/a","refused":1}`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, version := range []int{1, 2, 3} {
			for _, whole := range []bool{true, false} {
				file := filepath.Join(t.TempDir(), "releases")
				if err := os.WriteFile(file, []byte(fileOf(version, line, whole)), 0o600); err != nil {
					t.Fatal(err)
				}
				s, now := graph.New(100), time.Now()
				if err := s.Load(file, now); !whole && (err == nil || s.Size() != 0) {
					t.Errorf("believed without a sum: %q, %v", line, err)
				}
				if s.HeardSince(now) {
					t.Errorf("a registry was heard after now: %q", line)
				}
				if err := s.Save(file); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

const appliance = "registry.example.com/acme/appliance"

// TestVersion1: a file of the version before is read. What it knows stays, and what kind
// its manifests are has to be asked, also after it was saved again.
func TestVersion1(t *testing.T) {
	file := "testdata/releases.version1"
	for _, what := range []string{"as it was", "saved again"} {
		s := newStore(t, 100)
		s.must(s.Load(file, at(100)))
		for name, want := range map[string]string{"index 1": "latest", "layer 1": "latest", "layer 2": "latest", "sbom's layer": "latest", "layer 3": "gone", "layer 4": ""} {
			s.is(what+": "+name, s.finds(appliance, digest(name), "*", at(100)), want)
		}
		g := s.Graph(appliance)
		for name, want := range map[string]bool{"index 2": true, "layer 2": true, "layer 1": false, "image 3": false, "sbom": false} {
			if g.Holds(digest(name), at(59)) != want {
				t.Errorf("%s: %s is held: %t", what, name, !want)
			}
		}
		if d, ok := g.Last("latest", at(59)); !ok || d != digest("index 2") {
			t.Errorf("%s: the tag has %s, %t", what, d, ok)
		}
		for _, d := range []graph.Digest{digest("index 2"), digest("image 1"), long("image 2")} {
			if _, known := g.Schema1(d); known || !g.Fetched(d) {
				t.Errorf("%s: the kind of %s is known: %t", what, d, known)
			}
		}
		file = filepath.Join(t.TempDir(), "releases")
		s.must(s.Save(file))
	}
}

// TestVersion2: a file of the version before is read. A registry was heard when it said
// what a tag has, at the latest; its name is not known.
func TestVersion2(t *testing.T) {
	s := newStore(t, 100)
	s.must(s.Load("testdata/releases.version2", at(100)))
	s.is("layer 1", s.finds(appliance, digest("layer 1"), "*", at(100)), "latest")
	s.is("layer 5", s.finds(appliance, digest("layer 5"), "*", at(100)), "2.0")
	for name, want := range map[string]bool{"image 1": true, "index 2": false, "image 4": false} {
		if is, known := s.Graph(appliance).Schema1(digest(name)); is != want || !known {
			t.Errorf("%s is of schema 1: %t, known %t", name, is, known)
		}
	}
	heard, failing := s.LastHeard("registry.example.com")
	if !heard.Equal(at(90)) || failing {
		t.Errorf("heard %s, failing: %t", heard, failing)
	}
	if host, ok := s.Host("main"); ok {
		t.Errorf("the name is known: %s", host)
	}
}

// TestSchema1: the kind of a manifest is learned once, and kept over a restart.
func TestSchema1(t *testing.T) {
	s := newStore(t, 20)
	s.must(s.Load("testdata/releases.version1", at(100)))
	s.must(s.Learn(appliance, digest("image 1"), graph.Content{Schema1: true}))
	s.must(s.Learn(appliance, digest("index 2"), graph.Content{}))
	s.must(s.Learn("b", digest("named"), graph.Content{Manifests: []graph.Digest{digest("child")}, Schema1: true}))
	s.must(s.Bind("b", "1", digest("named"), at(200)))
	s.must(s.Learn("b", digest("named"), graph.Content{}))
	file := filepath.Join(t.TempDir(), "releases")
	s.must(s.Save(file))
	again := newStore(t, 20)
	again.must(again.Load(file, at(300)))
	for what, s := range map[string]store{"before": s, "after a restart": again} {
		for _, test := range []struct {
			key       string
			d         graph.Digest
			is, known bool
		}{
			{appliance, digest("image 1"), true, true}, {appliance, digest("index 2"), false, true}, {appliance, digest("image 2"), false, false},
			{appliance, digest("layer 1"), false, false}, {appliance, digest("nowhere"), false, false},
			{"b", digest("named"), true, true}, {"b", digest("child"), false, false}, {"nobody's", digest("named"), false, false},
		} {
			if is, known := s.Graph(test.key).Schema1(test.d); is != test.is || known != test.known {
				t.Errorf("%s: %s in %s: %t, known %t; want %t, %t", what, test.d, test.key, is, known, test.is, test.known)
			}
		}
	}
}

// TestSchema1StaysWhenOthersGo: the copy of a graph that is too big has it.
func TestSchema1StaysWhenOthersGo(t *testing.T) {
	s := newStore(t, 10)
	s.put("a", "1", at(0), "x", "y")
	s.must(s.Bind("a", "2", digest("old"), at(1)))
	s.must(s.Learn("a", digest("old"), graph.Content{Blobs: []graph.Digest{digest("z")}, Schema1: true}))
	s.put("a", "3", at(2), "v", "w")
	s.Graph("a").NoteAsked("2", at(3), at(0))
	s.put("a", "4", at(4), "u")
	if g := s.Graph("a"); g.Fetched(digest("a:1")) {
		t.Error("nothing was forgotten")
	} else if is, known := g.Schema1(digest("old")); !is || !known || !g.Fetched(digest("old")) {
		t.Errorf("%t, known %t", is, known)
	}
}
