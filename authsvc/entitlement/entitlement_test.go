package entitlement_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func grant(t testing.TB, repository, tag string, expires time.Time, license string) auth.Grant {
	t.Helper()
	r, err := auth.NewPattern(repository)
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.NewPattern(tag)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Grant{Repository: r, Tag: g, Expires: expires, License: license}
}

func withdrawn(g auth.Grant) auth.Grant {
	g.Withdrawn = true
	return g
}

func parse(t testing.TB, uri string) registry.Request {
	t.Helper()
	request, refusal := registry.Parse("GET", uri)
	if refusal != nil {
		t.Fatal(refusal)
	}
	return request
}

// shelves are tags, and the digests that each reaches, by repository.
type shelves map[string]map[string][]string

func (s shelves) Find(_ context.Context, repository, digest string, want release.Tags) (release.Found, error) {
	if s == nil {
		return release.Found{}, errors.New("the registry is down")
	}
	for _, tag := range slices.Sorted(maps.Keys(s[repository])) {
		if want.Match(tag) && slices.Contains(s[repository][tag], digest) {
			return release.Found{Tag: tag}, nil
		}
	}
	return release.Found{}, nil
}

func (s shelves) Tags(_ context.Context, repository string) ([]string, bool, error) {
	if s == nil {
		return nil, false, errors.New("the registry is down")
	}
	if s[repository] == nil {
		return nil, false, fmt.Errorf("repository: %w", release.ErrNotFound)
	}
	return slices.Sorted(maps.Keys(s[repository])), false, nil
}

func (shelves) Asked(string, string) {}

// untouchable fails the test if it is asked anything.
type untouchable struct{ t *testing.T }

func (u untouchable) Find(_ context.Context, repository, digest string, _ release.Tags) (release.Found, error) {
	u.t.Errorf("asked for %s in %s", digest, repository)
	return release.Found{}, nil
}

func (u untouchable) Tags(_ context.Context, repository string) ([]string, bool, error) {
	u.t.Errorf("asked for the tags of %s", repository)
	return nil, false, nil
}

func (u untouchable) Asked(repository, tag string) { u.t.Errorf("told of %s:%s", repository, tag) }

