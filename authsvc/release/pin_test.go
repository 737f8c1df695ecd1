package release_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

const appliance = "acme/appliance"

// manifest is a request for one, by a tag or a digest.
func manifest(repository, reference string) registry.Request {
	r := registry.Request{Kind: registry.Manifest, Repository: repository}
	if strings.Contains(reference, ":") {
		r.Reference.Digest = reference
	} else {
		r.Reference.Tag = reference
	}
	return r
}

// schema1Image is a manifest of Docker's schema 1.
func schema1Image(layer string) object {
	return object{"schemaVersion": 1, "name": "prod-eu/appliance", "tag": "old", "fsLayers": []object{{"blobSum": layer}}}
}

// pinned asks for a manifest, and fails the test if that is not known.
func (w *world) pinned(reference string) (digest string, schema1 bool) {
	w.t.Helper()
	digest, schema1, err := w.pin(reference)
	if err != nil {
		w.t.Fatal(err)
	}
	return digest, schema1
}

// isPinned checks what is pinned; an empty digest for nothing.
func (w *world) isPinned(when, reference, want string) {
	w.t.Helper()
	if digest, schema1 := w.pinned(reference); digest != want || schema1 {
		w.t.Errorf("%s: %s is %q, schema 1: %t; want %q", when, reference, digest, schema1, want)
	}
}

// TestPinTag: what a tag has is at most Options.TagTTL old.
func TestPinTag(t *testing.T) {
	w := newWorld(t, nil)
	first := w.put(appliance, "1.0", image("first", blob("base")))
	w.isPinned("new", "1.0", first)
	w.questions()
	second := w.put(appliance, "1.0", image("second", blob("base")))
	w.advance(30 * time.Second)
	w.isPinned("30 s later", "1.0", first)
	if asked := w.questions(); len(asked) != 0 {
		t.Errorf("within its time, asked %q", asked)
	}
	w.advance(time.Second)
	w.isPinned("moved", "1.0", second)
	w.delete("1.0")
	w.advance(31 * time.Second)
	w.isPinned("deleted", "1.0", "")
	w.questions()
	w.isPinned("never there", "9", "")
	if asked := w.questions(); len(asked) != 1 {
		t.Errorf("for a tag that is not there, asked %q", asked)
	}
	third := w.put(appliance, "1.0", image("third"))
	w.advance(31 * time.Second)
	w.isPinned("back", "1.0", third)
	if pinned, err := w.releases.Pin(t.Context(), manifest("acme/nowhere", "1.0")); pinned.Digest != "" || err != nil {
		t.Errorf("in a repository that does not exist: %v, %v", pinned, err)
	}
}

// TestPinDigest: a digest is what it is, and is asked about once.
func TestPinDigest(t *testing.T) {
	w := newWorld(t, nil)
	child := w.put(appliance, "", image("child"))
	root := w.put(appliance, "1.0", index(child, blob("absent")))
	for range 2 {
		for _, digest := range []string{root, child} {
			w.isPinned("there", digest, digest)
		}
	}
	if asked := w.seen("/manifests/"); len(asked) != 2 {
		t.Errorf("asked %q", asked)
	}
	w.isPinned("not there", blob("absent"), "")
	if pinned, err := w.releases.Pin(t.Context(), manifest("acme/other", root)); pinned.Digest != "" || err != nil {
		t.Errorf("in another repository: %v, %v", pinned, err)
	}
}

func TestPinSchema1(t *testing.T) {
	w := newWorld(t, nil)
	old := w.put(appliance, "old", schema1Image(blob("old")))
	for _, reference := range []string{"old", old, "old"} {
		if digest, schema1 := w.pinned(reference); digest != old || !schema1 {
			t.Errorf("%s: %q, schema 1: %t", reference, digest, schema1)
		}
	}
	renewed := w.put(appliance, "old", image("renewed"))
	w.advance(31 * time.Second)
	w.isPinned("pushed again", "old", renewed)
}

// TestPinInAnOutage: what is known is served, for as long as it is believed, and nothing
// else is guessed.
func TestPinInAnOutage(t *testing.T) {
	w := newWorld(t, nil)
	first := w.put(appliance, "1.0", image("first"))
	old := w.put(appliance, "old", schema1Image(blob("old")))
	w.pinned("1.0")
	w.pinned("old")
	w.put(appliance, "1.0", image("second"))
	unseen := w.put(appliance, "2.0", image("unseen"))
	w.advance(time.Hour)
	w.down()
	for _, reference := range []string{"1.0", first} {
		w.isPinned("in an outage", reference, first)
	}
	if digest, schema1 := w.pinned("old"); digest != old || !schema1 {
		t.Errorf("of schema 1: %q, %t", digest, schema1)
	}
	outage := func(what string, request registry.Request) {
		t.Helper()
		if pinned, err := w.releases.Pin(t.Context(), request); pinned != (registry.Pinned{}) || err == nil {
			t.Errorf("%s: %v, %v; want an outage", what, pinned, err)
		}
	}
	outage("a tag that nobody asked for", manifest(appliance, "2.0"))
	outage("its digest", manifest(appliance, unseen))
	outage("another repository", manifest("acme/other", "1.0"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.releases.Pin(ctx, manifest(appliance, "1.0")); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that has left: %v", err)
	}
	w.advance(23 * time.Hour)
	outage("a day after it was seen", manifest(appliance, "1.0"))
}

// TestPinDoesNotWaitForASilentRegistry: what is known is served after Options.Timeout.
func TestPinDoesNotWaitForASilentRegistry(t *testing.T) {
	w := newWorld(t, func(o *release.Options) { o.Timeout = 20 * time.Millisecond })
	digest := w.put(appliance, "1.0", image("first"))
	for known := ""; known == ""; known, _, _ = w.pin("1.0") { //nolint:revive // a busy machine
	}
	w.advance(time.Minute)
	w.answer(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	w.isPinned("silent", "1.0", digest)
}

// elsewhere says where repositories are, or why that is not known.
type elsewhere struct {
	release.Source
	err error
}

func (e elsewhere) Place(string) (release.Place, error) {
	return release.Place{Registry: "main"}, e.err
}

// TestWithoutPlace: a repository that no registry has does not exist; one of which the
// registry is not known is an outage.
func TestWithoutPlace(t *testing.T) {
	gone := errors.New("no file yet")
	for _, err := range []error{release.ErrNotFound, gone} {
		w := newWorld(t, func(o *release.Options) { o.Source = elsewhere{o.Source, err} })
		w.put(appliance, "1.0", image("first"))
		outage := errors.Is(err, gone)
		if digest, _, got := w.pin("1.0"); digest != "" || errors.Is(got, gone) != outage || (got != nil) != outage {
			t.Errorf("with %v: %q, %v", err, digest, got)
		}
		if tag, got := w.find(appliance, blob("x"), "*"); tag != "" || (got != nil) != outage {
			t.Errorf("with %v: found by %q, %v", err, tag, got)
		}
		if _, _, got := w.releases.Tags(t.Context(), appliance); !errors.Is(got, err) {
			t.Errorf("with %v: the tags are not known: %v", err, got)
		}
		if digest, _, ok := w.releases.Shown(manifest(appliance, "1.0")); ok {
			t.Errorf("with %v: shown as %s", err, digest)
		}
		w.releases.Asked(appliance, "1.0")
		if asked := w.questions(); len(asked) != 0 {
			t.Errorf("with %v: asked %q", err, asked)
		}
	}
}
