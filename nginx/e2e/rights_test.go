package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// modes are the ways in which nginx can serve: what it redirects, files of the content
// store that are cold, or that somebody else has warmed, and with cached decisions.
func modes(t *testing.T) map[string]stack.Options {
	t.Helper()
	return map[string]stack.Options{
		"redirect":                        {},
		"redirect with cached decisions":  {Settings: cached(t)},
		"content, cold":                   {Content: map[string]any{}},
		"content, warm":                   {Content: map[string]any{}},
		"content, warm, cached decisions": {Content: map[string]any{}, Settings: cached(t)},
	}
}

// TestAttacks: a customer of release 1.0 gets nothing else, whatever she tries, and
// learns nothing from what others have pulled.
func TestAttacks(t *testing.T) {
	for name, opts := range modes(t) {
		t.Run(name, func(t *testing.T) { attacks(t, opts, strings.Contains(name, "warm")) })
	}
}

func attacks(t *testing.T, opts stack.Options, warm bool) {
	s := start(t, opts)
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"))
	s.Vendor.SetAccount("bobs-token", vendorapi.Account{Email: "bob@acme.example", Licenses: []vendorapi.License{license("lic_2", "acme/*", "*")}})
	allowed := push(t, s, "acme/appliance:1.0")
	forbidden := push(t, s, "acme/appliance:2.0")
	push(t, s, "acme/secret:1.0")
	index, err := stack.Index("acme/secret:1.1", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "acme/secret:1.1", index); err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	inIndex := list.Manifests[0].Digest.String()
	// The tag's old and new content, before anybody has asked.
	gone := push(t, s, "acme/appliance:1.1")
	pushAs(t, s, "acme/appliance:1.1", "another image")
	forbiddenLayer, otherLayer := layerOf(t, "acme/appliance:2.0"), layerOf(t, "acme/secret:1.0")

	const repository = "/v2/acme/appliance"
	for _, served := range []string{"/manifests/1.0", "/manifests/" + allowed, "/blobs/" + layerOf(t, "acme/appliance:1.0"), "/manifests/1.1", "/referrers/" + allowed} {
		if a := get(t, s, repository+served); a.status != 200 && a.status != 307 {
			t.Errorf("%s: status %d: %s", served, a.status, a.body)
		}
	}
	attacks := map[string]struct {
		uri    string
		status int
		code   string
	}{
		"forbidden tag":                    {repository + "/manifests/2.0", 404, "MANIFEST_UNKNOWN"},
		"forbidden digest by manifest":     {repository + "/manifests/" + forbidden, 404, "MANIFEST_UNKNOWN"},
		"forbidden digest by blob":         {repository + "/blobs/" + forbidden, 404, "BLOB_UNKNOWN"},
		"forbidden digest's referrers":     {repository + "/referrers/" + forbidden, 404, "MANIFEST_UNKNOWN"},
		"forbidden layer":                  {repository + "/blobs/" + forbiddenLayer, 404, "BLOB_UNKNOWN"},
		"layer of another repository":      {repository + "/blobs/" + otherLayer, 404, "BLOB_UNKNOWN"},
		"another repository's layer there": {"/v2/acme/secret/blobs/" + otherLayer, 404, "NAME_UNKNOWN"},
		"own digest in another repository": {"/v2/acme/secret/manifests/" + allowed, 404, "NAME_UNKNOWN"},
		"by an index of another one":       {repository + "/manifests/" + inIndex, 404, "MANIFEST_UNKNOWN"},
		"digest of a tag that moved away":  {repository + "/manifests/" + gone, 404, "MANIFEST_UNKNOWN"},
		"sha512 that is none":              {repository + "/blobs/sha512:" + strings.Repeat("a", 128), 404, "BLOB_UNKNOWN"},
		"upper case":                       {repository + "/blobs/sha256:" + strings.ToUpper(strings.TrimPrefix(forbiddenLayer, "sha256:")), 400, "DIGEST_INVALID"},
		"upper case of what is allowed":    {repository + "/manifests/sha256:" + strings.ToUpper(strings.TrimPrefix(allowed, "sha256:")), 400, "DIGEST_INVALID"},
		"tag that looks like a digest":     {repository + "/manifests/sha256-" + strings.TrimPrefix(forbidden, "sha256:"), 404, "MANIFEST_UNKNOWN"},
		"signature of what is forbidden":   {repository + "/manifests/sha256-" + strings.TrimPrefix(forbidden, "sha256:") + ".sig", 404, "MANIFEST_UNKNOWN"},
		"unknown repository":               {"/v2/acme/none/manifests/1.0", 404, "NAME_UNKNOWN"},
	}
	before := map[string]answer{}
	if warm {
		for name, attack := range attacks {
			before[name] = get(t, s, attack.uri)
		}
		for _, uri := range []string{
			repository + "/manifests/2.0", repository + "/manifests/" + forbidden, repository + "/blobs/" + forbiddenLayer,
			"/v2/acme/secret/blobs/" + otherLayer, "/v2/acme/secret/manifests/1.0", "/v2/acme/secret/manifests/1.1", "/v2/acme/secret/manifests/" + inIndex,
		} {
			if a := send(t, s, request{uri: uri, user: "bob@acme.example", password: "bobs-token"}); a.status != 200 || a.header.Get("Location") != "" {
				t.Fatalf("%s, who may have it: status %d: %s", uri, a.status, a.body)
			}
		}
		waitForFile(t, file(s, "blobs", forbiddenLayer, ""))
		waitForFile(t, file(s, "manifests", forbidden, ".docker-manifest"))
	}
	s.ECR.Front.Forget()
	s.ECR.Bucket.Forget()
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			every(t, s, request{uri: attack.uri}, func(r request, a answer) { wantError(t, r, a, attack.status, attack.code) })
			if was, ok := before[name]; ok {
				wantSame(t, was, get(t, s, attack.uri))
			}
		})
	}
	if n := s.ECR.Front.Received() + s.ECR.Bucket.Received(); n != 0 {
		t.Errorf("%d refused requests were forwarded", n)
	}
}

