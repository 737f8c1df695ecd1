package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// TestContentFallsBack: whatever the store cannot do before the first byte, the same
// request of the client gets the redirect, as without it.
func TestContentFallsBack(t *testing.T) {
	s := withContent(t, stack.Options{})
	digest := push(t, s, "acme/appliance:1.0")
	blob := "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0")
	wantPlain := func(what string) {
		t.Helper()
		if a := get(t, s, blob); a.status != http.StatusTemporaryRedirect || !strings.HasPrefix(a.header.Get("Location"), s.ECR.Bucket.URL()) {
			t.Errorf("%s: status %d %v: %s", what, a.status, a.header, a.body)
		}
		if a := get(t, s, manifest); a.status != http.StatusOK || sha256Of(a.body) != digest {
			t.Errorf("%s: manifest: status %d: %s", what, a.status, a.body)
		}
	}
	for name, broken := range map[string]struct {
		content       map[string]any
		fail, restore func() error
	}{
		"the store is dead": {nil, func() error { s.KillContent(); return nil }, func() error { return s.StartContent(t.Context()) }},
		"the store hangs": {nil, func() error { return s.Process("content").Signal(syscall.SIGSTOP) },
			func() error { return s.Process("content").Signal(syscall.SIGCONT) }},
		"the storage sends something else": {nil, func() error {
			s.ECR.Bucket.Inject(standin.Fault{Serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2048)) }})
			return nil
		}, func() error { s.ECR.Bucket.ClearFaults(); return nil }},
		"the storage refuses": {nil, func() error { s.ECR.Bucket.Inject(standin.Fault{Status: 403}); return nil },
			func() error { s.ECR.Bucket.ClearFaults(); return nil }},
	} {
		if err := broken.fail(); err != nil {
			t.Fatal(err)
		}
		wantPlain(name)
		if err := broken.restore(); err != nil {
			t.Fatal(err)
		}
	}
	// A disk that takes nothing, as far as the store may use it.
	if err := s.ReconfigureContent(t.Context(), map[string]any{"min_free": "1000TB"}); err != nil {
		t.Fatal(err)
	}
	wantPlain("the disk is full")
	if err := s.ReconfigureContent(t.Context(), map[string]any{"min_free": "1MB"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the store serves again", func() bool { return get(t, s, blob).status == http.StatusOK })
}

// TestContentBreaksOff: what breaks off in mid-body is not taken for the whole, and what
// is wrong never gets there as a whole.
func TestContentBreaksOff(t *testing.T) {
	s := withContent(t, stack.Options{HTTP: "proxy_http_version 1.0;"})
	img, err := stack.BigImage("acme/big:1.0", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "acme/big:1.0", img); err != nil {
		t.Fatal(err)
	}
	layer := layers(t, img)[0]
	s.ECR.Bucket.Inject(standin.Fault{Serve: func(w http.ResponseWriter, _ *http.Request) {
		wrong := make([]byte, 1<<20)
		_, _ = w.Write(wrong)
	}})
	for _, proto := range protocols {
		r := request{proto: proto, method: http.MethodGet, uri: "/v2/acme/big/blobs/" + layer}
		var a answer
		var err error
		if proto == "HTTP/2" {
			a, err = sendHTTP2(t, s, r)
		} else {
			a, err = sendHTTP1(s, r)
		}
		if err == nil && a.status == http.StatusOK {
			t.Errorf("%s: a wrong body of %d bytes came as a whole", proto, len(a.body))
		}
	}
	s.ECR.Bucket.ClearFaults()
	if found, _ := filepath.Glob(filepath.Join(s.ContentFolder(), "blobs/sha256/*/*")); len(found) != 0 {
		t.Errorf("kept: %q", found)
	}
}

// TestContentRequests: what clients ask for besides a GET of the whole.
func TestContentRequests(t *testing.T) {
	s := withContent(t, stack.Options{})
	digest := push(t, s, "acme/appliance:1.0")
	layer := layerOf(t, "acme/appliance:1.0")
	blob := "/v2/acme/appliance/blobs/" + layer
	accept := func(types ...string) (lines []string) {
		for _, kind := range types {
			lines = append(lines, "Accept: "+kind)
		}
		return lines
	}
	const ociIndex, ociManifest, dockerList = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"
	table := []struct {
		name   string
		r      request
		status int
		body   func(string) bool
	}{
		{"HEAD of a layer", request{method: http.MethodHead, uri: blob}, 200, nil},
		{"HEAD of a manifest", request{method: http.MethodHead, uri: manifest}, 200, nil},
		{"a part", request{uri: blob, header: []string{"Range: bytes=10-19"}}, 206, func(body string) bool { return len(body) == 10 }},
		{"the last part", request{uri: blob, header: []string{"Range: bytes=-5"}}, 206, func(body string) bool { return len(body) == 5 }},
		{"no such part", request{uri: blob, header: []string{"Range: bytes=99999999-"}}, 416, nil},
		{"if it has changed", request{uri: blob, header: []string{`If-None-Match: "` + layer + `"`}}, 200, nil},
		{"if it has changed since", request{uri: blob, header: []string{"If-Modified-Since: Fri, 27 Nov 2099 00:00:00 GMT"}}, 200, nil},
		{"containerd's query", request{uri: blob + "?ns=docker.vendor.com"}, 200, func(body string) bool { return sha256Of(body) == layer }},
		{"one line of Accept", request{uri: manifest, bare: true, header: accept(strings.Join([]string{ociIndex, dockerManifest, ociManifest, dockerList}, ", "))}, 200, func(body string) bool { return sha256Of(body) == digest }},
		{"lines of Accept", request{uri: manifest, bare: true, header: accept(ociIndex, dockerList, dockerManifest)}, 200, func(body string) bool { return sha256Of(body) == digest }},
		{"any", request{uri: manifest, bare: true, header: accept("*/*")}, 200, func(body string) bool { return sha256Of(body) == digest }},
	}
	for _, state := range []string{"cold", "warm"} {
		for _, test := range table {
			for _, proto := range protocols {
				test.r.proto = proto
				a := send(t, s, test.r)
				if a.status != test.status || test.body != nil && !test.body(a.body) || a.header.Get("Location") != "" {
					t.Errorf("%s %s %s: status %d, %d bytes, %v; want %d", state, proto, test.name, a.status, len(a.body), a.header, test.status)
				}
				if a.status < 300 && a.header.Get("Docker-Content-Digest") == "" {
					t.Errorf("%s %s %s: %v", state, proto, test.name, a.header)
				}
				wantNoLeak(t, test.name, a)
			}
		}
		waitForFile(t, file(s, "blobs", layer, ""))
		waitForFile(t, file(s, "manifests", digest, ".docker-manifest"))
	}
	// A client that does not take the stored type gets what the registry makes of it.
	s.Forget()
	a := send(t, s, request{uri: manifest, bare: true, header: accept(ociIndex)})
	if s.ECR.Front.Received() != 1 {
		t.Errorf("a client that accepts another type: status %d, the registry was asked %d times, want 1", a.status, s.ECR.Front.Received())
	}
}

// TestContentKnowsWhatIsServed: nginx tells the store, and logs the request as before.
func TestContentKnowsWhatIsServed(t *testing.T) {
	s := withContent(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	layer := layerOf(t, "acme/appliance:1.0")
	get(t, s, "/v2/acme/appliance/blobs/"+layer)
	waitForFile(t, file(s, "blobs", layer, ""))
	for range 2 {
		get(t, s, "/v2/acme/appliance/blobs/"+layer)
	}
	waitFor(t, "the store knows", func() bool {
		return regexp.MustCompile(`authsvc_content_served_lines_total\{file="known"\} [2-9]`).MatchString(fetch(t, s.ContentURL()+"/metrics").body)
	})
	lines := 0
	for line := range strings.Lines(s.Log("access")) {
		var l struct{ Request, Subject, License string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if strings.Contains(l.Request, "/blobs/") && strings.Contains(l.Subject, email) && l.License == "lic_1" {
			lines++
		}
	}
	if lines != 3 {
		t.Errorf("%d lines in nginx's log, want 3", lines)
	}
	if text := s.Log("authsvc"); strings.Count(text, `"purpose":"serve"`) != 3 || strings.Count(text, `"purpose":"fetch"`) != 1 {
		t.Errorf("purposes in authsvc's log:\n%s", text)
	}
}

// TestContentIsNamedByAuthsvc: nginx serves a file by authsvc's word alone, and only by
// its digest, whatever that word is and whatever the client asks for.
func TestContentIsNamedByAuthsvc(t *testing.T) {
	s := withContent(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	layer := layerOf(t, "acme/appliance:1.0")
	blob := "/v2/acme/appliance/blobs/" + layer
	get(t, s, blob)
	waitForFile(t, file(s, "blobs", layer, ""))
	other := filepath.Join(s.ContentFolder(), "blobs", "secret")
	if err := os.WriteFile(other, []byte("not for anybody"), 0o644); err != nil { //nolint:gosec // so that nginx could read it
		t.Fatal(err)
	}
	var content string
	if _, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "0")
		if r.URL.Path != "/serve" {
			w.WriteHeader(http.StatusForbidden) // without a code: an outage
			return
		}
		w.Header().Set("X-Auth-Subject", email)
		w.Header()["X-Registry-Content"] = []string{content}
		w.WriteHeader(http.StatusOK)
	})); err != nil {
		t.Fatal(err)
	}
	content = "blob " + layer
	if a := get(t, s, "/v2/acme/appliance/blobs/sha256:"+strings.Repeat("0", 64)); sha256Of(a.body) != layer {
		t.Errorf("what authsvc names: status %d", a.status)
	}
	for _, content = range []string{
		"", "blob", "blob ", "blob ../../secret", "blob sha256:../secret", "secret", "blob secret", "../blobs/secret", "layer " + layer, layer,
		"blob sha256:" + strings.ToUpper(layer[7:]), "blob " + layer + "0", "blob " + layer[:70], "x|blob sha256:0",
		"blob " + layer + "/../../secret", "manifest " + layer, "blob " + layer + "\t.", "blob sha512:" + layer[7:],
	} {
		r := request{uri: blob}
		if a := send(t, s, r); a.status == http.StatusOK || strings.Contains(a.body, "not for") {
			t.Errorf("%q: status %d: %.100q", content, a.status, a.body)
		} else {
			wantError(t, r, a, 503, "UNAVAILABLE")
		}
	}
}

