package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// manifests are one manifest, which 1.4 has, and has been shown to have; 1.3 is of
// schema 1.
type manifests struct{}

func (manifests) Pin(_ context.Context, r registry.Request) (registry.Pinned, error) {
	switch r.Reference.Tag {
	case "1.0":
		return registry.Pinned{}, nil
	case "1.2":
		return registry.Pinned{}, errors.New("the registry does not answer")
	}
	return registry.Pinned{Digest: digest, Schema1: r.Reference.Tag == "1.3"}, nil
}

func (manifests) Shown(r registry.Request) (string, bool, bool) {
	return digest, false, r.Reference.Tag == "1.4" || r.Reference.Digest == digest
}

// severalRegistries leads acme/ to eu, where acme/renamed/ is prod-eu/. us stands by.
func severalRegistries(logger *slog.Logger) *upstream.Routes {
	region := func(name string) *upstream.Upstream {
		t := token(name)
		t.Host = name + ".example"
		return upstream.New(tokenSource{func() (tokenfile.Token, error) { return t, nil }}, upstream.Config{Name: name, Timeout: time.Second, Logger: logger})
	}
	eu, us := region("eu"), region("us")
	return upstream.NewRoutes(
		upstream.Route{Prefix: upstream.Prefix{Outer: "acme/", Inner: "acme/"}, First: eu, Standby: us},
		upstream.Route{Prefix: upstream.Prefix{Outer: "acme/renamed/", Inner: "prod-eu/"}, First: eu, Standby: us})
}

// A fleet is a fixture of several registries, and their metrics.
type fleet struct {
	*fixture
	registries *prometheus.Registry
}

func newFleet(t *testing.T) fleet {
	t.Helper()
	f := fleet{registries: prometheus.NewRegistry()}
	f.fixture = newFixture(t, func(o *server.Options) {
		routes := severalRegistries(o.Logger)
		routes.Register(f.registries)
		decider(o).Routes, decider(o).Manifests, o.Registries = routes, manifests{}, routes
		decider(o).Rules.Releases = anywhere{}
		decider(o).Authenticator = vendor{func(c credential.Credential) (auth.Decision, error) {
			return auth.Decision{Subject: c.User, User: c.User, Cache: auth.Hit, Grants: auth.NewGrants(
				auth.Grant{Repository: pattern(t, "acme/*"), Tag: pattern(t, "1.*"), License: "lic_1"},
				auth.Grant{Repository: pattern(t, "acme/renamed/*"), Tag: pattern(t, "1.*"), License: "lic_1"})}, nil
		}}
	})
	return f
}

// counted are the counters that are not 0, with their labels in their order.
func (f fleet) counted(t *testing.T) (names []string) {
	t.Helper()
	families, err := f.registries.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetCounter().GetValue() == 0 {
				continue
			}
			name := strings.TrimPrefix(family.GetName(), "authsvc_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			names = append(names, name)
		}
	}
	return names
}

// anywhere are releases in which 1.4 leads to the digest, in any repository.
type anywhere struct{ releases }

func (anywhere) Find(ctx context.Context, _, d string, want release.Tags) (release.Found, error) {
	return releases{}.Find(ctx, "acme/appliance", d, want)
}

// outdated are releases whose registry fails: what leads to a digest is what did before.
type outdated struct{ releases }

func (outdated) Find(ctx context.Context, repository, d string, want release.Tags) (release.Found, error) {
	found, err := releases{}.Find(ctx, repository, d, want)
	found.Stale = true
	return found, err
}

const tokenTime = ".20261123T120000.000000000Z"