func hash(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

func customer(t testing.TB) auth.Grants {
	return auth.NewGrants(
		grant(t, "acme/appliance", "1.*", now.Add(time.Hour), "current"),
		grant(t, "acme/appliance", "0.*", now.Add(-30*24*time.Hour), "older"),
		grant(t, "acme/appliance", "0.9*", now.Add(-24*time.Hour), "old"),
		grant(t, "acme/gone", "1.*", now.Add(-time.Nanosecond), "gone"),
		grant(t, "acme/second", "*", now, "ends now"),
		grant(t, "acme/tools/*", "*", time.Time{}, "for ever"),
		withdrawn(grant(t, "acme/taken", "*", time.Time{}, "taken")),
		withdrawn(grant(t, "acme/appliance", "0.8", now.Add(time.Hour), "taken earlier")),
		grant(t, "acme/appliance", "0.8", now.Add(-24*time.Hour), "ended since"),
	)
}

var shop = shelves{
	"acme/appliance": {
		"0.1": {hash("0.1"), hash("base")}, "0.9": {hash("0.9"), hash("base")},
		"1.4": {hash("1.4"), hash("base")}, "2.0": {hash("2.0"), hash("base"), hash("layer of 2.0")},
	},
	"acme/gone":      {"1.0": {hash("gone")}},
	"acme/tools/cli": {"9": {hash("cli")}},
}

func TestCheck(t *testing.T) {
	schema := func(name, suffix string) string {
		return strings.Replace(hash(name), ":", "-", 1) + suffix
	}
	const forwarded = "UNSUPPORTED: listing is not supported here"
	tests := []struct {
		name, uri   string
		wantLicense string
		wantStatus  int
		wantError   string
	}{
		{name: "ping", uri: "/v2/"},
		{name: "catalog, which is not for nginx to forward", uri: "/v2/_catalog", wantStatus: 404, wantError: forwarded},
		{name: "tags, which are not for nginx to forward", uri: "/v2/acme/appliance/tags/list", wantStatus: 404, wantError: forwarded},
		{name: "tag", uri: "/v2/acme/appliance/manifests/1.4.2", wantLicense: "current"},
		{name: "manifest", uri: "/v2/acme/appliance/manifests/" + hash("1.4"), wantLicense: "current"},
		{name: "blob", uri: "/v2/acme/appliance/blobs/" + hash("1.4"), wantLicense: "current"},
		{name: "referrers", uri: "/v2/acme/appliance/referrers/" + hash("1.4"), wantLicense: "current"},
		// keygen-api #1148: a layer shared by an allowed and a forbidden image was refused.
		{name: "shared layer", uri: "/v2/acme/appliance/blobs/" + hash("base"), wantLicense: "current"},
		{name: "manifest never licensed", uri: "/v2/acme/appliance/manifests/" + hash("2.0"), wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/appliance@" + hash("2.0") + " does not exist or is not part of your license"},
		{name: "blob never licensed", uri: "/v2/acme/appliance/blobs/" + hash("layer of 2.0"), wantStatus: 404,
			wantError: "BLOB_UNKNOWN: acme/appliance@" + hash("layer of 2.0") + " does not exist or is not part of your license"},
		{name: "digest in another repository", uri: "/v2/acme/tools/cli/blobs/" + hash("1.4"), wantStatus: 404,
			wantError: "BLOB_UNKNOWN: acme/tools/cli@" + hash("1.4") + " does not exist or is not part of your license"},
		{name: "digest of an ended license", uri: "/v2/acme/appliance/manifests/" + hash("0.1"), wantLicense: "older",
			wantStatus: 403, wantError: "DENIED: license older expired on 2026-10-24; renew at x"},
		{name: "digest of two ended licenses", uri: "/v2/acme/appliance/manifests/" + hash("0.9"), wantLicense: "old",
			wantStatus: 403, wantError: "DENIED: license old expired on 2026-11-22; renew at x"},
		{name: "signature's tag", uri: "/v2/acme/appliance/manifests/" + schema("1.4", ".sig"), wantLicense: "current"},
		{name: "referrers' tag", uri: "/v2/acme/appliance/manifests/" + schema("1.4", ""), wantLicense: "current"},
		{name: "signature's tag, never licensed", uri: "/v2/acme/appliance/manifests/" + schema("2.0", ".sig"), wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/appliance:" + schema("2.0", ".sig") + " does not exist or is not part of your license"},
		{name: "signature's tag, of an ended license", uri: "/v2/acme/appliance/manifests/" + schema("0.1", ".sig"), wantLicense: "older",
			wantStatus: 403, wantError: "DENIED: license older expired on 2026-10-24; renew at x"},
		{name: "another suffix belongs to nothing", uri: "/v2/acme/appliance/manifests/" + schema("1.4", ".exe"), wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/appliance:" + schema("1.4", ".exe") + " does not exist or is not part of your license"},
		{name: "tag of an ended license", uri: "/v2/acme/appliance/manifests/0.1", wantLicense: "older",
			wantStatus: 403, wantError: "DENIED: license older expired on 2026-10-24; renew at x"},
		{name: "the license that ended last is named", uri: "/v2/acme/appliance/manifests/0.9", wantLicense: "old",
			wantStatus: 403, wantError: "DENIED: license old expired on 2026-11-22; renew at x"},
		{name: "tag never licensed", uri: "/v2/acme/appliance/manifests/2.0", wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/appliance:2.0 does not exist or is not part of your license"},
		{name: "tag never licensed, repository ended", uri: "/v2/acme/gone/manifests/2.0", wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/gone:2.0 does not exist or is not part of your license"},
		{name: "repository ended", uri: "/v2/acme/gone/blobs/" + hash("gone"), wantLicense: "gone", wantStatus: 403,
			wantError: "DENIED: license gone expired on 2026-11-23; renew at x"},
		{name: "ends at its very moment", uri: "/v2/acme/second/manifests/1", wantLicense: "ends now", wantStatus: 403,
			wantError: "DENIED: license ends now expired on 2026-11-23; renew at x"},
		{name: "withdrawn", uri: "/v2/acme/taken/manifests/1", wantLicense: "taken", wantStatus: 403,
			wantError: "DENIED: license taken was withdrawn; renew at x"},
		{name: "digest of a withdrawn license", uri: "/v2/acme/taken/blobs/" + hash("taken"), wantLicense: "taken", wantStatus: 403,
			wantError: "DENIED: license taken was withdrawn; renew at x"},
		{name: "what can be renewed is named before what was withdrawn", uri: "/v2/acme/appliance/manifests/0.8", wantLicense: "ended since",
			wantStatus: 403, wantError: "DENIED: license ended since expired on 2026-11-22; renew at x"},
		{name: "repository never licensed", uri: "/v2/acme/other/manifests/1.4.2", wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/other does not exist or is not part of your license"},
		{name: "pattern", uri: "/v2/acme/tools/cli/manifests/9", wantLicense: "for ever"},
		{name: "a star does not cross a slash", uri: "/v2/acme/tools/cli/deep/manifests/9", wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/tools/cli/deep does not exist or is not part of your license"},
	}
	rules := entitlement.Rules{Releases: shop, Renew: "renew at x", Now: func() time.Time { return now }}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rules.Check(t.Context(), customer(t), parse(t, test.uri))
			if got.Grant.License != test.wantLicense {
				t.Errorf("license %q, want %q", got.Grant.License, test.wantLicense)
			}
			is(t, got, err, test.wantStatus, test.wantError)
		})
	}
}

// is checks a verdict: allowed, or a refusal.
func is(t *testing.T, got entitlement.Verdict, err error, status int, text string) {
	t.Helper()
	switch {
	case err != nil:
		t.Fatal(err)
	case text == "" && got.Refusal == nil:
	case text == "" || got.Refusal == nil:
		t.Fatalf("got %v, want %q", got.Refusal, text)
	case got.Refusal.Status != status || got.Refusal.String() != text:
		t.Errorf("got %d %v, want %d %s", got.Refusal.Status, got.Refusal, status, text)
	}
}

// TestStrangersAskNobody: of a repository in which the customer never had
// anything, not even the time of the answer may tell whether it exists.
func TestStrangersAskNobody(t *testing.T) {
	const unknown = "NAME_UNKNOWN: repository acme/secret does not exist or is not part of your license"
	for name, grants := range map[string]auth.Grants{
		"others": customer(t),
		// distr: no licenses at all meant everything allowed.
		"none":      {},
		"zero ones": auth.NewGrants(auth.Grant{}),
	} {
		t.Run(name, func(t *testing.T) {
			rules := entitlement.Rules{Releases: untouchable{t}, Now: func() time.Time { return now }}
			for _, uri := range []string{"manifests/1.4", "manifests/" + hash("1.4"), "blobs/" + hash("1.4"), "referrers/" + hash("1.4"),
				"manifests/" + strings.Replace(hash("1.4"), ":", "-", 1)} {
				got, err := rules.Check(t.Context(), grants, parse(t, "/v2/acme/secret/"+uri))
				is(t, got, err, 404, unknown)
			}
			_, got, err := rules.Tags(t.Context(), grants, "acme/secret")
			is(t, got, err, 404, unknown)
		})
	}
}

// TestOutageIsNoRefusal: what could not be found out is neither yes nor no.
func TestOutageIsNoRefusal(t *testing.T) {
	rules := entitlement.Rules{Releases: shelves(nil), Now: func() time.Time { return now }}
	for _, uri := range []string{"manifests/" + hash("1.4"), "blobs/" + hash("1.4"), "manifests/" + strings.Replace(hash("1.4"), ":", "-", 1)} {
		got, err := rules.Check(t.Context(), customer(t), parse(t, "/v2/acme/appliance/"+uri))
		if err == nil || got.Refusal != nil {
			t.Errorf("%s: got %v, %v; want an error and no refusal", uri, got.Refusal, err)
		}
	}
	got, err := rules.Check(t.Context(), customer(t), parse(t, "/v2/acme/appliance/manifests/1.4"))
	is(t, got, err, 200, "") // nobody has to be asked about a tag
	if _, _, err := rules.Tags(t.Context(), customer(t), "acme/appliance"); err == nil {
		t.Error("a list without an error")
	}
}

// slow are releases whose answer takes until a moment.
type slow struct {
	shelves
	pass func()
}

func (s slow) Find(ctx context.Context, repository, digest string, want release.Tags) (release.Found, error) {
	defer s.pass()
	return s.shelves.Find(ctx, repository, digest, want)
}

func (s slow) Tags(ctx context.Context, repository string) ([]string, bool, error) {
	defer s.pass()
	return s.shelves.Tags(ctx, repository)
}

// TestExpiresWhileWaiting: a license that expires while its releases are
// learned opens nothing any more.
func TestExpiresWhileWaiting(t *testing.T) {
	tests := []struct {
		name    string
		grants  []auth.Grant
		license string
		want    string
	}{
		{"the only one", []auth.Grant{grant(t, "acme/appliance", "*", now.Add(time.Second), "a")}, "a", "DENIED: license a expired on 2026-11-23"},
		{"another is left", []auth.Grant{
			grant(t, "acme/appliance", "1.*", now.Add(time.Second), "a"), grant(t, "acme/appliance", "1.4", now.Add(time.Hour), "b"),
		}, "b", ""},
		{"another is left, which does not open it", []auth.Grant{
			grant(t, "acme/appliance", "1.4", now.Add(time.Second), "a"), grant(t, "acme/appliance", "2.*", now.Add(time.Hour), "b"),
		}, "a", "DENIED: license a expired on 2026-11-23"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock := now
			rules := entitlement.Rules{Now: func() time.Time { return clock },
				Releases: slow{shop, func() { clock = now.Add(time.Second) }}}
			got, err := rules.Check(t.Context(), auth.NewGrants(test.grants...), parse(t, "/v2/acme/appliance/blobs/"+hash("1.4")))
			if got.Grant.License != test.license {
				t.Errorf("license %q, want %q", got.Grant.License, test.license)
			}
			is(t, got, err, 403, test.want)
		})
	}
}

func TestTags(t *testing.T) {
	rules := entitlement.Rules{Releases: shop, Renew: "renew at x", Now: func() time.Time { return now }}
	tests := []struct {
		repository, license string
		want                []string
		wantStatus          int
		wantError           string
	}{
		{repository: "acme/appliance", license: "current", want: []string{"1.4"}},
		{repository: "acme/tools/cli", license: "for ever", want: []string{"9"}},
		{repository: "acme/gone", license: "gone", wantStatus: 403, wantError: "DENIED: license gone expired on 2026-11-23; renew at x"},
		{repository: "acme/taken", license: "taken", wantStatus: 403, wantError: "DENIED: license taken was withdrawn; renew at x"},
		{repository: "acme/tools/none", license: "for ever", wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/tools/none does not exist or is not part of your license"},
		{repository: "acme/other", wantStatus: 404, wantError: "NAME_UNKNOWN: repository acme/other does not exist or is not part of your license"},
	}
	for _, test := range tests {
		t.Run(test.repository, func(t *testing.T) {
			got, verdict, err := rules.Tags(t.Context(), customer(t), test.repository)
			is(t, verdict, err, test.wantStatus, test.wantError)
			if !slices.Equal(got, test.want) || verdict.Grant.License != test.license {
				t.Errorf("got %q by %q, want %q by %q", got, verdict.Grant.License, test.want, test.license)
			}
		})
	}
	clock := now
	rules.Now = func() time.Time { return clock }
	rules.Releases = slow{shop, func() { clock = now.Add(time.Hour) }}
	_, got, err := rules.Tags(t.Context(), customer(t), "acme/appliance")
	is(t, got, err, 403, "DENIED: license current expired on 2026-11-23; renew at x")
}

func TestCatalog(t *testing.T) {
	rules := entitlement.Rules{Releases: untouchable{t}, Now: func() time.Time { return now },
		Repositories: []string{"acme/tools/sed", "acme/tools/cli", "acme/tools/cli/deep", "acme/other", "acme/gone"}}
	want := []string{"acme/appliance", "acme/tools/cli", "acme/tools/sed"}
	if got := rules.Catalog(customer(t)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := rules.Catalog(auth.Grants{}); len(got) > 0 {
		t.Errorf("without grants: %q", got)
	}
}

// TestCheckAgainstModel compares decisions over random grants with the rule as
// the documentation states it, written as plainly as can be.
func TestCheckAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	all := []string{"1", "1.2", "latest"}
	for range 50_000 {
		var grants []auth.Grant
		for range random.IntN(4) {
			expires := time.Time{}
			if random.IntN(2) == 0 {
				expires = now.Add(time.Duration(random.IntN(5)-2) * time.Second)
			}
			grants = append(grants, grant(t, pick("a", "b", "a/*", "*", "?/b"), pick("1", "1.*", "*", "latest"), expires, "l"))
		}
		repository := pick("a", "b", "a/b", "b/b", "a/b/b")
		reached := map[string][]string{}
		for _, tag := range all {
			if random.IntN(2) == 0 {
				reached[tag] = []string{hash("x")}
			}
		}
		allows := func(tag string) bool {
			return slices.ContainsFunc(grants, func(g auth.Grant) bool {
				inRepository, _ := path.Match(g.Repository.String(), repository)
				hasTag, _ := path.Match(g.Tag.String(), tag)
				return inRepository && hasTag && (g.Expires.IsZero() || now.Before(g.Expires))
			})
		}
		tag := pick(all...)
		uri, allowed := "/v2/"+repository+"/manifests/"+tag, allows(tag)
		if random.IntN(2) == 0 {
			uri = "/v2/" + repository + "/blobs/" + hash("x")
			allowed = slices.ContainsFunc(slices.Collect(maps.Keys(reached)), allows)
		}
		rules := entitlement.Rules{Releases: shelves{repository: reached}, Now: func() time.Time { return now }}
		if got, err := rules.Check(t.Context(), auth.NewGrants(grants...), parse(t, uri)); err != nil || allowed != (got.Refusal == nil) {
			t.Fatalf("%s with %v: allowed should be %t, got %v, %v", uri, grants, allowed, got.Refusal, err)
		}
	}
}
