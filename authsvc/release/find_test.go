package release_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// A family is a repository of many releases that share a base layer.
type family struct {
	mu        sync.Mutex
	now       time.Time
	tags      []string
	manifests map[string]release.Manifest // by tag and by digest
}

func newFamily(tags, platforms int) *family {
	f := &family{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), manifests: map[string]release.Manifest{}}
	for i := range tags {
		name := fmt.Sprint("1.", i)
		var images []string
		for platform := range platforms {
			images = append(images, f.add(image(fmt.Sprint(name, platform), blob("base"), blob(fmt.Sprint("own ", name, platform)))))
		}
		f.manifests[name] = f.manifests[f.add(index(images...))]
		f.tags = append(f.tags, name)
	}
	return f
}

func (f *family) add(manifest object) string {
	body, err := json.Marshal(manifest)
	if err != nil {
		panic(err) // it is made of maps and texts
	}
	digest := blob(string(body)) // nobody checks it here
	f.manifests[digest] = release.Manifest{Digest: digest, Body: body}
	return digest
}

func (f *family) Place(repository string) (release.Place, error) {
	return release.Place{Registry: "main", Host: host, Repository: repository}, nil
}

func (f *family) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// change changes the family, or the time.
func (f *family) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

func (f *family) Tags(context.Context, string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tags), nil
}

func (f *family) Resolve(ctx context.Context, repository, tag string) (string, error) {
	m, err := f.Manifest(ctx, repository, tag)
	return m.Digest, err
}

func (f *family) Manifest(_ context.Context, _, reference string) (release.Manifest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.manifests[reference]
	if !ok {
		return m, release.ErrNotFound
	}
	return m, nil
}

func (f *family) Referrers(context.Context, string, string) ([]string, error) {
	return nil, release.ErrUnsupported
}

// TestSharedLayer: whoever may pull one of many releases may have the layer
// that all of them share, and whoever may pull none may not, asked how often.
func TestSharedLayer(t *testing.T) {
	f := newFamily(300, 3)
	releases := release.New(release.Options{Source: f, Now: f.clock, Timeout: time.Minute})
	t.Cleanup(releases.Close)
	find := func(digest, glob string) string {
		t.Helper()
		found, err := releases.Find(t.Context(), "acme/a", digest, globs{glob})
		if err != nil {
			t.Fatal(err)
		}
		return found.Tag
	}
	for range 3 {
		for _, want := range []string{"1.0", "1.150", "1.299"} {
			if tag := find(blob("base"), want); tag != want {
				t.Errorf("found by %q, want %s", tag, want)
			}
			if tag := find(blob("own 1.12"), want); tag != "" {
				t.Errorf("another release's layer found by %q for %s", tag, want)
			}
		}
		if tag := find(blob("base"), "2.*"); tag != "" {
			t.Errorf("found by %q for 2.*", tag)
		}
	}
	// What could not be reached can be once there is another release.
	f.change(func() {
		f.manifests["2.0"] = f.manifests[f.add(image("2.0", blob("base")))]
		f.tags = append(f.tags, "2.0")
		f.now = f.now.Add(time.Minute)
	})
	if tag := find(blob("base"), "2.*"); tag != "2.0" {
		t.Errorf("found by %q, want 2.0", tag)
	}
	// And no longer once that is not believed any more.
	f.change(func() {
		delete(f.manifests, "2.0")
		f.tags = f.tags[:300]
		f.now = f.now.Add(time.Hour)
	})
	if tag := find(blob("base"), "2.*"); tag != "" {
		t.Errorf("found by %q an hour later", tag)
	}
	if tag := find(blob("base"), "1.150"); tag != "1.150" {
		t.Errorf("found by %q, want 1.150", tag)
	}
}

// BenchmarkFind asks for what is known of 5,000 releases for three platforms.
func BenchmarkFind(b *testing.B) {
	f := newFamily(5000, 3)
	releases := release.New(release.Options{Source: f, TagTTL: time.Hour, Timeout: time.Minute})
	defer releases.Close()
	for _, bench := range []struct{ name, digest, glob, want string }{
		{"own layer", blob("own 1.25000"), "1.2500", "1.2500"},
		{"shared layer, all", blob("base"), "*", ""},
		{"shared layer, one", blob("base"), "1.2500", "1.2500"},
		{"shared layer, none", blob("base"), "2.*", "none"},
		{"a guess", blob("guess"), "1.25*", "none"},
	} {
		b.Run(strings.ReplaceAll(bench.name, " ", "_"), func(b *testing.B) {
			want := globs{bench.glob}
			if _, err := releases.Find(b.Context(), "acme/a", bench.digest, globs{"*"}); err != nil { // learns all
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				found, err := releases.Find(b.Context(), "acme/a", bench.digest, want)
				if err != nil || bench.want != "" && found.Tag != strings.TrimPrefix(bench.want, "none") {
					b.Fatalf("found by %q, %v", found.Tag, err)
				}
			}
		})
	}
}
