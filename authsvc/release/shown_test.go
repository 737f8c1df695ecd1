package release_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
)

// A tree is a repository with a bit of everything, by names. 1.0 is an index.
func newTree(w *world) map[string]registry.Request {
	amd := w.put(appliance, "", image("amd64", blob("base"), blob("amd")))
	root := w.put(appliance, "1.0", index(amd, blob("absent")))
	sbom := w.put(appliance, "", referrer(amd, "sbom", blob("sbom")))
	sig := w.put(appliance, strings.Replace(root, ":", "-", 1)+".sig", image("sig", blob("sig")))
	other := w.put(appliance, "2.0", image("other", blob("base"), blob("other")))
	layer := func(name string) registry.Request {
		return registry.Request{Kind: registry.Blob, Repository: appliance, Reference: registry.Reference{Digest: blob(name)}}
	}
	return map[string]registry.Request{
		"1.0": manifest(appliance, "1.0"), "root": manifest(appliance, root), "amd": manifest(appliance, amd), "layer of amd": layer("amd"), "config of amd": layer("config amd64"),
		"base": layer("base"), "absent": manifest(appliance, blob("absent")), "manifest of a layer": manifest(appliance, blob("amd")),
		"sbom": manifest(appliance, sbom), "layer of sbom": layer("sbom"),
		"sig's tag": manifest(appliance, strings.Replace(root, ":", "-", 1)+".sig"), "sig": manifest(appliance, sig), "layer of sig": layer("sig"),
		"2.0": manifest(appliance, "2.0"), "other": manifest(appliance, other), "layer of other": layer("other"),
		"elsewhere": manifest("acme/tools", root), "nowhere": layer("nowhere"), "no tag": manifest(appliance, "3.0"),
	}
}