// wantSame fails unless two answers differ only in their times and ids.
func wantSame(t *testing.T, one, other answer) {
	t.Helper()
	id, otherID := one.header.Get("X-Request-Id"), other.header.Get("X-Request-Id")
	other.body = strings.ReplaceAll(other.body, otherID[:8], id[:8])
	for _, a := range []answer{one, other} {
		a.header.Del("Date")
		a.header.Set("X-Request-Id", id)
	}
	if one.status != other.status || one.body != other.body || fmt.Sprint(one.header) != fmt.Sprint(other.header) {
		t.Errorf("%d %s %v, and then %d %s %v", one.status, one.body, one.header, other.status, other.body, other.header)
	}
}

// imageOf returns the image that is generated from a seed.
func imageOf(t *testing.T, seed string) v1.Image {
	t.Helper()
	img, err := stack.Image(seed)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pushAs(t *testing.T, s *stack.Stack, reference, seed string) v1.Image {
	t.Helper()
	img := imageOf(t, seed)
	if _, err := s.Push(t.Context(), reference, img); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestStrangersLearnNothing: without a license, the answers for an existing and a
// missing repository are the same, byte for byte, and ECR is not asked.
func TestStrangersLearnNothing(t *testing.T) {
	s := start(t, stack.Options{})
	s.Vendor.SetLicenses(secret, license("lic_1", "other/*", "*"))
	digest := push(t, s, "acme/appliance:1.0")
	s.Forget()
	for _, rest := range []string{"/manifests/1.0", "/manifests/" + digest, "/blobs/" + digest, "/tags/list", "/referrers/" + digest} {
		every(t, s, request{uri: "/v2/acme/appliance" + rest}, func(r request, there answer) {
			r.uri = "/v2/acme/appliancf" + rest
			not := send(t, s, r)
			there.body = strings.ReplaceAll(there.body, "appliance", "appliancf")
			if there.status != 404 {
				t.Errorf("%s: status %d", rest, there.status)
			}
			wantSame(t, there, not)
		})
	}
	if n := s.ECR.Front.Received() + s.ECR.Endpoint.Received(); n != 0 {
		t.Errorf("ECR was asked %d times", n)
	}
}

// TestMovedTag: a pull in progress survives; a new one gets the new image.
func TestMovedTag(t *testing.T) {
	s := start(t, stack.Options{Authsvc: map[string]any{"release.tag_ttl": "1s"}})
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "latest"))
	before := push(t, s, "acme/appliance:latest")
	if a := get(t, s, "/v2/acme/appliance/manifests/latest"); a.status != 200 {
		t.Fatalf("status %d", a.status)
	}
	if a := get(t, s, "/v2/acme/appliance/manifests/"+before); a.status != 200 {
		t.Fatalf("status %d", a.status)
	}
	img := pushAs(t, s, "acme/appliance:latest", "the next release")
	after, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	wantPulled(t, login(t, s, email, secret), s.Host+"/acme/appliance:latest", after.String())
	for _, digest := range []string{before, after.String()} {
		if a := get(t, s, "/v2/acme/appliance/manifests/"+digest); a.status != 200 {
			t.Errorf("%s: status %d: %s", digest, a.status, a.body)
		}
	}
}

