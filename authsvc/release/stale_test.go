package release_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

// An aged world has one image, which was seen 23 hours before the registry was heard last.
type aged struct {
	*world
	root string
}

func newAged(t *testing.T, change func(*release.Options)) aged {
	w := newWorld(t, change)
	a := aged{w, w.put(appliance, "1.0", image("a", blob("a")))}
	w.put("acme/tools", "1.0", image("tools", blob("tools")))
	w.found(appliance, blob("nowhere"), "*") // lists the tags, and learns all
	w.isPinned("at first", "1.0", a.root)
	w.advance(23 * time.Hour)
	w.found("acme/tools", blob("tools"), "*")
	return a
}

// holds checks what is known of the image: whether it is, and whether that is called stale.
func (a aged) holds(when string, known, stale bool) {
	a.t.Helper()
	found, err := a.releases.Find(a.t.Context(), appliance, blob("a"), globs{"1.*"})
	if known != (found == release.Found{Tag: "1.0", Stale: stale}) || known != (err == nil) {
		a.t.Errorf("%s: the layer is found by %v, %v", when, found, err)
	}
	for _, reference := range []string{"1.0", a.root} {
		pinned, err := a.releases.Pin(a.t.Context(), manifest(appliance, reference))
		want := registry.Pinned{Digest: a.root, Stale: known && reference == "1.0"}
		if reference == "1.0" && known != (pinned == want && err == nil) || reference == a.root && pinned != want {
			a.t.Errorf("%s: %s is %v, %v", when, reference, pinned, err)
		}
	}
}

// lists checks whether the list of tags is known, and then stale. No file keeps it.
func (a aged) lists(when string, known bool) {
	a.t.Helper()
	names, stale, err := a.releases.Tags(a.t.Context(), appliance)
	if known != (len(names) == 1 && stale && err == nil) {
		a.t.Errorf("%s: the tags are %q, stale: %t, %v", when, names, stale, err)
	}
}

// outages are all ways in which a registry tells nothing.
var outages = map[string]func(*world){
	"500": (*world).down,
	"503": func(w *world) { w.answer(status(503)) },
	"429": func(w *world) { w.answer(status(429)) },
	"a page": func(w *world) {
		w.answer(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = rw.Write([]byte("<html>sign in"))
			return true
		})
	},
	"silence": func(w *world) {
		w.answer(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	},
	"an expired token": func(w *world) { w.noToken = errors.New("the token expired") },
	"no token at all":  func(w *world) { w.noHost = errors.New("no file yet") },
}

// restart saves, and loads.
func (w *world) restart() {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "releases")
	if err := w.releases.Save(file); err != nil {
		w.t.Fatal(err)
	}
	w.releases.Close()
	w.releases = w.newReleases(nil)
	if err := w.releases.Load(file); err != nil {
		w.t.Fatal(err)
	}
}

// TestStale: in every kind of outage, what was known when the registry was last heard
// holds for a day from then, also over a restart, and not longer.
func TestStale(t *testing.T) {
	for name, begin := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAged(t, nil)
				begin(a.world)
				a.advance(30 * time.Minute)
				a.holds("while it would be known anyway", true, false)
				a.advance(time.Hour)
				a.holds("the first who sees it", true, true)
				a.lists("the first who sees it", true)
				a.advance(time.Hour)
				a.lists("an hour later", true)
				a.restart()
				a.lists("after a restart", false)
				a.holds("after a restart", true, true)
				a.advance(21*time.Hour + 29*time.Minute)
				a.holds("a minute before a day is over", true, true)
				a.restart() // a restart is no answer
				a.advance(time.Minute)
				a.holds("a day after it was heard", false, false)
				a.noToken, a.noHost = nil, nil
				a.answer(nil)
				time.Sleep(time.Minute) // the breaker, and the pauses
				a.advance(time.Minute)
				if found, err := a.releases.Find(t.Context(), appliance, blob("a"), globs{"1.*"}); found != (release.Found{Tag: "1.0"}) || err != nil {
					t.Errorf("after the outage: %v, %v", found, err)
				}
				if pinned, err := a.releases.Pin(t.Context(), manifest(appliance, "1.0")); pinned != (registry.Pinned{Digest: a.root}) || err != nil {
					t.Errorf("after the outage: %v, %v", pinned, err)
				}
				a.releases.Close()
			})
		})
	}
}