// shows checks what was shown: exactly these.
func (w *world) shows(when string, tree map[string]registry.Request, want ...string) {
	w.t.Helper()
	w.questions()
	var got []string
	for name, request := range tree {
		digest, schema1, ok := w.releases.Shown(request)
		if !ok {
			continue
		}
		if got = append(got, name); schema1 || request.Reference.Digest != "" && digest != request.Reference.Digest {
			w.t.Errorf("%s: %s is %s, schema 1: %t", when, name, digest, schema1)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: shown %q\nwant %q", when, got, want)
	}
	if asked := w.questions(); len(asked) != 0 {
		w.t.Errorf("%s: asked %q", when, asked)
	}
}

// ofOne is what 1.0 leads to without referrers, and left what is there without it.
var (
	ofOne = []string{"1.0", "root", "amd", "layer of amd", "config of amd", "base"}
	left  = []string{"sig's tag", "sig", "layer of sig", "2.0", "other", "layer of other"}
)

func with(more ...string) []string { return slices.Concat(ofOne, more) }

// TestShown: a stand-by serves what the registry said last, and what of that it never
// forgets: no referrers, no manifest that the registry did not have.
func TestShown(t *testing.T) {
	w := newWorld(t, nil)
	tree := newTree(w)
	w.shows("before anybody asked", tree)
	w.found(appliance, blob("nowhere"), "1.0") // learns all of 1.0, also its referrers
	if tag := w.found(appliance, blob("sbom"), "1.0"); tag != "1.0" {
		t.Fatalf("the referrer is found by %q", tag)
	}
	w.shows("of one tag", tree, with("sig's tag", "sig", "layer of sig")...)
	w.pinned("2.0")
	w.shows("of two tags", tree, with(left...)...)
	if digest, _, _ := w.releases.Shown(tree["1.0"]); digest != tree["root"].Reference.Digest {
		t.Errorf("the tag is %s", digest)
	}
	w.down()
	w.advance(23 * time.Hour)
	w.shows("in a long outage", tree, with(left...)...)
	w.advance(time.Hour)
	w.shows("a day after it was seen", tree)
}

// TestShownWhenTagsMoveAndGo: what a tag had does not count. It is found for a while, but
// the registry may have withdrawn it.
func TestShownWhenTagsMoveAndGo(t *testing.T) {
	w := newWorld(t, nil)
	tree := newTree(w)
	w.found(appliance, blob("nowhere"), "*")
	moved := w.put(appliance, "1.0", image("moved", blob("moved")))
	tree["moved"] = manifest(appliance, moved)
	w.shows("before anybody asked for the moved tag", tree, with(left...)...)
	w.advance(31 * time.Second)
	w.pinned("1.0")
	w.shows("after the move", tree, slices.Concat(left, []string{"1.0", "moved", "base"})...)
	if digest, _, _ := w.releases.Shown(tree["1.0"]); digest != moved {
		t.Errorf("the tag is %s", digest)
	}
	if tag := w.found(appliance, blob("amd"), "1.0"); tag != "1.0" {
		t.Errorf("what it had is found by %q", tag)
	}
	w.delete("1.0")
	w.advance(31 * time.Second)
	w.pinned("1.0")
	w.shows("after it was deleted", tree, slices.Concat(left, []string{"base"})...)
}

// TestShownWithoutTheListedTag: a stand-by served a tag that was deleted, and that a list
// of all tags had shown as deleted, until somebody asked for the tag itself.
func TestShownWithoutTheListedTag(t *testing.T) {
	w := newWorld(t, nil)
	tree := newTree(w)
	w.found(appliance, blob("nowhere"), "*")
	w.delete("1.0")
	w.advance(31 * time.Second)
	if tags, _, err := w.releases.Tags(t.Context(), appliance); err != nil || slices.Contains(tags, "1.0") {
		t.Fatalf("the tags are %q, %v", tags, err)
	}
	w.shows("after the list", tree, slices.Concat(left, []string{"base"})...)
	file := t.TempDir() + "/releases"
	if err := w.releases.Save(file); err != nil {
		t.Fatal(err)
	}
	w.releases = w.newReleases(nil)
	if err := w.releases.Load(file); err != nil {
		t.Fatal(err)
	}
	w.shows("after a restart", tree, slices.Concat(left, []string{"base"})...)
}

// downgraded is a saved file as the version before would have written it.
func downgraded(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines = slices.DeleteFunc(lines[:len(lines)-2], func(line string) bool { return strings.HasPrefix(line, `{"host":`) })
	body := strings.Join(lines, "")
	body = strings.ReplaceAll(strings.Replace(body, `"version":3`, `"version":1`, 1), `,"schema":1`, "")
	old := file + ".1"
	if err := os.WriteFile(old, fmt.Appendf(nil, "%s%x\n", body, sha256.Sum256([]byte(body))), 0o600); err != nil {
		t.Fatal(err)
	}
	return old
}

// TestOlderFile: what kind a manifest is is not known from it. So a stand-by takes it for
// one of schema 1, a pin asks again, and in an outage it is neither.
func TestOlderFile(t *testing.T) {
	w := newWorld(t, nil)
	tree := newTree(w)
	old := w.put(appliance, "old", schema1Image(blob("old")))
	w.found(appliance, blob("nowhere"), "*")
	file := t.TempDir() + "/releases"
	if err := w.releases.Save(file); err != nil {
		t.Fatal(err)
	}
	w.releases = w.newReleases(nil)
	if err := w.releases.Load(downgraded(t, file)); err != nil {
		t.Fatal(err)
	}
	w.questions()
	manifests := map[string]registry.Request{"old": manifest(appliance, "old")}
	for name, request := range tree {
		if request.Kind == registry.Manifest {
			manifests[name] = request
		}
	}
	shown := 0
	for name, request := range manifests {
		if _, schema1, ok := w.releases.Shown(request); ok && !schema1 {
			t.Errorf("%s is shown, and taken for a modern one", name)
		} else if ok {
			shown++
		}
	}
	if shown != 8 {
		t.Errorf("%d are shown", shown)
	}
	w.down()
	for _, reference := range []string{"old", old, "1.0"} {
		if digest, schema1, err := w.pin(reference); digest != "" || schema1 || err == nil {
			t.Errorf("%s in an outage: %q, schema 1: %t, %v", reference, digest, schema1, err)
		}
	}
	w.answer(nil)
	w.advance(time.Second)
	w.isPinned("read again", "1.0", tree["root"].Reference.Digest)
	if digest, schema1 := w.pinned("old"); digest != old || !schema1 {
		t.Errorf("read again: %q, schema 1: %t", digest, schema1)
	}
	if _, schema1, ok := w.releases.Shown(tree["1.0"]); !ok || schema1 {
		t.Errorf("read again: shown %t, schema 1: %t", ok, schema1)
	}
}

// TestPeekPins: an explanation tells what the customer would get, and leaves no trace.
func TestPeekPins(t *testing.T) {
	w := newWorld(t, nil)
	first := w.put(appliance, "1.0", image("first"))
	w.pinned("1.0")
	second := w.put(appliance, "1.0", image("second"))
	unseen := w.put(appliance, "2.0", schema1Image(blob("unseen")))
	peek := func(reference, want string, wantSchema1, fails bool) {
		t.Helper()
		p := w.releases.Peek(w.source)
		defer p.Close()
		got, err := p.Pin(t.Context(), manifest(appliance, reference))
		if got.Digest != want || got.Schema1 != wantSchema1 || (err != nil) != fails {
			t.Errorf("%s: %v, %v; want %q", reference, got, err, want)
		}
	}
	peek("1.0", second, false, false)
	peek("2.0", unseen, true, false)
	peek("3.0", "", false, false)
	w.isPinned("after that", "1.0", first)
	if _, _, ok := w.releases.Shown(manifest(appliance, "2.0")); ok {
		t.Error("what was only peeked at is shown")
	}
	w.down()
	peek("1.0", first, false, false)
	peek(first, first, false, false)
	peek("2.0", "", false, true)
}
