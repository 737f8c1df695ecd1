package entitlement_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// A world is a registry whose tags move while the clock goes on. It is a
// release.Source, and it remembers what it had and when.
type world struct {
	random *rand.Rand

	mu           sync.Mutex
	now          time.Time
	repositories map[string]*repository
	failing      bool // every question fails
}

type repository struct {
	manifests map[string]manifest // by digest
	tags      map[string][]had    // by name; the last is what it has
	digests   []string            // of everything, foreign and absent ones too
}

// A had is what a tag had from a moment on; nothing if the digest is empty.
type had struct {
	digest string
	from   time.Time
	asked  bool // a customer was let through to it since
}

// A manifest is what one reaches, and its bytes.
type manifest struct {
	body                       []byte
	children, blobs, referrers []string
}

var errFails = errors.New("the registry fails")

// Place implements release.Source.
func (w *world) Place(repository string) (release.Place, error) {
	return release.Place{Registry: "main", Host: "registry.example", Repository: repository}, nil
}

// Tags implements release.Source.
func (w *world) Tags(_ context.Context, repository string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.repository(repository)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, history := range r.tags {
		if history[len(history)-1].digest != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Resolve implements release.Source.
func (w *world) Resolve(_ context.Context, repository, tag string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.repository(repository)
	if err != nil {
		return "", err
	}
	return r.current(tag)
}

// Manifest implements release.Source.
func (w *world) Manifest(_ context.Context, repository, reference string) (release.Manifest, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.repository(repository)
	if err != nil {
		return release.Manifest{}, err
	}
	digest := reference
	if !strings.Contains(reference, ":") {
		if digest, err = r.current(reference); err != nil {
			return release.Manifest{}, err
		}
	}
	m, ok := r.manifests[digest]
	if !ok {
		return release.Manifest{}, release.ErrNotFound
	}
	return release.Manifest{Digest: digest, Body: m.body}, nil
}

// Referrers implements release.Source.
func (w *world) Referrers(_ context.Context, repository, digest string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.repository(repository)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.manifests[digest].referrers), nil
}

func (w *world) repository(name string) (*repository, error) {
	if w.failing {
		return nil, errFails
	}
	r, ok := w.repositories[name]
	if !ok {
		return nil, release.ErrNotFound
	}
	return r, nil
}

func (r *repository) current(tag string) (string, error) {
	history := r.tags[tag]
	if len(history) == 0 || history[len(history)-1].digest == "" {
		return "", release.ErrNotFound
	}
	return history[len(history)-1].digest, nil
}

// Now is the world's clock.
func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) fail(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing = on
}

// newWorld makes two or three repositories that share layers and images.
func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), repositories: map[string]*repository{}}
	var blobs []string
	for i := range 10 {
		blobs = append(blobs, digestOf(fmt.Sprintf("blob %d %d", seed, i)))
	}
	names := []string{"acme/appliance", "acme/tools", "other/appliance"}[:2+w.random.IntN(2)]
	shared := w.images(4, blobs, "shared")
	for _, name := range names {
		r := &repository{manifests: map[string]manifest{}, tags: map[string][]had{}}
		w.repositories[name] = r
		for digest, m := range w.images(2+w.random.IntN(4), blobs, name) {
			r.manifests[digest] = m
		}
		for digest, m := range shared {
			if w.random.IntN(2) == 0 {
				r.manifests[digest] = m
			}
		}
		w.addIndexes(r, shared)
		w.addReferrers(r, blobs)
		for _, digest := range sortedKeys(r.manifests) {
			r.digests = append(r.digests, digest)
			r.digests = append(r.digests, r.manifests[digest].children...)
		}
		r.digests = append(r.digests, blobs...)
		for range 3 + w.random.IntN(5) {
			w.moveTag(r)
		}
	}
	return w
}

var tagNames = []string{"1.0", "1.1", "1.2", "2.0", "2.1", "latest", "edge"}

