package registry_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/registry"
)

var (
	sha256 = "sha256:" + strings.Repeat("0123456789abcdef", 4)
	sha512 = "sha512:" + strings.Repeat("0123456789abcdef", 8)
)

func TestParse(t *testing.T) {
	tag := func(kind registry.Kind, repository, tag string) registry.Request {
		return registry.Request{Kind: kind, Repository: repository, Reference: registry.Reference{Tag: tag}}
	}
	digest := func(kind registry.Kind, repository, digest string) registry.Request {
		return registry.Request{Kind: kind, Repository: repository, Reference: registry.Reference{Digest: digest}}
	}
	tests := []struct {
		uri  string
		want registry.Request
	}{
		{"/v2/", registry.Request{Kind: registry.Ping}},
		{"/v2/_catalog", registry.Request{Kind: registry.Catalog}},
		{"/v2/_catalog?n=10&last=a/b", registry.Request{Kind: registry.Catalog, Query: "n=10&last=a/b"}},
		{"/v2/a/tags/list", registry.Request{Kind: registry.Tags, Repository: "a"}},
		{"/v2/a/tags/list?n=100&last=AAE%2Bb%3D%3D", registry.Request{Kind: registry.Tags, Repository: "a", Query: "n=100&last=AAE%2Bb%3D%3D"}},
		{"/v2/a/manifests/latest", tag(registry.Manifest, "a", "latest")},
		{"/v2/a/manifests/latest?ns=docker.vendor.com", registry.Request{Kind: registry.Manifest, Repository: "a",
			Reference: registry.Reference{Tag: "latest"}, Query: "ns=docker.vendor.com"}},
		{"/v2/a/manifests/_V1.0-rc_1", tag(registry.Manifest, "a", "_V1.0-rc_1")},
		{"/v2/a/manifests/" + strings.Repeat("t", 128), tag(registry.Manifest, "a", strings.Repeat("t", 128))},
		{"/v2/a/manifests/" + sha256, digest(registry.Manifest, "a", sha256)},
		{"/v2/a/manifests/" + sha512, digest(registry.Manifest, "a", sha512)},
		{"/v2/a/blobs/" + sha256, digest(registry.Blob, "a", sha256)},
		{"/v2/a/referrers/" + sha256, digest(registry.Referrers, "a", sha256)},
		{"/v2/a/referrers/" + sha256 + "?artifactType=application%2Fspdx%2Bjson", registry.Request{Kind: registry.Referrers,
			Repository: "a", Reference: registry.Reference{Digest: sha256}, Query: "artifactType=application%2Fspdx%2Bjson"}},
		{"/v2/a/b/c/manifests/1", tag(registry.Manifest, "a/b/c", "1")},
		{"/v2/a__b.c-d---e_f/manifests/1", tag(registry.Manifest, "a__b.c-d---e_f", "1")},
		{"/v2/" + strings.Repeat("n", 255) + "/manifests/1", tag(registry.Manifest, strings.Repeat("n", 255), "1")},
		// Names that read like operations.
		{"/v2/tags/tags/list", registry.Request{Kind: registry.Tags, Repository: "tags"}},
		{"/v2/a/manifests/b/manifests/1", tag(registry.Manifest, "a/manifests/b", "1")},
		{"/v2/a/manifests/tags/list", registry.Request{Kind: registry.Tags, Repository: "a/manifests"}},
		{"/v2/a/tags/manifests/list", tag(registry.Manifest, "a/tags", "list")},
		{"/v2/blobs/blobs/" + sha256, digest(registry.Blob, "blobs", sha256)},
		{"/v2/a/manifests/list", tag(registry.Manifest, "a", "list")},
	}
	for _, test := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			got, err := registry.Parse(method, test.uri)
			if err != nil || got != test.want {
				t.Errorf("%s %s:\n got %+v, %v\nwant %+v", method, test.uri, got, err, test.want)
			}
			if path := test.want.Path(); path != test.uri {
				t.Errorf("the path of %+v is %s, want %s", test.want, path, test.uri)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, method, uri string
		want              registry.Code
	}{
		{"push", "PUT", "/v2/a/manifests/1", registry.Unsupported},
		{"upload", "POST", "/v2/a/blobs/uploads/", registry.Unsupported},
		{"delete", "DELETE", "/v2/a/manifests/1", registry.Unsupported},
		{"options", "OPTIONS", "/v2/", registry.Unsupported},
		{"lower case method", "get", "/v2/", registry.Unsupported},
		{"no method", "", "/v2/", registry.Unsupported},
		{"empty", "GET", "", registry.Unsupported},
		{"version 1", "GET", "/v1/_ping", registry.Unsupported},
		{"no slash", "GET", "/v2", registry.Unsupported},
		{"upper case version", "GET", "/V2/", registry.Unsupported},
		{"absolute form", "GET", "http://h/v2/", registry.Unsupported},
		{"unknown operation", "GET", "/v2/a/uploads/x", registry.Unsupported},
		{"tags of something else", "GET", "/v2/a/tags/all", registry.Unsupported},
		{"trailing slash", "GET", "/v2/a/manifests/1/", registry.Unsupported},
		{"no repository", "GET", "/v2/manifests/1", registry.NameInvalid},
		{"upload location", "GET", "/v2/a/blobs/uploads/x", registry.Unsupported},
		{"letter case", "GET", "/v2/a/Manifests/1", registry.Unsupported},
		{"upper case name", "GET", "/v2/A/manifests/1", registry.NameInvalid},
		{"name of 256", "GET", "/v2/" + strings.Repeat("n", 256) + "/manifests/1", registry.NameInvalid},
		{"leading separator", "GET", "/v2/-a/manifests/1", registry.NameInvalid},
		{"trailing separator", "GET", "/v2/a_/manifests/1", registry.NameInvalid},
		{"two dots", "GET", "/v2/a..b/manifests/1", registry.NameInvalid},
		{"three underscores", "GET", "/v2/a___b/manifests/1", registry.NameInvalid},
		{"mixed separators", "GET", "/v2/a-_b/manifests/1", registry.NameInvalid},
		{"not ASCII", "GET", "/v2/ä/manifests/1", registry.NameInvalid},
		{"empty tag", "GET", "/v2/a/manifests/", registry.TagInvalid},
		{"tag of 129", "GET", "/v2/a/manifests/" + strings.Repeat("t", 129), registry.TagInvalid},
		{"tag begins with a dot", "GET", "/v2/a/manifests/.hidden", registry.TagInvalid},
		{"tag begins with a dash", "GET", "/v2/a/manifests/-x", registry.TagInvalid},
		{"short digest", "GET", "/v2/a/manifests/sha256:abc", registry.DigestInvalid},
		{"long digest", "GET", "/v2/a/blobs/" + sha256 + "0", registry.DigestInvalid},
		{"upper case digest", "GET", "/v2/a/blobs/sha256:" + strings.Repeat("A", 64), registry.DigestInvalid},
		{"upper case algorithm", "GET", "/v2/a/blobs/SHA256:" + strings.Repeat("a", 64), registry.DigestInvalid},
		{"algorithm unknown", "GET", "/v2/a/blobs/md5:" + strings.Repeat("a", 32), registry.DigestInvalid},
		{"sha512 of sha256's length", "GET", "/v2/a/blobs/sha512:" + strings.Repeat("a", 64), registry.DigestInvalid},
		{"blob by tag", "GET", "/v2/a/blobs/latest", registry.DigestInvalid},
		{"referrers by tag", "GET", "/v2/a/referrers/latest", registry.DigestInvalid},
		{"query unknown", "GET", "/v2/a/tags/list?x=1", registry.Unsupported},
		{"query twice", "GET", "/v2/a/tags/list?n=1&n=2", registry.Unsupported},
		{"query's value", "GET", "/v2/a/tags/list?last=%00", registry.Unsupported},
		{"query's newline", "GET", "/v2/a/tags/list?last=%0d%0a", registry.Unsupported},
		{"query's half escape", "GET", "/v2/a/tags/list?last=%4", registry.Unsupported},
		{"fragment", "GET", "/v2/a/tags/list#x", registry.Unsupported},
		{"over-long", "GET", "/v2/a/tags/list?last=" + strings.Repeat("a", registry.MaxURI), registry.NameInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { refuses(t, test.method, test.uri, test.want) })
	}
}

