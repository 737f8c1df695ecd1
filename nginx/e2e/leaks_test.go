package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// TestAnswersRevealNothing requests everything, with all parts up and during outages,
// and looks in every answer for what is behind nginx. make secrets looks for
// credentials and tokens, in everything else too.
func TestAnswersRevealNothing(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: quick})
	digest := push(t, s, "acme/appliance:1.0")
	for _, tag := range []string{"1.1", "1.2", "1.3"} {
		push(t, s, "acme/appliance:"+tag)
	}
	blob := layerOf(t, "acme/appliance:1.0")
	uris := []string{
		"/v2/", "/v2/_catalog", manifest, "/v2/acme/appliance/manifests/" + digest, "/v2/acme/appliance/manifests/none",
		"/v2/acme/appliance/manifests/sha256:" + strings.Repeat("0", 64), "/v2/acme/appliance/blobs/" + blob,
		"/v2/acme/appliance/blobs/sha256:" + strings.Repeat("0", 64), "/v2/acme/appliance/tags/list", "/v2/acme/appliance/tags/list?n=2",
		"/v2/acme/nothing/tags/list", "/v2/other/x/tags/list", "/v2/acme/appliance/referrers/" + digest, "/v2/acme/appliance/tags/list?n=100000",
	}
	ask := func() {
		for _, uri := range uris {
			for _, r := range []request{{uri: uri}, {uri: uri, anonymous: true}, {uri: uri, user: email, password: "the-wrong-token"}} {
				every(t, s, r, func(r request, a answer) { wantNoLeak(t, r.proto+" "+r.method+" "+r.uri, a) })
			}
		}
	}
	ask()
	for _, fault := range []standin.Fault{
		s.ECR.DenyByIAM(), {Status: 401, Header: http.Header{"Www-Authenticate": {`Basic realm="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/"`}}},
		{Status: 500, Body: leaky}, {Reset: true},
	} {
		s.ECR.Front.Inject(fault)
		ask()
		s.ECR.Front.ClearFaults()
	}
	s.ECR.InvalidateTokens()
	ask()
}

// fetch gets a URL without a credential.
func fetch(t *testing.T, url string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(response)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// layerOf returns the digest of a layer of the image that push makes for reference.
func layerOf(t *testing.T, reference string) string {
	t.Helper()
	img, err := stack.Image(reference)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// TestLinkIsRelative: ECR's Link names the account and another host.
func TestLinkIsRelative(t *testing.T) {
	s := start(t, stack.Options{})
	for _, tag := range []string{"1.0", "1.1", "1.2"} {
		push(t, s, "acme/appliance:"+tag)
	}
	seen := 0
	uri := "/v2/acme/appliance/tags/list?n=1"
	for uri != "" {
		a := get(t, s, uri)
		if a.status != 200 {
			t.Fatalf("%s: status %d", uri, a.status)
		}
		seen++
		link := a.header.Get("Link")
		uri = ""
		if link != "" {
			next, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			if !ok || !strings.HasPrefix(next, "/v2/acme/appliance/tags/list?") {
				t.Fatalf("Link %q, want a relative one", link)
			}
			uri = next
		}
	}
	if seen != 3 {
		t.Errorf("%d pages, want 3", seen)
	}
}

// TestBlobs: a redirect passes unchanged. Range and HEAD work at its target, which
// does not need the customer's credential.
func TestBlobs(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	every(t, s, request{uri: "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0"), header: []string{"Range: bytes=0-9"}}, func(r request, a answer) {
		location := a.header.Get("Location")
		if r.method == http.MethodHead {
			if a.status != http.StatusOK || a.header.Get("Content-Length") == "" {
				t.Errorf("%s HEAD: status %d, Content-Length %q", r.proto, a.status, a.header.Get("Content-Length"))
			}
			return
		}
		if a.status != http.StatusTemporaryRedirect || !strings.HasPrefix(location, s.ECR.Bucket.URL()) {
			t.Fatalf("%s %s: status %d to %q, want 307 to the bucket", r.proto, r.method, a.status, location)
		}
	})
	for _, r := range s.ECR.Bucket.Requests() {
		t.Errorf("nginx asked the bucket: %s", r.URI)
	}
}
