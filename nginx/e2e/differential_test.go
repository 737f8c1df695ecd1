package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// pieces are parts of odd request targets, which proxies normalize in different
// ways (ingress-nginx #8644; Malcolm #1042, #1055, #1106).
var pieces = []string{
	"/", "//", "/./", "/../", "/..;/", "%2e", "%2e%2e", "%2f", "%2F", "%5c", `\`, "%00", "%0d%0a", "%", "%zz", "%25", "%252e", ";", ";a=b",
	"?", "?n=1", "?n=1&last=x", "&", "#", "a", "A", "acme", "ACME", "appliance", "other", "v2", "V2", "manifests", "blobs", "tags", "list", "referrers",
	"_catalog", "1.0", "latest", ":", "@", "sha256:" + strings.Repeat("a", 64), "é", "\x80", "+", "~", "*", "|", "'", "..", ".", "-", "_", "__",
	strings.Repeat("a", 300), "http://evil.example", "/v2/", "/v2/acme/appliance/", "manifests/1.0", "blobs/", "/_registry/authorize",
}

// TestForwardedIsAuthorized: whatever reaches the registry is, byte for byte, what
// authsvc allowed. Everything else is refused in the registry's JSON.
func TestForwardedIsAuthorized(t *testing.T) {
	for _, server := range []string{"", "merge_slashes off;"} {
		s := start(t, stack.Options{Interpose: true, Server: "include registry/dedicated.conf;\n" + server})
		push(t, s, "acme/appliance:1.0")
		// The output of a failure has the seed to reproduce it.
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		uris := []string{
			manifest, manifest + "?x", manifest + "#x", manifest + "/", "/v2//acme/appliance/manifests/1.0", "/v2/acme/./appliance/manifests/1.0",
			"/v2/acme/x/../appliance/manifests/1.0", "/v2/acme%2fappliance/manifests/1.0", "/V2/acme/appliance/manifests/1.0", "/v2/acme/appliance/manifests/1%2e0",
			"/v2/acme/appliance/../../other/manifests/1.0", "http://evil.example" + manifest, "/v2/" + strings.Repeat("a/", 3000), "/v2", "/", "*", "/v2/acme/appliance/tags/list?n=1",
		}
		for range 400 {
			uri := "/v2/"
			for range 1 + random.IntN(6) {
				uri += pieces[random.IntN(len(pieces))]
			}
			uris = append(uris, uri)
		}
		for _, uri := range uris {
			s.Forget()
			r := request{uri: uri, method: http.MethodGet}
			a := send(t, s, r)
			var judged []string
			for _, asked := range s.Authsvc.Requests() {
				judged = append(judged, asked.Header.Get("X-Original-Uri"))
			}
			for _, sent := range s.ECR.Front.Requests() {
				if !slices.Contains(judged, sent.URI) {
					t.Errorf("seed %d: %q was forwarded as %q, authsvc judged %q", seed, uri, sent.URI, judged)
				}
				if want := uri; sent.URI != want && "http://evil.example"+sent.URI != want {
					t.Errorf("seed %d: %q was forwarded as %q", seed, uri, sent.URI)
				}
			}
			if a.status >= 400 {
				if _, _, err := registryError(a.body); err != nil {
					t.Errorf("seed %d: %q: status %d: %v", seed, uri, a.status, err)
				}
			}
			wantNoLeak(t, fmt.Sprintf("seed %d: %q", seed, uri), a)
		}
	}
}
