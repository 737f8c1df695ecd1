package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/registry"
)

func TestImagePath(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for reference, want := range map[string]string{
		"acme/appliance:1.9":                   "/v2/acme/appliance/manifests/1.9",
		"acme/appliance":                       "/v2/acme/appliance/manifests/latest",
		"appliance":                            "/v2/appliance/manifests/latest",
		"acme/appliance@" + digest:             "/v2/acme/appliance/manifests/" + digest,
		"acme/appliance:1.9@" + digest:         "/v2/acme/appliance/manifests/" + digest,
		"docker.vendor.com/acme/appliance:1.9": "/v2/acme/appliance/manifests/1.9",
		"localhost:5000/appliance":             "/v2/appliance/manifests/latest",
		"/v2/acme/appliance/blobs/" + digest:   "/v2/acme/appliance/blobs/" + digest,
	} {
		got := registry.ImagePath(reference)
		if got != want {
			t.Errorf("%s: got %s, want %s", reference, got, want)
		}
		if _, refusal := registry.Parse(http.MethodGet, got); refusal != nil {
			t.Errorf("%s: %s", got, refusal)
		}
	}
}