// TestExpiryBites: a license ends at its exact second, even within the cache's TTL.
func TestExpiryBites(t *testing.T) {
	s := start(t, stack.Options{Authsvc: map[string]any{"cache.ttl": "1h"}})
	digest := push(t, s, "acme/appliance:1.0")
	ending := license("lic_1", "acme/appliance", "*")
	ending.Expiration = time.Now().Add(3 * time.Second).Truncate(time.Second)
	s.Vendor.SetLicenses(secret, ending)
	uris := []string{manifest, "/v2/acme/appliance/manifests/" + digest, "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0"), tagsList}
	for _, uri := range uris {
		if a := get(t, s, uri); a.status >= 400 && time.Now().Before(ending.Expiration) {
			t.Errorf("%s before the end: status %d: %s", uri, a.status, a.body)
		}
	}
	time.Sleep(time.Until(ending.Expiration))
	for _, uri := range uris {
		r := request{uri: uri}
		a := send(t, s, r)
		wantError(t, r, a, 403, "DENIED")
		if !strings.Contains(a.body, "license lic_1 expired on "+ending.Expiration.UTC().Format(time.DateOnly)) {
			t.Errorf("%s after the end: %s", uri, a.body)
		}
	}
}

// TestUnknownDigest: Kubernetes pins by digest, and perhaps only another proxy of
// the fleet has seen the tag. After a restart nothing is known either.
func TestUnknownDigest(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "releases")} {
		t.Run("file: "+strconv.FormatBool(file != ""), func(t *testing.T) { unknownDigest(t, file) })
	}
}