// TestParseRefusesWhatAProxyWouldNormalize: ingress-nginx #8644, Malcolm
// #1042, #1055, #1106 (CVE-2026-63177): rights were checked on the raw URI and
// routed on the normalized one, or the reverse.
func TestParseRefusesWhatAProxyWouldNormalize(t *testing.T) {
	for _, uri := range []string{
		"/v2/a/../b/manifests/1", "/v2/a/./b/manifests/1", "/v2//a/manifests/1", "//v2/a/manifests/1",
		"/v2/a//manifests/1", "/v2/a/manifests//1", "/v2/a/manifests/..", "/v2/a/manifests/.",
		"/v2/a/%2e%2e/b/manifests/1", "/v2/a%2fb/manifests/1", "/v2/%61/manifests/1", "/v2/a/manifests/%31",
		"/v2/a/manifests/1%00", "/v2/a/manifests/1%20", "/v2/a/manifests/1;x", "/v2/a;x/manifests/1",
		`/v2/a\b/manifests/1`, "/v2/a/manifests/1%3fn=1", "/v2/../v2/", "/v2/.", "/v2/..", "/%76%32/", "/v2/%5fcatalog",
	} {
		if got, err := registry.Parse("GET", uri); err == nil {
			t.Errorf("%s is taken for %+v", uri, got)
		}
	}
}

