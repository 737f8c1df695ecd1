package e2e_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// cached are the settings with which nginx caches decisions, as they tell to change
// them, but for the folder.
func cached(t *testing.T) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for name, change := range map[string]*strings.Replacer{
		"decisions.conf":      strings.NewReplacer("\nproxy_cache off;", "", "\n#include", "\ninclude"),
		"decision-cache.conf": strings.NewReplacer("\n#proxy_cache_path", "\nproxy_cache_path", "\n#     ", "\n      ", "/run/nginx-registry-decisions", "decisions"),
	} {
		shipped := readFile(t, filepath.Join("..", "registry", "settings", name))
		settings[name] = change.Replace(shipped)
		if settings[name] == shipped {
			t.Fatalf("settings/%s has changed", name)
		}
	}
	return settings
}

// TestCachedDecisions: nginx answers the same question again without authsvc, and no
// other one.
func TestCachedDecisions(t *testing.T) {
	s := start(t, stack.Options{Interpose: true, Settings: cached(t)})
	digest := push(t, s, "acme/appliance:1.0")
	blob := "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0")
	get(t, s, manifest)
	s.Forget()
	const requests = 50
	for range requests {
		if a := get(t, s, manifest); a.status != 200 || a.header.Get("Docker-Content-Digest") != digest {
			t.Fatalf("status %d with %v", a.status, a.header)
		}
	}
	if n := s.Authsvc.Received(); n >= requests/2 {
		t.Errorf("authsvc was asked %d times about %d requests", n, requests)
	}
	hits := 0
	for line := range strings.Lines(s.Log("access")) {
		var l struct {
			Request, Subject, License string
			Status                    string `json:"authsvc_status"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Status != "HIT 200" {
			continue
		}
		if hits++; !strings.Contains(l.Subject, email) || l.License != "lic_1" {
			t.Errorf("a cached decision in the log: %s", line)
		}
	}
	if hits == 0 {
		t.Error("no line of the log says that a decision was cached")
	}
	// Each of these is another question than those before it, all of them cached.
	for _, test := range []struct {
		request
		status int
	}{
		{request{uri: manifest, user: email, password: "wrong"}, 401},
		{request{uri: manifest, anonymous: true}, 401},
		{request{uri: manifest, user: email + "x", password: secret}, 200}, // the vendor's API looks at the token alone
		{request{uri: manifest, header: []string{"X-Registry-Purpose: x"}, method: http.MethodHead}, 200},
		{request{uri: manifest + "?n=1"}, 200},
		{request{uri: "/v2/acme/appliance/manifests/2.0"}, 404},
		{request{uri: "/v2/other/appliance/manifests/1.0"}, 404},
		{request{uri: blob}, 307},
		{request{uri: "/v2/"}, 200},
	} {
		s.Forget()
		a := send(t, s, test.request)
		if n := s.Authsvc.Received(); a.status != test.status || n != 1 {
			t.Errorf("%s %s: status %d, want %d; authsvc was asked %d times, want 1", test.method, test.uri, a.status, test.status, n)
		}
	}
	wantPrivate(t, filepath.Join(s.Dir, "nginx", "decisions"))
	wantNoWarning(t, s)
}

// wantPrivate checks that only the owner can read what is in a folder.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if os.IsNotExist(err) {
			return nil // nginx has removed it
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		if !entry.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d cached decisions, %v", files, err)
	}
}

// TestCachedRefusals: a refusal and an outage are not cached, and what was allowed is
// not served past its time, whatever comes then. (With proxy_cache_use_stale, 200, 401,
// 500 ended in 200: a customer whose license was withdrawn was back.)
func TestCachedRefusals(t *testing.T) {
	s := start(t, stack.Options{Settings: cached(t)})
	push(t, s, "acme/appliance:1.0")
	token, _ := s.ECR.IssueToken()
	var status atomic.Int32
	status.Store(http.StatusOK)
	fake, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Length", "0")
		h.Set("Cache-Control", "max-age=3600") // nobody sends it, and it would not count
		h.Set("X-Accel-Expires", "3600")
		h.Set("X-Auth-Subject", "ann")
		switch code := int(status.Load()); code {
		case http.StatusOK:
			h.Set("X-Ecr-Authorization", "Basic "+token)
			h.Set("X-Ecr-Registry", s.ECR.Name())
			h.Set("X-Ecr-Token-Id", "main.1")
		case http.StatusUnauthorized:
			h.Set("Www-Authenticate", `Basic realm="x"`)
			h.Set("X-Registry-Error-Code", "UNAUTHORIZED")
			h.Set("X-Registry-Error-Message", "no")
		}
		w.WriteHeader(int(status.Load()))
	}))
	if err != nil {
		t.Fatal(err)
	}
	r := request{uri: manifest}
	for range 3 {
		if a := send(t, s, r); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
	}
	status.Store(http.StatusUnauthorized)
	waitFor(t, "the end of what is cached", func() bool { return send(t, s, r).status == 401 })
	for _, test := range []struct {
		authsvc, client int
	}{{401, 401}, {500, 503}, {401, 401}, {503, 503}, {500, 503}, {200, 200}} {
		status.Store(int32(test.authsvc)) //nolint:gosec // an HTTP status
		fake.Forget()
		if a := send(t, s, r); a.status != test.client || fake.Received() != 1 {
			t.Errorf("authsvc answers %d: status %d, want %d; asked %d times, want 1", test.authsvc, a.status, test.client, fake.Received())
		}
	}
}

// TestCachedToken: a decision is cached with a token that the registry rejects by now.
// The second try asks authsvc itself.
func TestCachedToken(t *testing.T) {
	s := start(t, stack.Options{Settings: cached(t), Tokenrefresher: quick})
	for tag, rejection := range map[string]ecr.Rejection{"1.0": ecr.Forbidden403Text, "1.1": ecr.Unauthorized401} {
		push(t, s, "acme/appliance:"+tag)
		s.ECR.RejectWith(rejection)
		uri := "/v2/acme/appliance/manifests/" + tag
		if a := get(t, s, uri); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
		s.ECR.InvalidateTokens()
		for range 3 {
			if a := get(t, s, uri); a.status != 200 {
				t.Errorf("a token that is cached and dead: status %d, want 200", a.status)
			}
		}
	}
}

// TestCachedWithdrawal: a withdrawn license stops, also while its customer asks all the
// time, and stays so while authsvc and the vendor's API come and go.
func TestCachedWithdrawal(t *testing.T) {
	s := start(t, stack.Options{Settings: cached(t), Authsvc: map[string]any{"cache.ttl": "1s", "cache.refusal_ttl": "1s"}})
	push(t, s, "acme/appliance:1.0")
	if a := get(t, s, manifest); a.status != 200 {
		t.Fatalf("status %d, want 200", a.status)
	}
	s.Vendor.SetLicenses(secret)
	waitFor(t, "the end of the license", func() bool { return get(t, s, manifest).status == 404 })
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantError(t, request{uri: manifest}, get(t, s, manifest), 503, "UNAVAILABLE")
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := get(t, s, manifest); a.status != 404 {
		t.Errorf("status %d, want 404", a.status)
	}
}
