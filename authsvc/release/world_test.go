package release_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const host = "registry.example.com"

// world is a registry in memory, a clock, and releases learned from them.
type world struct {
	t        testing.TB
	registry http.Handler
	source   release.Source // that asks it
	releases *release.Releases

	mu     sync.Mutex
	now    time.Time
	asked  []string                                      // method and path of what was asked
	before func(http.ResponseWriter, *http.Request) bool // answers instead of the registry
	after  func(*http.Request, *http.Response)           // is told of each answer
	host   string
	// Why there is no usable token, and why not even the host is known.
	noToken, noHost error
}

// named is a source with the name of the registry.
type named struct{ release.Source }

func (s named) Place(repository string) (release.Place, error) {
	at, err := s.Source.Place(repository)
	at.Registry = "main"
	return at, err
}

func newWorld(t testing.TB, change func(*release.Options)) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), host: host,
		registry: registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))),
	}
	w.releases = w.newReleases(change)
	return w
}

// newReleases makes another memory of the same registry, as after a restart.
func (w *world) newReleases(change func(*release.Options)) *release.Releases {
	w.t.Helper()
	client, err := remote.New(remote.Options{Upstream: w, Transport: w})
	if err != nil {
		w.t.Fatal(err)
	}
	w.source = named{client}
	o := release.Options{Source: w.source, Now: w.clock, Previous: 24 * time.Hour, Stale: 24 * time.Hour, Timeout: 30 * time.Second}
	if change != nil {
		change(&o)
	}
	g := release.New(o)
	w.t.Cleanup(g.Close)
	return g
}

// Host implements remote.Upstream.
func (w *world) Host() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host, w.noHost
}

// Current implements remote.Upstream.
func (w *world) Current() (tokenfile.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return tokenfile.Token{Host: w.host, Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:x")))}, errors.Join(w.noToken, w.noHost)
}

// Renew implements remote.Upstream.
func (w *world) Renew(context.Context, string) (tokenfile.Token, error) {
	return tokenfile.Token{}, fmt.Errorf("no other token")
}

// RoundTrip implements http.RoundTripper: what is asked.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	before, after := w.before, w.after
	w.mu.Unlock()
	recorder := httptest.NewRecorder()
	if before == nil || !before(recorder, r) {
		w.registry.ServeHTTP(recorder, r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	if after != nil {
		after(r, response)
	}
	return response, nil
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// answer lets f answer what is asked; nil for the registry.
func (w *world) answer(f func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

// down makes the registry fail.
func (w *world) down() {
	w.answer(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusInternalServerError)
		return true
	})
}

// questions returns what was asked since the last call.
func (w *world) questions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// seen returns the questions so far whose path has a part.
func (w *world) seen(part string) (asked []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, question := range w.asked {
		if strings.Contains(question, part) {
			asked = append(asked, question)
		}
	}
	return asked
}

// put pushes a manifest under a tag or a digest, and returns its digest.
func (w *world) put(repository, reference string, manifest any) string {
	w.t.Helper()
	body, ok := manifest.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(manifest); err != nil {
			w.t.Fatal(err)
		}
	}
	digest := "sha256:" + fmt.Sprintf("%x", sha256.Sum256(body))
	if reference == "" {
		reference = digest
	}
	w.do(http.MethodPut, repository, reference, body)
	return digest
}

// delete deletes a tag, or a manifest, of acme/appliance.
func (w *world) delete(reference string) {
	w.t.Helper()
	w.do(http.MethodDelete, appliance, reference, nil)
}

func (w *world) do(method, repository, reference string, body []byte) {
	w.t.Helper()
	r := httptest.NewRequest(method, "/v2/"+repository+"/manifests/"+reference, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	recorder := httptest.NewRecorder()
	w.registry.ServeHTTP(recorder, r)
	if recorder.Code >= 300 {
		w.t.Fatalf("%s %s:%s: %d %s", method, repository, reference, recorder.Code, recorder.Body)
	}
}

type object = map[string]any

// blob is the digest of a blob by its name. The registry need not have it:
// nobody ever fetches one.
func blob(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("blob "+name))) }

func descriptor(digest string) object {
	return object{"mediaType": "application/octet-stream", "digest": digest, "size": 1}
}

func descriptors(digests ...string) []object {
	list := []object{}
	for _, d := range digests {
		list = append(list, descriptor(d))
	}
	return list
}

// image is an image's manifest: a configuration of its own, and layers.
func image(name string, layers ...string) object {
	return object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor(blob("config " + name)), "layers": descriptors(layers...)}
}

// referrer is an artifact that refers to a subject.
func referrer(subject, name string, layers ...string) object {
	m := image(name, layers...)
	m["artifactType"], m["subject"] = "application/x-"+name, descriptor(subject)
	return m
}

func index(digests ...string) object {
	return object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": descriptors(digests...)}
}

// globs are tags by patterns.
type globs []string

func (g globs) Match(tag string) bool {
	return slices.ContainsFunc(g, func(glob string) bool {
		ok, _ := path.Match(glob, tag)
		return ok
	})
}

func (g globs) Key() string { return strings.Join(g, " ") }

// found asks the releases, and fails the test if it could not find out.
func (w *world) found(repository, digest string, want ...string) string {
	w.t.Helper()
	tag, err := w.find(repository, digest, want...)
	if err != nil {
		w.t.Fatal(err)
	}
	return tag
}

// find asks the releases for the tag alone.
func (w *world) find(repository, digest string, want ...string) (tag string, err error) {
	w.t.Helper()
	found, err := w.releases.Find(w.t.Context(), repository, digest, globs(want))
	return found.Tag, err
}

// pin asks the releases for a manifest of acme/appliance.
func (w *world) pin(reference string) (digest string, schema1 bool, err error) {
	w.t.Helper()
	pinned, err := w.releases.Pin(w.t.Context(), manifest(appliance, reference))
	return pinned.Digest, pinned.Schema1, err
}