func unknownDigest(t *testing.T, file string) {
	s := start(t, stack.Options{Authsvc: map[string]any{"release.file": file}})
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"))
	var digests []string
	for i := range 20 {
		digests = append(digests, push(t, s, fmt.Sprintf("acme/appliance:1.%d", i)))
	}
	for range 2 {
		for _, digest := range []string{digests[19], digests[0]} {
			if a := get(t, s, "/v2/acme/appliance/manifests/"+digest); a.status != 200 {
				t.Errorf("status %d: %s", a.status, a.body)
			}
		}
		if err := s.RestartAuthsvc(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// If ECR is unreachable, known content is served, and unknown content gets 503.
	if a := get(t, s, "/v2/acme/appliance/manifests/"+digests[3]); a.status != 200 {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	if err := s.ECR.Endpoint.Close(); err != nil {
		t.Fatal(err)
	}
	if a := get(t, s, "/v2/acme/appliance/manifests/"+digests[3]); a.status != 200 {
		t.Errorf("what is known, in an outage: status %d: %s", a.status, a.body)
	}
	if err := s.RestartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := request{uri: "/v2/acme/appliance/manifests/" + digests[3]}
	if a := send(t, s, r); file == "" {
		wantError(t, r, a, 503, "UNAVAILABLE")
	} else if a.status != 200 {
		t.Errorf("what was known before a restart in an outage: status %d: %s", a.status, a.body)
	}
}

// TestListsByClients: each client follows the pages to the end, and sees what the
// customer has licensed.
func TestListsByClients(t *testing.T) {
	s := start(t, stack.Options{Authsvc: map[string]any{"catalog.repositories": []string{"acme/appliance", "acme/tools", "other/x"}}})
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"), license("lic_2", "*/tools", "*"))
	img := pushAs(t, s, "acme/tools:1", "tools")
	var want []string
	const tags = 1100 // more than ECR's longest page
	for i := range tags {
		tag := fmt.Sprintf("1.%04d", i)
		if _, err := s.Push(t.Context(), "acme/appliance:"+tag, img); err != nil {
			t.Fatal(err)
		}
		want = append(want, tag)
	}
	for _, tag := range []string{"2.0", "0.9", "latest"} {
		pushAs(t, s, "acme/appliance:"+tag, tag)
	}
	c := crane(t, s)
	if got := strings.Fields(c.must(t, "", "ls", "--insecure", s.Host+"/acme/appliance")); !slices.Equal(got, want) {
		t.Errorf("crane ls: %q", got)
	}
	if got := strings.Fields(c.must(t, "", "catalog", "--insecure", s.Host)); !slices.Equal(got, []string{"acme/appliance", "acme/tools"}) {
		t.Errorf("crane catalog: %q", got)
	}
	k := skopeo(t, s)
	if got := k.must(t, "", "list-tags", "--tls-verify=false", "docker://"+s.Host+"/acme/appliance"); strings.Count(got, `"1.`) != tags || strings.Contains(got, "2.0") {
		t.Errorf("skopeo list-tags: %s", got)
	}
	x := newTool(t, "regctl", "nginx/stack/install.sh test")
	x.must(t, "", "registry", "set", "--skip-check", "--tls=disabled", s.Host)
	x.must(t, secret, "registry", "login", s.Host, "--user", email, "--pass-stdin")
	if got := strings.Fields(x.must(t, "", "tag", "ls", s.Host+"/acme/appliance")); !slices.Equal(got, want) {
		t.Errorf("regctl tag ls: %q", got)
	}
	if got := strings.Fields(x.must(t, "", "repo", "ls", s.Host)); !slices.Equal(got, []string{"acme/appliance", "acme/tools"}) {
		t.Errorf("regctl repo ls: %q", got)
	}
	// Page by page, like a client that requests small pages.
	var got []string
	uri := "/v2/acme/appliance/tags/list?n=500"
	for pages := 0; uri != ""; pages++ {
		a := get(t, s, uri)
		if a.status != http.StatusOK || pages > 3 {
			t.Fatalf("%s: status %d, page %d", uri, a.status, pages)
		}
		wantNoLeak(t, uri, a)
		got = append(got, strings.Split(strings.TrimSuffix(a.body[strings.Index(a.body, "[")+1:], "]}\n"), ",")...)
		next, _, more := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		if uri = next; more && !strings.HasPrefix(next, "/v2/") {
			t.Fatalf("Link %q is not relative", a.header.Get("Link"))
		}
	}
	if len(got) != tags {
		t.Errorf("%d tags by pages of 500, want %d", len(got), tags)
	}
}
