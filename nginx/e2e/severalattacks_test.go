package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// attacksAcross: a right in one registry opens nothing in another, and no name leads
// to a registry that does not have its prefix.
func attacksAcross(t *testing.T, s *several) {
	appliance, err := s.appliance.Digest()
	if err != nil {
		t.Fatal(err)
	}
	own, layer := appliance.String(), layerOfImage(t, s.appliance)
	us, usLayer := digestOf(t, "us/appliance:1.0"), layerOf(t, "us/appliance:1.0")
	vendor, vendorLayer := digestOf(t, innerPrefix+"app:1.0"), layerOf(t, innerPrefix+"app:1.0")
	onlyUS := digestOf(t, "acme/only-us:1.0")
	stolen := digestOf(t, "partner/appliance:1.0") // which eu has under the partner's name

	// What each may have is known, so that it could be found in the wrong place.
	for customer, uris := range map[string][]string{
		"eve": {"/v2/acme/appliance/manifests/" + own, "/v2/acme/appliance/blobs/" + layer},
		"pat": {"/v2/partner/appliance/manifests/" + own, "/v2/partner/appliance/blobs/" + layer},
		"bob": {"/v2/us/appliance/manifests/" + us, "/v2/acme/appliance/manifests/" + own, "/v2/partner/other/manifests/1.0"},
		email: {"/v2/vendor/app/manifests/" + vendor, "/v2/vendor/app/blobs/" + vendorLayer, "/v2/us/appliance/blobs/" + usLayer},
	} {
		for _, uri := range uris {
			if a := send(t, s.Stack, as(customer, request{uri: uri})); a.status != 200 && a.status != 307 {
				t.Errorf("%s: %s: status %d: %s", customer, uri, a.status, a.body)
			}
		}
	}

	all := func(repository, tag, manifest, blob string) []string {
		return []string{repository + "/manifests/" + tag, repository + "/manifests/" + manifest, repository + "/blobs/" + blob, repository + "/referrers/" + manifest}
	}
	for _, attack := range []struct {
		name, customer string
		uris           []string
		code           string // of all; empty for what the kind of request has
	}{
		{"the same digest, the right to eu's alone", "eve", all("partner/appliance", "1.0", own, layer), "NAME_UNKNOWN"},
		{"the same digest, the right to the partner's alone", "pat", all("acme/appliance", "1.0", own, layer), "NAME_UNKNOWN"},
		{"eu's digest in us", "bob", all("us/appliance", "none", own, layer), ""},
		{"eu's digest in the partner's", "bob", all("partner/other", "none", own, layer), ""},
		{"us's digest in eu", "bob", all("acme/appliance", "none", us, usLayer), ""},
		{"a renamed repository's digest in its registry", "bob", all("acme/appliance", "none", vendor, vendorLayer), ""},
		{"eu's digest in a renamed repository", email, all("vendor/app", "none", own, layer), ""},
		{"the inner name", email, all("prod-eu/app", "1.0", vendor, vendorLayer), ""},
		{"the inner name, licensed", "ivy", all("prod-eu/app", "1.0", vendor, vendorLayer), ""},
		{"the inner name, by a license for everything", "wilson", all("prod-eu/app", "1.0", vendor, vendorLayer), "NAME_UNKNOWN"},
		{"the inner prefix without its slash", "ivy", []string{"prod-eu/manifests/1.0"}, "NAME_UNKNOWN"},
		{"a prefix without its slash", "ivy", []string{"acme/manifests/1.0", "vendorx/app/manifests/1.0"}, "NAME_UNKNOWN"},
		{"the stand-by's own content", email, all("acme/only-us", "1.0", onlyUS, layerOf(t, "acme/only-us:1.0")), ""},
		{"the stand-by's own content, renamed", email, all("vendor/only-us", "1.0", onlyUS, layerOf(t, innerPrefix+"only-us:1.0")), ""},
		{"the stand-by's prefix before eu's names", email, all("us/acme/appliance", "1.0", own, layer), ""},
		{"the partner's name in eu", email, all("partner/appliance", "none", stolen, layerOf(t, "partner/appliance:1.0")), ""},
	} {
		t.Run(attack.name, func(t *testing.T) {
			s.Forget()
			for _, uri := range attack.uris {
				every(t, s.Stack, as(attack.customer, request{uri: "/v2/" + uri, header: []string{"Range: bytes=0-99"}}), func(r request, a answer) {
					wantNotServed(t, r, a, attack.code)
				})
			}
			wantOnlyTagsForwarded(t, s)
		})
	}
}

// wantNotServed: a 404 in the words of what was asked for, or with one code.
func wantNotServed(t *testing.T, r request, a answer, code string) {
	t.Helper()
	if code != "" {
		wantError(t, r, a, http.StatusNotFound, code)
		return
	}
	if r.method == http.MethodHead {
		wantError(t, r, a, http.StatusNotFound, "")
		return
	}
	code, _, err := registryError(a.body)
	if err != nil || code != "NAME_UNKNOWN" && code != "MANIFEST_UNKNOWN" && code != "BLOB_UNKNOWN" {
		t.Errorf("%s: code %s, %v", r.uri, code, err)
	}
	wantError(t, r, a, http.StatusNotFound, code)
}

// wantOnlyTagsForwarded: a digest that nothing licensed leads to is not asked for. A
// licensed tag that does not exist may be.
func wantOnlyTagsForwarded(t *testing.T, s *several) {
	t.Helper()
	for _, u := range []*stack.Upstream{s.eu, s.us, s.partner} {
		for _, r := range u.Front.Requests() {
			if strings.Contains(r.URI, "sha256:") {
				t.Errorf("%s was asked for %s", u.Name, r.URI)
			}
		}
	}
}

// digestOf is the digest of the image that pushTo generates.
func digestOf(t *testing.T, reference string) string {
	t.Helper()
	digest, err := imageOf(t, reference).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
