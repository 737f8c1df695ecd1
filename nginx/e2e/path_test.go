package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestPathOfAuthsvc: nginx forwards the path that authsvc gives only if it asks for
// what the client asks for, in another repository or by digest. Anything else is an
// outage, and nothing is forwarded.
func TestPathOfAuthsvc(t *testing.T) {
	s := start(t, stack.Options{})
	authorization := tokenOf(t, s)
	var path string
	if _, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ecr-Authorization", authorization)
		w.Header().Set("X-Ecr-Registry", s.ECR.Name())
		w.Header().Set("X-Ecr-Token-Id", "main.1")
		if path != "" {
			w.Header().Set("X-Ecr-Path", path)
		}
	})); err != nil {
		t.Fatal(err)
	}
	const repository = "/v2/acme/appliance"
	digest, other := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	for _, test := range []struct {
		asked     string
		forwarded []string // as they are
		refused   []string
	}{
		{repository + "/manifests/1.0", []string{
			"", "/v2/prod-eu/app/manifests/1.0", "/v2/a/manifests/1.0", "/v2/a__b/c.d/e-f/manifests/1.0", "/v2/prod-eu/app/manifests/" + digest,
			repository + "/manifests/sha512:" + strings.Repeat("0", 128),
		}, []string{
			"/v2/prod-eu/app/manifests/1.1", "/v2/prod-eu/app/manifests/1.0.0", "/v2/prod-eu/app/manifests/1", "/v2/prod-eu/app/manifests/",
			"/v2/prod-eu/app/blobs/" + digest, "/v2/prod-eu/app/referrers/" + digest, "/v2/prod-eu/app/tags/list", "/v2/_catalog", "/v2/", "/",
			"/v2/prod-eu/app/manifests/1.0?x", "/v2/prod-eu/app/manifests/1.0/", "/v2/prod-eu/app/manifests/1.0#x", "/v2/prod-eu/app/manifests/1.0|",
			"/v2/prod-eu/../manifests/1.0", "/v2/prod-eu//app/manifests/1.0", "/v2//app/manifests/1.0", "/v2/PROD/app/manifests/1.0", "/v2/a%2fb/manifests/1.0",
			"/v2/prod eu/manifests/1.0", "/v2/manifests/1.0", "v2/a/manifests/1.0", "//evil.example/v2/a/manifests/1.0", "https://evil.example/v2/a/manifests/1.0",
			"@evil.example/v2/a/manifests/1.0", ".evil.example/v2/a/manifests/1.0", "/v2/a/manifests/1.0 HTTP/1.1", "/v2/a/manifests/sha256:" + strings.Repeat("a", 63),
			"/v2/a/manifests/sha256:" + strings.Repeat("A", 64), "/v2/a/manifests/" + digest + "a", "/v2/a/manifests/" + digest + "?x", "/v2/a/manifests/md5:00",
		}},
		{repository + "/manifests/" + digest, []string{"/v2/prod-eu/app/manifests/" + digest}, []string{
			"/v2/prod-eu/app/manifests/1.0", "/v2/prod-eu/app/blobs/" + digest, "/v2/prod-eu/app/manifests/" + other, repository + "/manifests/" + other,
		}},
		{repository + "/blobs/" + digest, []string{"/v2/prod-eu/app/blobs/" + digest}, []string{
			"/v2/prod-eu/app/blobs/" + other, "/v2/prod-eu/app/manifests/" + digest, repository + "/blobs/" + other,
		}},
		{repository + "/referrers/" + digest + "?artifactType=a%2Fb", []string{"/v2/prod-eu/app/referrers/" + digest + "?artifactType=a%2Fb"}, []string{
			"/v2/prod-eu/app/referrers/" + digest, "/v2/prod-eu/app/referrers/" + digest + "?artifactType=a%2Fc",
			"/v2/prod-eu/app/referrers/" + digest + "?artifactType=a/b", "/v2/prod-eu/app/referrers/" + other + "?artifactType=a%2Fb",
		}},
	} {
		for _, path = range test.forwarded {
			s.ECR.Front.Forget()
			want := path
			if want == "" {
				want = test.asked
			}
			every(t, s, request{uri: test.asked}, func(request, answer) {})
			requests := s.ECR.Front.Requests()
			if len(requests) != 2*len(protocols) {
				t.Errorf("%s as %q: forwarded %d times, want %d", test.asked, path, len(requests), 2*len(protocols))
			}
			for _, r := range requests {
				if r.URI != want {
					t.Errorf("%s as %q: forwarded as %s", test.asked, path, r.URI)
				}
			}
		}
		s.ECR.Front.Forget()
		for _, path = range test.refused {
			every(t, s, request{uri: test.asked}, func(r request, a answer) {
				wantError(t, r, a, 503, "UNAVAILABLE")
				if n := s.ECR.Front.Received(); n != 0 {
					t.Errorf("%s as %q: forwarded %d times", test.asked, path, n)
					s.ECR.Front.Forget()
				}
			})
		}
	}
}