// TestAuthorizeRoutes is the contract with nginx where there are several registries.
func TestAuthorizeRoutes(t *testing.T) {
	const tag, byDigest, renamed = "/v2/acme/app/manifests/1.4", "/v2/acme/app/manifests/" + digest, "/v2/acme/renamed/app/manifests/1.4"
	of := func(name, path, standby string) map[string]string {
		return map[string]string{"X-Ecr-Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:"+name)), "X-Ecr-Registry": name + ".example",
			"X-Ecr-Token-Id": name + tokenTime, "X-Ecr-Path": path, "X-Ecr-Standby": standby, "X-Auth-Subject": "ann@example.com", "X-Auth-License": "lic_1"}
	}
	outage := map[string]string{"X-Registry-Status": "503", "X-Registry-Error-Code": "UNAVAILABLE", "Retry-After": "5"}
	fails := func(name string) []string {
		return []string{"X-Upstream-Status", "502", "X-Upstream-Token-Id", name + tokenTime}
	}
	rejects := func(name string) []string {
		return []string{"X-Upstream-Rejected", "401", "X-Upstream-Rejected-Token", name + ".old"}
	}
	for _, test := range []struct {
		name, uri string
		more      []string
		want      map[string]string
	}{
		{"tag", tag, nil, of("eu", "", "ready")},
		{"digest", byDigest, nil, of("eu", "", "ready")},
		{"renamed", renamed, nil, of("eu", "/v2/prod-eu/app/manifests/"+digest, "ready")},
		{"renamed layer", "/v2/acme/renamed/app/blobs/" + digest + "?ns=a", nil, of("eu", "/v2/prod-eu/app/blobs/"+digest+"?ns=a", "ready")},
		{"renamed, schema 1", "/v2/acme/renamed/app/manifests/1.3", nil, map[string]string{"X-Registry-Status": "404", "X-Registry-Error-Code": "MANIFEST_UNKNOWN",
			"X-Registry-Error-Message": "this image has a manifest of Docker's old schema 1, which cannot be served here; ask the vendor to push it again with a current client"}},
		{"ping", "/v2/", nil, map[string]string{"X-Ecr-Authorization": "", "X-Ecr-Token-Id": "", "X-Ecr-Standby": "", "X-Ecr-Path": ""}},

		{"the first fails", tag, fails("eu"), of("us", "/v2/acme/app/manifests/"+digest, "serves")},
		{"the first fails, by digest", byDigest, fails("eu"), of("us", "", "serves")},
		{"the first fails, renamed", renamed, fails("eu"), of("us", "/v2/prod-eu/app/manifests/"+digest, "serves")},
		{"the first fails, not shown", "/v2/acme/app/manifests/1.5", fails("eu"), outage},
		{"the first fails, referrers", "/v2/acme/app/referrers/" + digest, fails("eu"), outage},
		{"both fail", tag, fails("us"), outage},
		{"an ID without a failure", tag, []string{"X-Upstream-Token-Id", "us" + tokenTime}, of("eu", "", "ready")},

		{"the first rejects its token", tag, rejects("eu"), of("eu", "", "ready")},
		{"the stand-by rejects its token", tag, rejects("us"), of("us", "/v2/acme/app/manifests/"+digest, "serves")},
		{"an ID of another header", tag, append(rejects("eu"), "X-Upstream-Token-Id", "us"+tokenTime), of("eu", "", "ready")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newFleet(t).ask("/authorize", "GET", test.uri, basic("ann@example.com:t0ken"), test.more...)
			isContract(t, got)
			if allowed := test.want["X-Registry-Status"] == ""; allowed != (got.StatusCode == http.StatusOK) {
				t.Errorf("status %d", got.StatusCode)
			}
			for name, want := range test.want {
				if value := got.Header.Get(name); value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
		})
	}
}

// TestRouteIsRecorded: the log tells which registry it was, and the metrics count it.
func TestRouteIsRecorded(t *testing.T) {
	eu := []string{"X-Upstream-Status", "504", "X-Upstream-Token-Id", "eu.x"}
	const failed = "nginx_registry_failures_total 504 eu"
	for _, test := range []struct {
		name, path, uri string
		more            []string
		upstream        any // nil if it is not in the line
		standby         any
		counted         []string
	}{
		{"first", "/authorize", "/v2/acme/app/manifests/1.4", nil, "eu", nil, []string{"upstream_forwarded_total first eu"}},
		{"stand-by", "/authorize", "/v2/acme/app/manifests/1.4", eu, "us", true, []string{failed, "upstream_forwarded_total standby us"}},
		{"not shown", "/authorize", "/v2/acme/app/manifests/1.5", eu, "us", true, []string{failed, "upstream_standby_refused_total us"}},
		{"refused by what it is", "/authorize", "/v2/acme/renamed/app/manifests/1.3", nil, "eu", nil, nil},
		{"ping", "/authorize", "/v2/", nil, nil, nil, nil},
		{"not licensed", "/authorize", "/v2/acme/app/manifests/2.0", nil, nil, nil, nil},
		{"not licensed, and the first fails", "/authorize", "/v2/acme/app/manifests/2.0", eu, nil, nil, []string{failed}},
		{"list", "/list", "/v2/acme/app/tags/list", nil, nil, nil, nil},
		{"report", "/report", "", eu, nil, nil, []string{failed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			f.ask(test.path, "GET", test.uri, basic("ann@example.com:t0ken"), test.more...)
			if counted := f.counted(t); !slices.Equal(counted, test.counted) {
				t.Errorf("counted %q, want %q", counted, test.counted)
			}
			for text := range strings.Lines(f.log.String()) {
				var line map[string]any
				if err := json.Unmarshal([]byte(text), &line); err != nil {
					t.Fatal(err)
				}
				if line["msg"] == server.DecisionLine && (line["upstream"] != test.upstream || line["standby"] != test.standby) {
					t.Errorf("the line has %v, stand-by %v", line["upstream"], line["standby"])
				}
			}
		})
	}
}
