package release_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

const day = 24 * time.Hour

// TestTagsMoveAndGo: what a tag had stays for a day after it was last seen to
// have it, and not longer; what it has is known when somebody asks for it, and
// else within the time to live.
func TestTagsMoveAndGo(t *testing.T) {
	w := newWorld(t, nil)
	const repository = "acme/appliance"
	first := w.put(repository, "latest", image("first", blob("first")))
	if tag := w.found(repository, first, "latest"); tag != "latest" {
		t.Fatalf("what the tag has is reached by %q", tag)
	}
	second := w.put(repository, "latest", image("second", blob("second")))
	w.advance(31 * time.Second)
	for _, digest := range []string{second, blob("second"), first, blob("first")} {
		if tag := w.found(repository, digest, "latest"); tag != "latest" {
			t.Errorf("after the move %s is reached by %q", digest, tag)
		}
	}
	w.delete("latest")
	w.advance(31 * time.Second)
	if tag := w.found(repository, blob("second"), "latest"); tag != "latest" {
		t.Errorf("after the tag went, what it had is reached by %q", tag)
	}
	w.advance(day)
	for _, digest := range []string{first, second, blob("first"), blob("second")} {
		if tag := w.found(repository, digest, "latest"); tag != "" {
			t.Errorf("a day later %s is reached by %q", digest, tag)
		}
	}
}

// TestOneQuestion: however many ask for an unknown digest, each thing is
// fetched once; and a stranger's guesses do not cause a look each.
func TestOneQuestion(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 10 {
		w.put("acme/appliance", fmt.Sprint("1.", i), image(fmt.Sprint(i), blob("base"), blob(fmt.Sprint(i))))
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() { w.found("acme/appliance", blob(fmt.Sprint(i%20)), "1.*") })
	}
	all.Wait()
	seen := map[string]int{}
	for _, question := range w.questions() {
		if seen[question]++; seen[question] > 1 && strings.Contains(question, "/manifests/") {
			t.Errorf("%s was asked %d times", question, seen[question])
		}
	}
	for i := range 200 {
		if tag := w.found("acme/appliance", blob(fmt.Sprint("guess ", i)), "1.*"); tag != "" {
			t.Errorf("a guess is reached by %q", tag)
		}
	}
	if n := len(w.questions()); n > 50 {
		t.Errorf("%d questions for 200 guesses", n)
	}
}

// TestBounded: what does not fit is forgotten, and learned again.
func TestBounded(t *testing.T) {
	w := newWorld(t, func(o *release.Options) { o.MaxDigests = 40 })
	var digests []string
	for i := range 20 {
		repository := fmt.Sprint("acme/product", i)
		digests = append(digests, w.put(repository, "1.0", image(fmt.Sprint(i), blob(fmt.Sprint("a", i)), blob(fmt.Sprint("b", i)))))
	}
	for range 2 {
		for i, digest := range digests {
			// Who looks while room is made may be told of an outage, and comes
			// again; nobody is told "no".
			tag, err := "", error(nil)
			for range 10 {
				tag, err = w.find(fmt.Sprint("acme/product", i), digest, "1.0")
				if err == nil {
					break
				}
				w.advance(2 * time.Second)
			}
			if tag != "1.0" {
				t.Errorf("product %d is reached by %q, %v", i, tag, err)
			}
			if n := w.releases.Size(); n > 40 {
				t.Fatalf("%d digests are known, want 40 at most", n)
			}
		}
	}
	// A release that is bigger than the bound is an outage, not a "no".
	var layers []string
	for i := range 50 {
		layers = append(layers, blob(fmt.Sprint("layer", i)))
	}
	w.put("acme/big", "1.0", image("big", layers...))
	if tag, err := w.find("acme/big", layers[49], "1.0"); tag == "" && err == nil {
		t.Error("what does not fit was denied")
	}
}

// TestOddManifests: none of them crashes, hangs, or opens anything.
func TestOddManifests(t *testing.T) {
	const repository = "acme/appliance"
	huge := image("huge", blob("huge"))
	huge["annotations"] = object{"x": strings.Repeat("x", 5<<20)}
	deep := index()
	// go-containerregistry's registry reads all manifests anew for each list
	// of referrers, the huge one, too.
	w := newWorld(t, func(o *release.Options) { o.NoReferrers = true })
	inner := w.put(repository, "", image("innermost", blob("innermost")))
	for range 40 {
		inner = w.put(repository, "", index(inner))
	}
	forbidden := w.put(repository, "2.0", image("forbidden", blob("forbidden")))
	for i, manifest := range []any{
		huge, deep, index(inner), index(inner, inner, inner), []byte("{"), []byte("null"), []byte("[]"), []byte(`"` + forbidden + `"`), []byte(`{"layers":"` + forbidden + `"}`),
		[]byte(`{"layers":[{"digest":1}]}`), []byte(`{"manifests":[{"digest":"` + strings.ToUpper(forbidden) + `"}]}`), []byte(strings.Repeat("[", 100000)),
		object{"schemaVersion": 2}, object{"schemaVersion": 1, "fsLayers": []object{{"blobSum": blob("schema 1")}}},
		object{"schemaVersion": 2, "layers": []object{{"digest": blob("foreign"), "urls": []string{"http://elsewhere.example/"}}}},
	} {
		w.put(repository, fmt.Sprint("1.", i), manifest)
	}
	for _, reached := range []string{blob("schema 1"), blob("foreign")} {
		if tag := w.found(repository, reached, "1.*"); tag == "" {
			t.Errorf("%s is not reached", reached)
		}
	}
	for _, digest := range []string{forbidden, blob("forbidden"), blob("innermost"), blob("huge")} {
		if tag := w.found(repository, digest, "1.*"); tag != "" {
			t.Errorf("%s is reached by %q", digest, tag)
		}
	}
}

// TestOutageIsNoAnswer: whatever the registry's trouble is, what is not known
// is neither open nor denied, and what is known stays.
func TestOutageIsNoAnswer(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true },
		"429": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(429); return true },
		"401": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true },
		"HTML": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("<html>"))
			return true
		},
		"half way": func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/2.1") {
				w.WriteHeader(500)
				return true
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.put("acme/appliance", "1.0", image("known", blob("known")))
			if tag := w.found("acme/appliance", blob("known"), "1.0"); tag != "1.0" {
				t.Fatalf("reached by %q", tag)
			}
			w.put("acme/appliance", "2.0", image("new", blob("new")))
			w.put("acme/appliance", "2.1", image("newer", blob("newer")))
			w.advance(31 * time.Second)
			w.answer(trouble)
			if tag := w.found("acme/appliance", blob("known"), "1.0"); tag != "1.0" {
				t.Errorf("what is known is reached by %q", tag)
			}
			if tag, err := w.find("acme/appliance", blob("newer"), "2.*"); tag != "" || err == nil {
				t.Errorf("what is not known is reached by %q, %v; want an outage", tag, err)
			}
		})
	}
}
