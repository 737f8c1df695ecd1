package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// renamed: whatever is asked of a renamed repository, no answer and no log line
// about a customer has the registry's name for it.
func renamed(t *testing.T, s *several) {
	img := imageOf(t, innerPrefix+"app:2.0")
	digest := pushImage(t, s.eu, innerPrefix+"app:2.0", img)
	signature := pushImage(t, s.eu, innerPrefix+"app:signature", artifact(t, img, "application/x-signature"))
	layer, unknown := layerOfImage(t, img), "sha256:"+strings.Repeat("0", 64)
	served := map[string]int{
		"/v2/_catalog": 200, "/v2/vendor/app/tags/list": 200, "/v2/vendor/app/tags/list?n=1": 200,
		"/v2/vendor/app/manifests/2.0": 200, "/v2/vendor/app/manifests/" + digest: 200, "/v2/vendor/app/blobs/" + layer: 307,
		"/v2/vendor/app/referrers/" + digest: 200, "/v2/vendor/app/manifests/" + signature: 200,
		"/v2/vendor/app/referrers/" + digest + "?artifactType=application%2Fx-signature": 200,
		"/v2/vendor/app/manifests/none": 404, "/v2/vendor/app/manifests/" + unknown: 404, "/v2/vendor/app/blobs/" + unknown: 404,
		"/v2/vendor/app/referrers/" + unknown: 404, "/v2/vendor/app/tags/none": 404, "/v2/vendor/none/manifests/1.0": 404,
		"/v2/vendor/app/manifests/.x": 400, "/v2/vendor/app/blobs/sha256:x": 400,
	}
	accept := []string{"Accept: application/vnd.oci.image.manifest.v1+json"} // the signature's
	for uri, status := range served {
		every(t, s.Stack, request{uri: uri, header: accept}, func(r request, a answer) {
			want := status
			if status == 307 && r.method == http.MethodHead {
				want = 200
			}
			if a.status != want {
				t.Errorf("%s %s: status %d, want %d: %s", r.method, uri, a.status, want, a.body)
			}
			wantNoInnerName(t, uri, a)
		})
	}
	if a := get(t, s.Stack, "/v2/vendor/app/referrers/"+digest); !strings.Contains(a.body, signature) {
		t.Errorf("referrers: %s, want %s among them", a.body, signature)
	}
	// A client that names no types gets what the tag has, not a conversion with the
	// name in it.
	plain := send(t, s.Stack, request{uri: "/v2/vendor/app/manifests/2.0", bare: true})
	if got := plain.header.Get("Docker-Content-Digest"); plain.status != 200 || got != digest {
		t.Errorf("without Accept: status %d, digest %q, want %s", plain.status, got, digest)
	}
	wantNoInnerName(t, "without Accept", plain)
	logsOfRenamed(t, s)
	registrysWords(t, s, digest, layer)
}

// registrysWords: the registry's own answers, which may hold its name for the
// repository.
func registrysWords(t *testing.T, s *several, digest, layer string) {
	inner := "/v2/" + innerPrefix + "app"
	body := fmt.Sprintf(`{"errors":[{"code":"NAME_UNKNOWN","message":"the repository with name '%sapp' does not exist"}]}`, innerPrefix)
	link := func(to string) http.Header {
		return http.Header{
			"Content-Type": {"application/vnd.oci.image.index.v1+json"},
			"Link":         {fmt.Sprintf(`<%s>; rel="next"`, to)},
		}
	}
	next := inner + "/referrers/" + digest + "?last=x"
	challenge := http.Header{"Www-Authenticate": {`Bearer realm="x",scope="repository:` + innerPrefix + `app:pull"`}}
	for _, test := range []struct {
		name  string
		fault standin.Fault
	}{
		{"Link", standin.Fault{Status: 200, Header: link("https://" + s.eu.Host + next), Body: "{}"}},
		{"relative Link", standin.Fault{Status: 200, Header: link(next), Body: "{}"}},
		{"Location to itself", standin.Fault{Status: 307, Header: http.Header{"Location": {"https://" + s.eu.Host + inner + "/blobs/" + layer + "?x"}}}},
		{"Location to a path", standin.Fault{Status: 307, Header: http.Header{"Location": {inner + "/blobs/" + layer}}}},
		{"400", standin.Fault{Status: 400, Body: body}},
		{"401", standin.Fault{Status: 401, Body: body, Header: challenge}},
		{"403", standin.Fault{Status: 403, Body: body}},
		{"404", standin.Fault{Status: 404, Body: body}},
		{"416", standin.Fault{Status: 416, Body: body}},
		{"429", standin.Fault{Status: 429, Body: body}},
		{"500", standin.Fault{Status: 500, Body: body}}, // from here on, us may stand by
		{"503", standin.Fault{Status: 503, Body: body}},
	} {
		s.eu.Front.Inject(test.fault)
		s.us.Front.Inject(test.fault)
		for _, uri := range []string{"/manifests/" + digest, "/manifests/2.0", "/blobs/" + layer, "/referrers/" + digest} {
			every(t, s.Stack, request{uri: "/v2/vendor/app" + uri}, func(r request, a answer) {
				wantNoInnerName(t, test.name+": "+uri, a)
				if a.status < 400 && test.fault.Status >= 400 {
					t.Errorf("%s: %s: status %d", test.name, uri, a.status)
				}
			})
		}
		s.eu.Front.ClearFaults()
		s.us.Front.ClearFaults()
	}
}