// moveTag gives a tag, of a plain name or one that belongs to a digest, some
// manifest of the repository, or takes it away.
func (w *world) moveTag(r *repository) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := tagNames[w.random.IntN(len(tagNames))]
	digests := sortedKeys(r.manifests)
	if w.random.IntN(6) == 0 {
		belongs := digests[w.random.IntN(len(digests))]
		name = strings.Replace(belongs, ":", "-", 1) + []string{"", ".sig", ".att", ".sbom"}[w.random.IntN(4)]
	}
	to := had{from: w.now}
	if w.random.IntN(8) != 0 {
		to.digest = digests[w.random.IntN(len(digests))]
	}
	if history := r.tags[name]; len(history) > 0 && history[len(history)-1].digest == to.digest || len(history) == 0 && to.digest == "" {
		return
	}
	r.tags[name] = append(r.tags[name], to)
}

func (w *world) images(n int, blobs []string, name string) map[string]manifest {
	made := map[string]manifest{}
	for i := range n {
		m := manifest{}
		for range 1 + w.random.IntN(4) {
			m.blobs = append(m.blobs, blobs[w.random.IntN(len(blobs))])
		}
		var body string
		switch w.random.IntN(10) {
		case 0: // of Docker's schema 1
			body = object(map[string]any{"schemaVersion": 1, "name": name, "tag": fmt.Sprint(i), "fsLayers": each("blobSum", m.blobs)})
		case 1: // broken
			body, m.blobs = fmt.Sprintf(`{"layers": [{"digest": "%s"} %s %d`, m.blobs[0], name, i), nil
		default:
			body = object(map[string]any{"schemaVersion": 2, "config": map[string]any{"digest": m.blobs[0]}, "layers": each("digest", m.blobs[1:]), "annotations": map[string]any{"n": fmt.Sprint(name, i)}})
		}
		m.body = []byte(body)
		made[digestOf(body)] = m
	}
	return made
}

// addIndexes adds indexes of images and of indexes, of what another repository
// has, of what nobody has, and of each other in a circle.
func (w *world) addIndexes(r *repository, shared map[string]manifest) {
	for i := range 1 + w.random.IntN(3) {
		candidates := append(sortedKeys(r.manifests), sortedKeys(shared)...)
		candidates = append(candidates, digestOf(fmt.Sprint("nobody's ", i)))
		m := manifest{}
		for range 1 + w.random.IntN(3) {
			m.children = append(m.children, candidates[w.random.IntN(len(candidates))])
		}
		m.body = []byte(object(map[string]any{"schemaVersion": 2, "manifests": each("digest", m.children)}))
		r.manifests[digestOf(string(m.body))] = m
	}
	// An image whose layer has the bytes of a manifest: who may have them as a
	// layer may not for that have what they name.
	digests := sortedKeys(r.manifests)
	trap := manifest{blobs: []string{digests[w.random.IntN(len(digests))]}}
	trap.body = []byte(object(map[string]any{"schemaVersion": 2, "layers": each("digest", trap.blobs)}))
	r.manifests[digestOf(string(trap.body))] = trap
	if w.random.IntN(3) == 0 {
		one, two := digestOf("circle 1"), digestOf("circle 2")
		digests := sortedKeys(r.manifests)
		for self, children := range map[string][]string{one: {two}, two: {one, digests[w.random.IntN(len(digests))]}} {
			r.manifests[self] = manifest{children: children, body: []byte(object(map[string]any{"manifests": each("digest", children)}))}
		}
	}
}

// addReferrers adds signatures and SBOMs, and signatures of these.
func (w *world) addReferrers(r *repository, blobs []string) {
	for i := range w.random.IntN(4) {
		digests := sortedKeys(r.manifests)
		subject := digests[w.random.IntN(len(digests))]
		m := manifest{blobs: []string{digestOf(fmt.Sprint("signature ", i)), blobs[w.random.IntN(len(blobs))]}}
		m.body = []byte(object(map[string]any{"schemaVersion": 2, "config": map[string]any{"digest": m.blobs[0]}, "layers": each("digest", m.blobs[1:]), "subject": map[string]any{"digest": subject}, "annotations": map[string]any{"n": fmt.Sprint(i)}}))
		self := digestOf(string(m.body))
		r.manifests[self] = m
		r.digests = append(r.digests, m.blobs[0])
		of := r.manifests[subject]
		of.referrers = append(slices.Clone(of.referrers), self)
		r.manifests[subject] = of
	}
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func object(keys map[string]any) string {
	text, err := json.Marshal(keys)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func each(key string, values []string) []map[string]string {
	made := []map[string]string{}
	for _, value := range values {
		made = append(made, map[string]string{key: value})
	}
	return made
}

func sortedKeys(m map[string]manifest) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