func refuses(t *testing.T, method, uri string, want registry.Code) {
	t.Helper()
	got, refusal := registry.Parse(method, uri)
	if refusal == nil {
		t.Fatalf("got %+v, want a refusal", got)
	}
	if refusal.Code != want || refusal.Status < 400 || refusal.Message == "" {
		t.Errorf("got %d %v, want code %s", refusal.Status, refusal, want)
	}
}

// The grammar as the Distribution Specification 1.1 writes it.
var specification = regexp.MustCompile(
	`^/v2/(?:|_catalog|(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)/` +
		`(?:tags/list|manifests/(?:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}|D)|blobs/D|referrers/D))$`)

// FuzzParse compares the parser with the specification's regular expressions,
// and what it makes of a target with the target: Path is the inverse of Parse, byte for
// byte but for a question mark without a query.
func FuzzParse(f *testing.F) {
	for _, uri := range []string{"/v2/", "/v2/_catalog", "/v2/a/tags/list?n=1", "/v2/a__b/c-d/manifests/latest", "/v2/a/blobs/" + sha256,
		"/v2/a/referrers/" + sha512, "/v2/a/../b/manifests/1", "/v2/%61/manifests/1", "/v2/a/manifests/tags/list",
		"/v2/?", "/v2/a/manifests/1?", "/v2/_catalog?n=1&", "/v2/a/manifests/1?ns=a%2fb&n=", "/v2/a/manifests/1??", "/v2/a/blobs/" + sha256 + "?last=?"} {
		f.Add(uri)
	}
	digest := regexp.MustCompile(`/(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := registry.Parse("GET", uri)
		path, query, _ := strings.Cut(uri, "?")
		if err == nil {
			target := got.Path()
			if target != strings.TrimSuffix(uri, "?") {
				t.Fatalf("%q was read as %q", uri, target)
			}
			if again, err := registry.Parse("GET", target); err != nil || again != got {
				t.Fatalf("%q was read as %+v, and then as %+v, %v", uri, got, again, err)
			}
		}
		if query != "" || len(uri) > registry.MaxURI {
			return // the specification has no grammar for these
		}
		match := specification.FindStringSubmatch(digest.ReplaceAllString(path, "/D"))
		want := match != nil && len(match[1]) <= 255
		// The letter D stands for a digest in the expression, and is a tag or no digest by itself.
		if strings.HasSuffix(path, "/D") {
			want = want && strings.HasSuffix(path, "/manifests/D")
		}
		if want != (err == nil) {
			t.Fatalf("%q: the specification says %t, the parser %v", uri, want, err)
		}
	})
}

// TestRefusalIsNoError: an error is an outage. If a refusal were one, either
// could be taken for the other, and the compiler would not mind.
func TestRefusalIsNoError(t *testing.T) {
	if err, ok := any(&registry.Refusal{}).(error); ok {
		t.Errorf("a refusal is the error %v", err)
	}
}
