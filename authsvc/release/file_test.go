package release_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// saved learns a little, and saves it.
func saved(t *testing.T) (w *world, digests map[string]string, file string) {
	t.Helper()
	w = newWorld(t, nil)
	amd := w.put("acme/appliance", "", image("amd64", blob("base")))
	root := w.put("acme/appliance", "1.0", index(amd))
	sbom := w.put("acme/appliance", "", referrer(amd, "sbom", blob("sbom")))
	other := w.put("acme/appliance", "2.0", image("other", blob("other")))
	w.put("acme/tools", "1.0", image("tools", blob("base")))
	digests = map[string]string{"root": root, "image": amd, "layer": blob("base"), "sbom": sbom, "layer of the sbom": blob("sbom")}
	for _, d := range digests {
		if tag := w.found("acme/appliance", d, "1.0"); tag != "1.0" {
			t.Fatalf("%s is reached by %q", d, tag)
		}
	}
	if tag := w.found("acme/appliance", other, "*"); tag != "2.0" {
		t.Fatalf("other is reached by %q", tag)
	}
	file = filepath.Join(t.TempDir(), "releases")
	if err := w.releases.Save(file); err != nil {
		t.Fatal(err)
	}
	return w, digests, file
}

// TestRestartInAnOutage: what was known before a restart is served after it,
// for as long as it would have been without one.
func TestRestartInAnOutage(t *testing.T) {
	w, digests, file := saved(t)
	w.down()
	w.releases = w.newReleases(nil)
	if err := w.releases.Load(file); err != nil {
		t.Fatal(err)
	}
	w.questions()
	for name, d := range digests {
		if tag := w.found("acme/appliance", d, "1.0"); tag != "1.0" {
			t.Errorf("%s is reached by %q", name, tag)
		}
	}
	if asked := w.questions(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
	for _, where := range []struct{ repository, digest, tags string }{
		{"acme/appliance", digests["root"], "2.0"}, {"acme/tools", digests["image"], "*"}, {"acme/appliance", blob("nobody's"), "*"},
	} {
		if tag, err := w.find(where.repository, where.digest, where.tags); tag != "" || err == nil {
			t.Errorf("%v: reached by %q, %v; want an outage", where, tag, err)
		}
	}
	w.advance(25 * time.Hour)
	if tag, err := w.find("acme/appliance", digests["root"], "1.0"); tag != "" || err == nil {
		t.Errorf("after 25 hours without the registry: reached by %q, %v; want an outage", tag, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestBrokenFiles(t *testing.T) {
	w, digests, file := saved(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	tests := map[string]string{
		"empty": "", "half": text[:len(text)/2], "another version": strings.Replace(text, `"version":3`, `"version":4`, 1),
		"a digest changed": strings.Replace(text, digests["root"], blob("evil"), 1), "a tag changed": strings.Replace(text, `"tag":"2.0"`, `"tag":"1.0"`, 1),
		"no sum": text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1], "a line more": text + "{}\n", "something else": "\x00\x01\n",
		"a long line": strings.Repeat("x", 9<<20),
	}
	w.down()
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			releases := w.newReleases(nil)
			if err := releases.Load(file); err == nil {
				t.Error("it was loaded")
			}
			if n := releases.Size(); n != 0 {
				t.Errorf("%d digests are known", n)
			}
		})
	}
	if err := w.newReleases(nil).Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestTwoSaves: what was loaded is saved as it was.
func TestTwoSaves(t *testing.T) {
	w, _, file := saved(t)
	releases := w.newReleases(nil)
	if err := releases.Load(file); err != nil {
		t.Fatal(err)
	}
	again := file + ".again"
	if err := releases.Save(again); err != nil {
		t.Fatal(err)
	}
	third := w.newReleases(nil)
	if err := third.Load(again); err != nil {
		t.Fatal(err)
	}
	if third.Size() != releases.Size() || releases.Size() != w.releases.Size() {
		t.Errorf("%d digests, then %d, then %d", w.releases.Size(), releases.Size(), third.Size())
	}
}