// TestContentOnStandby: the stand-by serves within the same request, although the store
// has failed before the registry.
func TestContentOnStandby(t *testing.T) {
	s := startSeveral(t, stack.Options{Content: map[string]any{}})
	pushTo(t, s.eu, replicated+":0.0")
	s.replicate(t, replicated)
	layer := "/v2/" + replicated + "/blobs/" + layerOf(t, replicated+":0.0")
	get(t, s.Stack, "/v2/"+replicated+"/manifests/0.0")
	if a := send(t, s.Stack, request{method: http.MethodHead, uri: layer}); a.status != http.StatusOK {
		t.Fatalf("HEAD: status %d", a.status)
	}
	mend, err := s.eu.Fail(stack.Errs)
	if err != nil {
		t.Fatal(err)
	}
	if a := get(t, s.Stack, layer); a.status != http.StatusOK && a.status != http.StatusTemporaryRedirect {
		t.Errorf("the first request: status %d: %s", a.status, a.body)
	}
	if err := mend(); err != nil {
		t.Fatal(err)
	}
}

// TestContentUnknownAtTheSecondQuestion: authsvc does not know the object any more when it
// is asked whether to fetch it. The request is forwarded.
func TestContentUnknownAtTheSecondQuestion(t *testing.T) {
	s := withContent(t, stack.Options{Interpose: true, Judged: func(r *http.Response) {
		if r.Request.URL.Path == "/fetch" {
			r.Header.Del("X-Registry-Content")
		}
	}})
	push(t, s, "acme/appliance:1.0")
	if a := get(t, s, "/v2/acme/appliance/blobs/"+layerOf(t, "acme/appliance:1.0")); a.status != http.StatusTemporaryRedirect {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}
