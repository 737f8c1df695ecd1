package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pullgate/pullgate/nginx/stack"
)

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// withContent starts a stack with a content store.
func withContent(t *testing.T, opts stack.Options) *stack.Stack {
	t.Helper()
	if opts.Content == nil {
		opts.Content = map[string]any{}
	}
	return start(t, opts)
}

// upstreamRequests are those to the registry, by nginx and by the store, and to its
// storage.
func upstreamRequests(s *stack.Stack) int {
	return int(s.ECR.Front.Received() + s.ECR.Endpoint.Received() + s.ECR.Bucket.Received())
}

// file is where the content store keeps something.
func file(s *stack.Stack, kind, digest, extension string) string {
	algorithm, digits, _ := strings.Cut(digest, ":")
	return filepath.Join(s.ContentFolder(), kind, algorithm, digits[:2], digits[2:]+extension)
}

// waitForFile waits until the content store has kept something: the client may have it
// a moment earlier.
func waitForFile(t *testing.T, path string) {
	t.Helper()
	waitFor(t, "a file "+path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

func sha256Of(body string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))) }

// wantContent fails unless an answer is the whole content of a digest.
func wantContent(t *testing.T, what string, a answer, digest, contentType string) {
	t.Helper()
	if a.status != http.StatusOK || sha256Of(a.body) != digest {
		t.Fatalf("%s: status %d, %s; want %s: %.300s", what, a.status, sha256Of(a.body), digest, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": contentType, "Docker-Content-Digest": digest, "Etag": `"` + digest + `"`, "Content-Length": fmt.Sprint(len(a.body)),
		"Accept-Ranges": "bytes", "Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff", "Last-Modified": "", "Location": "",
	} {
		if got := strings.Join(a.header.Values(name), " and "); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	wantRequestID(t, what, a)
	wantNoLeak(t, what, a)
}

// layers are an image's, and its configuration.
func layers(t *testing.T, img v1.Image) (digests []string) {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(m.Layers, m.Config) {
		digests = append(digests, d.Digest.String())
	}
	return digests
}

// TestContent: what is cold is fetched once, through the same host, and then comes from
// a file, without a question to the registry; in every protocol.
func TestContent(t *testing.T) {
	s := withContent(t, stack.Options{})
	wantColdThenWarm(t, s)
	wantNoWarning(t, s)
}

func wantColdThenWarm(t *testing.T, s *stack.Stack) {
	t.Helper()
	for i, proto := range protocols {
		reference := fmt.Sprintf("acme/appliance:1.%d", i)
		digest := push(t, s, reference)
		img, err := stack.Image(reference)
		if err != nil {
			t.Fatal(err)
		}
		byTag, byDigest := "/v2/acme/appliance/manifests/1."+fmt.Sprint(i), "/v2/acme/appliance/manifests/"+digest
		for _, state := range []string{"cold", "warm"} {
			what := proto + " " + state
			for _, uri := range []string{byTag, byDigest} {
				wantContent(t, what+" "+uri, send(t, s, request{proto: proto, uri: uri}), digest, dockerManifest)
				wantContent(t, what+" without Accept "+uri, send(t, s, request{proto: proto, uri: uri, bare: true}), digest, dockerManifest)
			}
			for _, layer := range layers(t, img) {
				wantContent(t, what+" "+layer, send(t, s, request{proto: proto, uri: "/v2/acme/appliance/blobs/" + layer}), layer, "application/octet-stream")
			}
			if state == "warm" {
				if n := upstreamRequests(s); n != 0 {
					t.Errorf("%s: the registry and its storage were asked %d times", proto, n)
				}
				break
			}
			waitForFile(t, file(s, "manifests", digest, ".docker-manifest"))
			for _, layer := range layers(t, img) {
				waitForFile(t, file(s, "blobs", layer, ""))
			}
			s.Forget()
		}
		a := send(t, s, request{proto: proto, method: http.MethodHead, uri: byTag})
		if a.status != 200 || a.header.Get("Docker-Content-Digest") != digest || a.header.Get("Content-Type") != dockerManifest {
			t.Errorf("%s HEAD: status %d, %v", proto, a.status, a.header)
		}
	}
}