// TestStaleIsNeitherOpenNorNo: what is not known is an outage, and so is all of it for a
// client that has left, or without release.stale.
func TestStaleIsNeitherOpenNorNo(t *testing.T) {
	a := newAged(t, nil)
	unseen := a.put(appliance, "2.0", image("unseen", blob("unseen")))
	a.down()
	a.advance(2 * time.Hour)
	for range 2 {
		for _, ask := range []struct{ repository, digest, tags string }{
			{appliance, blob("unseen"), "*"}, {appliance, blob("a"), "2.*"}, {"acme/other", blob("a"), "*"}, {"acme/tools", blob("a"), "*"},
		} {
			if tag, err := a.find(ask.repository, ask.digest, ask.tags); tag != "" || err == nil {
				t.Errorf("%v: found by %q, %v; want an outage", ask, tag, err)
			}
		}
		for _, request := range []string{"2.0", unseen} {
			if digest, _, err := a.pin(request); digest != "" || err == nil {
				t.Errorf("%s is %q, %v; want an outage", request, digest, err)
			}
		}
		if names, _, err := a.releases.Tags(t.Context(), "acme/other"); err == nil || errors.Is(err, release.ErrNotFound) {
			t.Errorf("another repository has %q, %v; want an outage", names, err)
		}
		a.advance(time.Minute)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := a.releases.Find(ctx, appliance, blob("a"), globs{"*"}); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that has left: %v", err)
	}
	without := newAged(t, func(o *release.Options) { o.Stale = 0 })
	without.down()
	without.advance(2 * time.Hour)
	without.holds("without it", false, false)
	without.lists("without it", false)
}

// TestStaleLeavesOutWhatMoved: what a tag had before it was moved or deleted ends as if
// the registry answered.
func TestStaleLeavesOutWhatMoved(t *testing.T) {
	for _, how := range []string{"moved", "deleted", "not listed"} {
		w := newWorld(t, nil)
		w.put(appliance, "1.0", image("old", blob("old")))
		w.put(appliance, "2.0", image("other", blob("other")))
		w.found(appliance, blob("nowhere"), "*")
		w.advance(time.Minute)
		if how == "moved" {
			w.put(appliance, "1.0", image("new", blob("new")))
		} else {
			w.delete("1.0")
		}
		if how == "not listed" {
			if _, _, err := w.releases.Tags(t.Context(), appliance); err != nil {
				t.Fatal(err)
			}
		} else if _, _, err := w.pin("1.0"); err != nil {
			t.Fatal(err)
		}
		w.down()
		w.advance(22 * time.Hour)
		if tag := w.found(appliance, blob("old"), "*"); tag != "1.0" {
			t.Errorf("%s: within release.previous, found by %q", how, tag)
		}
		w.advance(2*time.Hour - time.Minute)
		if tag, err := w.find(appliance, blob("old"), "*"); tag != "" || err == nil {
			t.Errorf("%s: a day after it was seen, found by %q, %v; want an outage", how, tag, err)
		}
	}
}

// TestStaleDoesNotWait: only the first waits for a registry that does not answer, and
// whoever comes later gets the same.
func TestStaleDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAged(t, nil)
		outages["silence"](a.world)
		a.advance(2 * time.Hour)
		begin := time.Now()
		a.holds("at first", true, true)
		first := time.Since(begin)
		a.advance(time.Minute)
		begin = time.Now()
		a.holds("later", true, true)
		if later := time.Since(begin); first < 10*time.Second || later > time.Second {
			t.Errorf("the first waited %s, the second %s", first, later)
		}
		a.releases.Close()
	})
}

// TestStaleCounts: each such answer is counted, by its kind; an explanation counts none.
func TestStaleCounts(t *testing.T) {
	numbers := prometheus.NewRegistry()
	a := newAged(t, func(o *release.Options) { o.Metrics = numbers })
	a.down()
	a.advance(2 * time.Hour)
	a.holds("once", true, true)
	a.lists("once", true)
	peek := a.releases.Peek(a.source)
	defer peek.Close()
	if found, err := peek.Find(t.Context(), appliance, blob("a"), globs{"*"}); found != (release.Found{Tag: "1.0", Stale: true}) || err != nil {
		t.Errorf("an explanation finds %v, %v", found, err)
	}
	if pinned, err := peek.Pin(t.Context(), manifest(appliance, "1.0")); pinned != (registry.Pinned{Digest: a.root, Stale: true}) || err != nil {
		t.Errorf("an explanation pins %v, %v", pinned, err)
	}
	if names, stale, err := peek.Tags(t.Context(), appliance); len(names) != 1 || !stale || err != nil {
		t.Errorf("an explanation lists %q, %t, %v", names, stale, err)
	}
	families, err := numbers.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "authsvc_release_stale_total" {
			for _, m := range family.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if len(got) != 3 || got["digest"] != 1 || got["tag"] != 1 || got["tags"] != 1 {
		t.Errorf("counted %v", got)
	}
}

// TestHolding: a machine without a token is of use while something is known that holds.
func TestHolding(t *testing.T) {
	w := newWorld(t, nil)
	is := func(when string, want bool) {
		t.Helper()
		if w.releases.Holding() != want {
			t.Errorf("%s: %t", when, !want)
		}
	}
	is("before anything is known", false)
	w.put(appliance, "1.0", image("a", blob("a")))
	w.found(appliance, blob("a"), "*")
	is("when it is", true)
	w.noHost = errors.New("no file yet")
	w.advance(24*time.Hour - time.Second)
	w.restart()
	is("almost a day later", true)
	w.advance(time.Second)
	is("a day later", false)
}
