package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
)

// latency is how long the registry takes to answer each request.
const latency = 20 * time.Millisecond

// measureLearning learns a repository through a real client from a slow registry.
func measureLearning(ctx context.Context) (figures, error) {
	r := newSlowRegistry(200, 3, 10)
	front := httptest.NewTLSServer(r)
	defer front.Close()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	authority := filepath.Join(dir, "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		return nil, err
	}
	// example.com is a name in httptest's certificate.
	client, err := remote.New(remote.Options{Upstream: registry{"example.com"}, CAFile: authority, Address: front.Listener.Addr().String()})
	if err != nil {
		return nil, err
	}
	releases := release.New(release.Options{Source: client, TagTTL: time.Hour, Timeout: time.Minute})
	defer releases.Close()
	start := time.Now()
	for _, layer := range []string{r.last, "sha256:" + strings.Repeat("0", 64)} { // the second requires learning all of it
		if _, err := releases.Find(ctx, "acme/appliance", layer, everything{}); err != nil {
			return nil, err
		}
	}
	took := time.Since(start)
	if releases.Size() < r.digests {
		return nil, fmt.Errorf("expected %d digests, found %d", r.digests, releases.Size())
	}
	return figures{"learn_seconds": took.Seconds()}, nil
}

// A slowRegistry keeps images in memory.
type slowRegistry struct {
	tags      []string
	manifests map[string][]byte // by tag and by digest
	digests   int
	last      string // some layer
}

func newSlowRegistry(tags, platforms, layers int) *slowRegistry {
	r := &slowRegistry{manifests: map[string][]byte{}}
	add := func(kind string, digests []string) string {
		body := manifestOf(kind, digests)
		digest := digestOf(body)
		r.manifests[digest] = body
		r.digests++
		return digest
	}
	for tag := range tags {
		var images []string
		for platform := range platforms {
			var blobs []string
			for layer := range layers {
				r.last = digestOf([]byte(fmt.Sprint(tag, platform, layer)))
				blobs = append(blobs, r.last)
				r.digests++
			}
			images = append(images, add("layers", blobs))
		}
		name := fmt.Sprint("1.", tag)
		r.tags = append(r.tags, name)
		r.manifests[name] = r.manifests[add("manifests", images)]
	}
	return r
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ServeHTTP implements http.Handler.
func (r *slowRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	time.Sleep(latency)
	reference := path.Base(q.URL.Path)
	switch {
	case strings.HasSuffix(q.URL.Path, "/tags/list"):
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "acme/appliance", "tags": r.tags})
	case strings.Contains(q.URL.Path, "/referrers/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	default:
		body, ok := r.manifests[reference]
		if !ok {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digestOf(body))
		_, _ = w.Write(body)
	}
}
