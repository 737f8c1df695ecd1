package release_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// TestStaleRefusal: a registry that refuses to tell ends what is known of a tag, whatever
// happens then, until it tells again. It ends nothing of another repository.
func TestStaleRefusal(t *testing.T) {
	for _, code := range []int{401, 403} {
		a := newAged(t, nil)
		a.answer(func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Path, appliance) && status(code)(w, r)
		})
		a.advance(time.Minute)
		closed := func(when string) {
			t.Helper()
			if tag, err := a.find(appliance, blob("a"), "*"); tag != "" || err == nil {
				t.Errorf("%d, %s: found by %q, %v; want an outage", code, when, tag, err)
			}
			if digest, _, err := a.pin("1.0"); digest != "" || err == nil {
				t.Errorf("%d, %s: the tag is %q, %v; want an outage", code, when, digest, err)
			}
			if digest, _, ok := a.releases.Shown(manifest(appliance, "1.0")); ok {
				t.Errorf("%d, %s: a stand-by shows %s", code, when, digest)
			}
			if names, _, err := a.releases.Tags(t.Context(), appliance); err == nil {
				t.Errorf("%d, %s: the tags are %q", code, when, names)
			}
		}
		if _, _, err := a.pin("1.0"); !errors.Is(err, release.ErrRefused) {
			t.Errorf("%d: %v, want a refusal", code, err)
		}
		closed("at once")
		a.down()
		a.advance(2 * time.Hour)
		closed("in an outage after it")
		a.restart()
		closed("and a restart")
		if found, err := a.releases.Find(t.Context(), "acme/tools", blob("tools"), globs{"*"}); found.Tag != "1.0" || err != nil {
			t.Errorf("%d: in another repository: %v, %v", code, found, err)
		}
		a.answer(nil)
		a.advance(time.Minute)
		a.isPinned("when it tells again", "1.0", a.root)
		if tag := a.found(appliance, blob("a"), "*"); tag != "1.0" {
			t.Errorf("%d: when it tells again, found by %q", code, tag)
		}
	}
}

// TestRefusedList: a role that may not list tags ends the list, and nothing else.
func TestRefusedList(t *testing.T) {
	a := newAged(t, nil)
	a.answer(func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/tags/list") && status(403)(w, r)
	})
	a.lists("refused", false)
	a.isPinned("though lists are refused", "1.0", a.root)
	a.down()
	a.lists("in an outage after it", true)
	a.advance(2 * time.Hour)
	a.holds("in an outage after it", true, false) // it was seen again
}

// TestRefusalIsNoOutage: that one repository is refused keeps nothing of another for longer.
func TestRefusalIsNoOutage(t *testing.T) {
	a := newAged(t, nil)
	a.answer(status(403))
	if _, err := a.find("acme/other", blob("x"), "*"); !errors.Is(err, release.ErrRefused) {
		t.Errorf("%v, want a refusal", err)
	}
	if _, _, ok := a.releases.Shown(manifest(appliance, "1.0")); !ok {
		t.Error("within a day, it is not shown")
	}
	a.advance(time.Hour)
	if _, _, ok := a.releases.Shown(manifest(appliance, "1.0")); ok {
		t.Error("a day after it was seen, it is shown, though the registry answers")
	}
	a.down()
	if _, err := a.find("acme/other", blob("x"), "*"); err == nil {
		t.Error("no outage")
	}
	if _, _, ok := a.releases.Shown(manifest(appliance, "1.0")); !ok {
		t.Error("it is not shown while the registry fails")
	}
}

// TestRefusalIsSeenByDigest: who pulls by digest alone is stopped, too.
func TestRefusalIsSeenByDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.put(appliance, "1.0", image("a", blob("a")))
		w.found(appliance, blob("a"), "*")
		synctest.Wait()
		w.questions()
		w.found(appliance, blob("a"), "*")
		synctest.Wait()
		if asked := w.questions(); len(asked) != 0 {
			t.Errorf("within release.tag_ttl, asked %q", asked)
		}
		pulled := make(chan struct{})
		w.answer(func(rw http.ResponseWriter, r *http.Request) bool { <-pulled; return status(403)(rw, r) })
		w.advance(31 * time.Second)
		for range 100 {
			w.found(appliance, blob("a"), "*") // nobody waits
		}
		close(pulled)
		synctest.Wait()
		if asked := w.seen("/manifests/1.0"); len(asked) != 1 {
			t.Errorf("for a hundred pulls, asked %q", asked)
		}
		if tag, err := w.find(appliance, blob("a"), "*"); tag != "" || !errors.Is(err, release.ErrRefused) {
			t.Errorf("found by %q, %v; want a refusal", tag, err)
		}
		w.releases.Close()
	})
}