// wantNoInnerName: nothing of an answer has the name that only the registry knows.
func wantNoInnerName(t *testing.T, what string, a answer) {
	t.Helper()
	wantNoLeak(t, what, a)
	if strings.Contains(a.body, "prod-eu") {
		t.Errorf("%s: the body of a %d has the inner name: %.500s", what, a.status, a.body)
	}
	for name, values := range a.header {
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "prod-eu") }) {
			t.Errorf("%s: a %d has the inner name in %s: %q", what, a.status, name, values)
		}
	}
}

// logsOfRenamed: the lines that support reads to a customer have the customer's name.
func logsOfRenamed(t *testing.T, s *several) {
	a := get(t, s.Stack, "/v2/vendor/app/manifests/2.0")
	line := decisionOf(t, s.Stack, a.header.Get("X-Request-Id"))
	if line["repository"] != "vendor/app" || line["upstream"] != "eu" {
		t.Errorf("the decision's line has repository %v and upstream %v, want vendor/app and eu", line["repository"], line["upstream"])
	}
	for _, name := range []string{"access", "authsvc"} {
		text, err := os.ReadFile(s.LogFile(name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			// What a customer asked for, by the inner name, is there as it was asked.
			if strings.Contains(line, "vendor/app") && strings.Contains(line, "prod-eu") {
				t.Errorf("%s: the inner name beside the customer's: %s", name, line)
			}
		}
	}
}

// schema1: an old manifest holds the repository's name, and cannot be changed. Under
// another name it is refused; where the name is the same, it is served.
func schema1(t *testing.T, s *several) {
	pushImage(t, s.eu, innerPrefix+"app:3.0", imageOf(t, "old"))
	pushImage(t, s.eu, "acme/appliance:3.0", imageOf(t, "old"))
	old := map[string]string{}
	for _, repository := range []string{innerPrefix + "app", "acme/appliance"} {
		digest, err := s.eu.PushSchema1(t.Context(), repository, "3.0", "old")
		if err != nil {
			t.Fatal(err)
		}
		old[repository] = digest
	}
	accept := "Accept: application/vnd.docker.distribution.manifest.v1+prettyjws"
	for _, reference := range []string{"old", old[innerPrefix+"app"]} {
		for _, header := range [][]string{nil, {accept}} {
			every(t, s.Stack, request{uri: "/v2/vendor/app/manifests/" + reference, header: header}, func(r request, a answer) {
				wantNoInnerName(t, "schema 1", a)
				wantError(t, r, a, http.StatusNotFound, "MANIFEST_UNKNOWN")
				if _, message, err := registryError(a.body); r.method == http.MethodGet && (err != nil || !strings.Contains(message, "schema 1")) {
					t.Errorf("%s: the message is %q, want one about schema 1; %v", reference, message, err)
				}
			})
		}
	}
	c := crane(t, s.Stack)
	if out, err := c.run(t, "", "manifest", "--insecure", s.Host+"/vendor/app:old"); err == nil || !strings.Contains(out, "schema 1") {
		t.Errorf("crane manifest of schema 1: %v\n%s", err, out)
	}
	for _, reference := range []string{"old", old["acme/appliance"]} {
		r := request{uri: "/v2/acme/appliance/manifests/" + reference, header: []string{accept}}
		if a := send(t, s.Stack, r); a.status != 200 || !strings.Contains(a.body, `"name": "acme/appliance"`) {
			t.Errorf("schema 1 of a repository that is not renamed: status %d: %s", a.status, a.body)
		}
	}
}
