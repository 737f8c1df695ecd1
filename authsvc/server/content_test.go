package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/server"
)

// TestServeAndFetch is the contract with nginx where there is a content store: which
// object it may serve, and the registry's key only where it is fetched.
func TestServeAndFetch(t *testing.T) {
	const key = "Basic QVdTOmV1"
	type answer map[string]string
	for _, test := range []struct {
		name, uri    string
		serve, fetch answer
	}{
		{"tag", "/v2/acme/app/manifests/1.4", answer{"X-Registry-Content": "manifest " + digest},
			answer{"X-Registry-Content": "manifest " + digest, "X-Ecr-Path": "/v2/acme/app/manifests/" + digest, "X-Ecr-Authorization": key, "X-Ecr-Token-Id": "eu" + tokenTime}},
		{"tag, with a query", "/v2/acme/app/manifests/1.4?ns=a", answer{"X-Registry-Content": "manifest " + digest},
			answer{"X-Registry-Content": "manifest " + digest, "X-Ecr-Path": "/v2/acme/app/manifests/" + digest + "?ns=a", "X-Ecr-Authorization": key}},
		{"digest", "/v2/acme/app/manifests/" + digest, answer{"X-Registry-Content": "manifest " + digest},
			answer{"X-Registry-Content": "manifest " + digest, "X-Ecr-Path": "/v2/acme/app/manifests/" + digest, "X-Ecr-Authorization": key}},
		{"layer", "/v2/acme/app/blobs/" + digest, answer{"X-Registry-Content": "blob " + digest},
			answer{"X-Registry-Content": "blob " + digest, "X-Ecr-Path": "/v2/acme/app/blobs/" + digest, "X-Ecr-Authorization": key}},
		{"renamed", "/v2/acme/renamed/app/manifests/1.4", answer{"X-Registry-Content": "manifest " + digest},
			answer{"X-Registry-Content": "manifest " + digest, "X-Ecr-Path": "/v2/prod-eu/app/manifests/" + digest, "X-Ecr-Authorization": key}},
		{"referrers", "/v2/acme/app/referrers/" + digest, answer{}, answer{}},
		{"docker login", "/v2/", answer{}, answer{}},
		{"no such tag", "/v2/acme/app/manifests/1.0", answer{"X-Registry-Status": "404", "X-Registry-Error-Code": "MANIFEST_UNKNOWN"},
			answer{"X-Registry-Status": "404", "X-Registry-Error-Code": "MANIFEST_UNKNOWN"}},
		{"a tag that nobody knows at the moment", "/v2/acme/app/manifests/1.2", answer{}, answer{}},
		{"not licensed", "/v2/acme/app/manifests/2.0", answer{"X-Registry-Status": "404"}, answer{"X-Registry-Status": "404"}},
		{"malformed", "/v2/acme/../app/blobs/" + digest, answer{"X-Registry-Status": "400"}, answer{"X-Registry-Status": "400"}},
	} {
		for path, want := range map[string]answer{"/serve": test.serve, "/fetch": test.fetch} {
			t.Run(test.name+path, func(t *testing.T) {
				got := newFleet(t).ask(path, "GET", test.uri, basic("ann@example.com:t0ken"))
				if allowed := want["X-Registry-Status"] == ""; allowed != (got.StatusCode == http.StatusOK) {
					t.Errorf("status %d", got.StatusCode)
				}
				for _, name := range []string{"X-Registry-Content", "X-Ecr-Path", "X-Ecr-Authorization", "X-Registry-Status"} {
					if value := got.Header.Get(name); value != want[name] {
						t.Errorf("%s: %q, want %q", name, value, want[name])
					}
				}
				for name, value := range want {
					if got.Header.Get(name) != value {
						t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
					}
				}
				if got.Header.Get("X-Auth-Subject") == "" && !strings.Contains(test.name, "malformed") {
					t.Error("no subject")
				}
			})
		}
	}
}

// TestStrangersGetNoContent: neither question tells a digest to who may not have it.
func TestStrangersGetNoContent(t *testing.T) {
	for _, path := range []string{"/serve", "/fetch"} {
		for _, credential := range []string{"", basic("ann@example.com:wr0ng")} {
			f := newFixture(t, nil)
			got := f.ask(path, "GET", "/v2/acme/appliance/manifests/1.4", credential)
			isContract(t, got)
			if got.StatusCode != http.StatusUnauthorized || got.Header.Get("X-Registry-Content")+got.Header.Get("X-Ecr-Authorization") != "" {
				t.Errorf("%s: status %d, %v", path, got.StatusCode, got.Header)
			}
		}
	}
}

// TestPurposeIsLogged, so that one pull's two questions can be told apart.
func TestPurposeIsLogged(t *testing.T) {
	for path, want := range map[string]any{"/serve": "serve", "/fetch": "fetch", "/authorize": nil} {
		f := newFleet(t)
		f.ask(path, "GET", "/v2/acme/app/manifests/1.4", basic("ann@example.com:t0ken"))
		var line map[string]any
		for text := range strings.Lines(f.log.String()) {
			if strings.Contains(text, `"`+server.DecisionLine+`"`) {
				if err := json.Unmarshal([]byte(text), &line); err != nil {
					t.Fatal(err)
				}
			}
		}
		if line["purpose"] != want {
			t.Errorf("%s: purpose %v, want %v", path, line["purpose"], want)
		}
	}
}
