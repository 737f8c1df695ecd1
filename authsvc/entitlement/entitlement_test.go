package entitlement_test

import (
	"errors"
	"math/rand/v2"
	"path"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func grant(t testing.TB, repository, tag string, expires time.Time, licence string) auth.Grant {
	t.Helper()
	r, err := auth.NewPattern(repository)
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.NewPattern(tag)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Grant{Repository: r, Tag: g, Expires: expires, License: licence}
}

func parse(t testing.TB, uri string) registry.Request {
	t.Helper()
	request, err := registry.Parse("GET", uri)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestCheck(t *testing.T) {
	grants := []auth.Grant{
		grant(t, "acme/appliance", "1.*", now.Add(time.Hour), "current"),
		grant(t, "acme/appliance", "0.*", now.Add(-30*24*time.Hour), "older"),
		grant(t, "acme/appliance", "0.9*", now.Add(-24*time.Hour), "old"),
		grant(t, "acme/gone", "*", now.Add(-time.Nanosecond), "gone"),
		grant(t, "acme/second", "*", now, "ends now"),
		grant(t, "acme/tools/*", "*", time.Time{}, "for ever"),
	}
	tests := []struct {
		name, uri   string
		grants      []auth.Grant
		wantLicence string
		wantStatus  int
		wantError   string
	}{
		{name: "ping", uri: "/v2/", grants: grants},
		{name: "ping without grants", uri: "/v2/"},
		{name: "catalog", uri: "/v2/_catalog", grants: grants, wantStatus: 404,
			wantError: "UNSUPPORTED: this registry lists no repositories; name the one that you have licensed"},
		{name: "tag", uri: "/v2/acme/appliance/manifests/1.4.2", grants: grants, wantLicence: "current"},
		{name: "digest", uri: "/v2/acme/appliance/manifests/" + digest, grants: grants, wantLicence: "current"},
		{name: "blob", uri: "/v2/acme/appliance/blobs/" + digest, grants: grants, wantLicence: "current"},
		{name: "referrers", uri: "/v2/acme/appliance/referrers/" + digest, grants: grants, wantLicence: "current"},
		{name: "tags", uri: "/v2/acme/appliance/tags/list", grants: grants, wantLicence: "current"},
		{name: "tag of an ended licence", uri: "/v2/acme/appliance/manifests/0.1", grants: grants, wantLicence: "older",
			wantStatus: 403, wantError: "DENIED: license older expired on 2026-10-24; renew at x"},
		{name: "the licence that ended last is named", uri: "/v2/acme/appliance/manifests/0.9", grants: grants, wantLicence: "old",
			wantStatus: 403, wantError: "DENIED: license old expired on 2026-11-22; renew at x"},
		{name: "tag never licensed", uri: "/v2/acme/appliance/manifests/2.0", grants: grants, wantStatus: 404,
			wantError: "MANIFEST_UNKNOWN: acme/appliance:2.0 does not exist or is not part of your license"},
		{name: "repository ended", uri: "/v2/acme/gone/blobs/" + digest, grants: grants, wantLicence: "gone", wantStatus: 403,
			wantError: "DENIED: license gone expired on 2026-11-23; renew at x"},
		{name: "ends at its very moment", uri: "/v2/acme/second/tags/list", grants: grants, wantLicence: "ends now", wantStatus: 403,
			wantError: "DENIED: license ends now expired on 2026-11-23; renew at x"},
		{name: "repository never licensed", uri: "/v2/acme/other/manifests/1.4.2", grants: grants, wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/other does not exist or is not part of your license"},
		{name: "pattern", uri: "/v2/acme/tools/cli/manifests/9", grants: grants, wantLicence: "for ever"},
		{name: "a star does not cross a slash", uri: "/v2/acme/tools/cli/deep/manifests/9", grants: grants, wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/tools/cli/deep does not exist or is not part of your license"},
		// distr: no licences at all meant everything allowed.
		{name: "no licences, no rights", uri: "/v2/acme/appliance/manifests/1.4.2", wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/appliance does not exist or is not part of your license"},
		{name: "the zero grant matches nothing", uri: "/v2/acme/appliance/manifests/1.4.2", grants: make([]auth.Grant, 1), wantStatus: 404,
			wantError: "NAME_UNKNOWN: repository acme/appliance does not exist or is not part of your license"},
	}
	rules := entitlement.Rules{Renew: "renew at x"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rules.Check(test.grants, parse(t, test.uri), now)
			if got.License != test.wantLicence {
				t.Errorf("licence %q, want %q", got.License, test.wantLicence)
			}
			if test.wantError == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var refusal *registry.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v, want a *registry.Error", err)
			}
			if refusal.Status != test.wantStatus || refusal.Error() != test.wantError {
				t.Errorf("got %d %v, want %d %s", refusal.Status, refusal, test.wantStatus, test.wantError)
			}
		})
	}
}

// TestCheckAgainstModel compares decisions over random grants with the rule as
// the documentation states it, written as plainly as can be.
func TestCheckAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range 50_000 {
		var grants []auth.Grant
		for range random.IntN(4) {
			expires := time.Time{}
			if random.IntN(2) == 0 {
				expires = now.Add(time.Duration(random.IntN(5)-2) * time.Second)
			}
			grants = append(grants, grant(t, pick("a", "b", "a/*", "*", "?/b"), pick("1", "1.*", "*", "latest"), expires, "l"))
		}
		repository, tag := pick("a", "b", "a/b", "b/b", "a/b/b"), pick("1", "1.2", "latest")
		byTag := random.IntN(2) == 0
		uri := "/v2/" + repository + "/blobs/" + digest
		if byTag {
			uri = "/v2/" + repository + "/manifests/" + tag
		}

		allowed := false
		for _, g := range grants {
			inRepository, _ := path.Match(g.Repository.String(), repository)
			hasTag, _ := path.Match(g.Tag.String(), tag)
			inTime := g.Expires.IsZero() || now.Before(g.Expires)
			allowed = allowed || inRepository && inTime && (hasTag || !byTag)
		}
		if _, err := (entitlement.Rules{}).Check(grants, parse(t, uri), now); allowed != (err == nil) {
			t.Fatalf("%s with %v: allowed should be %t, got %v", uri, grants, allowed, err)
		}
	}
}
