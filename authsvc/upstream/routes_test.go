package upstream_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// registry is one with a token, or with an error instead.
func registry(name string, err error) *upstream.Upstream {
	s := newSource(token(name, fetched))
	s.err = err
	return upstream.New(s, upstream.Config{Name: name, Timeout: time.Second})
}

// route leads a prefix to a registry, which has it under the same name unless inner
// says another.
func route(first, standby *upstream.Upstream, outer string, inner ...string) upstream.Route {
	return upstream.Route{Prefix: upstream.Prefix{Outer: outer, Inner: append(inner, outer)[0]}, First: first, Standby: standby}
}

func TestFind(t *testing.T) {
	eu, us, partner := registry("eu", nil), registry("us", nil), registry("partner", nil)
	rooted := upstream.NewRoutes(route(eu, us, "acme/"), route(eu, us, "vendor/", "prod-eu/"), route(us, nil, "acme/us/"),
		route(partner, nil, "", "mirror/"), route(partner, nil, "flat/", ""), route(partner, nil, "a/b/c/"))
	bare := upstream.NewRoutes(route(eu, us, "acme/"))
	tests := []struct {
		routes     *upstream.Routes
		repository string
		first      string // empty for none
		inner      string
		renamed    bool
	}{
		{rooted, "acme/app", "eu", "acme/app", false},
		{rooted, "acme/app/web", "eu", "acme/app/web", false},
		{rooted, "acme/us/app", "us", "acme/us/app", false},
		{rooted, "acme/us", "eu", "acme/us", false},
		{rooted, "acme/usa/app", "eu", "acme/usa/app", false},
		{rooted, "vendor/app", "eu", "prod-eu/app", true},
		{rooted, "vendor/vendor/app", "eu", "prod-eu/vendor/app", true},
		{rooted, "acme", "partner", "mirror/acme", true},
		{rooted, "acmes/app", "partner", "mirror/acmes/app", true},
		{rooted, "prod-eu/app", "partner", "mirror/prod-eu/app", true},
		{rooted, "flat/app", "partner", "app", true},
		{rooted, "a/b/x", "partner", "mirror/a/b/x", true},
		{rooted, "a/b/c/x", "partner", "a/b/c/x", false},
		{bare, "acme/app", "eu", "acme/app", false},
		{bare, "acme", "", "", false},
		{bare, "other/app", "", "", false},
		{bare, "app", "", "", false},
		{bare, "x/acme/app", "", "", false},
		{bare, "", "", "", false},
	}
	for _, test := range tests {
		got, ok := test.routes.Find(test.repository)
		if ok != (test.first != "") {
			t.Errorf("%s: found %t", test.repository, ok)
		}
		if !ok {
			continue
		}
		if got.First.Name() != test.first || got.Repository(test.repository) != test.inner || got.Renamed() != test.renamed {
			t.Errorf("%s: %s at %s, renamed %t; want %s at %s", test.repository, got.Repository(test.repository), got.First.Name(), got.Renamed(), test.inner, test.first)
		}
	}
}

// TestFindOracle compares Find with trying every prefix.
func TestFindOracle(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // repeatable
	path := func(most int) string {
		parts := make([]string, random.IntN(most+1))
		for i := range parts {
			parts[i] = []string{"a", "b", "ab", "b-a"}[random.IntN(4)]
		}
		return strings.Join(parts, "/")
	}
	found := 0
	for range 300 {
		byOuter := map[string]upstream.Route{}
		for range random.IntN(12) {
			outer := strings.TrimPrefix(path(4)+"/", "/")
			byOuter[outer] = route(registry("r", nil), nil, outer, strings.TrimPrefix(path(2)+"/", "/"))
		}
		var all []upstream.Route
		for _, r := range byOuter {
			all = append(all, r)
		}
		routes := upstream.NewRoutes(all...)
		for range 50 {
			name := strings.TrimPrefix(path(4)+"/a", "/")
			var want *upstream.Route
			for _, r := range all {
				if strings.HasPrefix(name, r.Outer) && (want == nil || len(r.Outer) > len(want.Outer)) {
					want = &r
				}
			}
			got, ok := routes.Find(name)
			if ok != (want != nil) || ok && (got != *want || got.Repository(name) != want.Inner+strings.TrimPrefix(name, want.Outer)) {
				t.Fatalf("seed %d: %s is at %+v, %t; want %+v", seed, name, got.Prefix, ok, want)
			}
			if ok {
				found++
			}
		}
	}
	if found == 0 || found == 300*50 {
		t.Errorf("%d of %d were found", found, 300*50)
	}
}

func TestUpstreams(t *testing.T) {
	eu, us, partner := registry("eu", nil), registry("us", nil), registry("partner", nil)
	var names []string
	for _, u := range upstream.NewRoutes(route(eu, us, "a/"), route(partner, nil, "b/"), route(us, nil, "c/"), route(eu, us, "d/")).Upstreams() {
		names = append(names, u.Name())
	}
	if want := []string{"eu", "us", "partner"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestOf: a token's ID has the registry's name, whatever else is in it.
func TestOf(t *testing.T) {
	eu, us := registry("eu", nil), registry("us", nil)
	spared, alone := route(eu, us, ""), route(eu, nil, "")
	for _, test := range []struct {
		route upstream.Route
		id    string
		want  *upstream.Upstream
	}{
		{spared, eu.TokenID(token("x", fetched)), eu},
		{spared, us.TokenID(token("x", fetched)), us},
		{spared, "us.", us},
		{spared, "us", eu},
		{spared, "us2.20261123T120000.000000000Z", eu},
		{spared, "", eu},
		{spared, "partner.20261123T120000.000000000Z", eu},
		// As it was before there were several.
		{spared, "20261123T120000.000000000Z", eu},
		{alone, us.TokenID(token("x", fetched)), eu},
	} {
		if got := test.route.Of(test.id); got != test.want {
			t.Errorf("%q is a token of %s", test.id, got.Name())
		}
	}
	if id := us.TokenID(token("x", fetched)); id != "us.20261123T120000.000000000Z" || upstream.CutName(id) != upstream.ID(token("x", fetched)) {
		t.Errorf("the ID is %s, without the name %s", id, upstream.CutName(id))
	}
}

func TestReadyAndTroubles(t *testing.T) {
	gone, expired := errors.New("no file yet"), token("x", fetched)
	expired.ExpiresAt = fetched.Add(time.Hour)
	late := upstream.New(newSource(expired), upstream.Config{Name: "late", Now: func() time.Time { return fetched.Add(time.Hour) }})
	for _, test := range []struct {
		name     string
		routes   *upstream.Routes
		notReady string
		troubles []string
	}{
		{"both", upstream.NewRoutes(route(registry("eu", nil), registry("us", nil), "")), "", nil},
		{"the first alone", upstream.NewRoutes(route(registry("eu", nil), registry("us", gone), "")), "", []string{"no token for registry us: no file yet"}},
		{"the stand-by alone", upstream.NewRoutes(route(registry("eu", gone), registry("us", nil), "")), "", []string{"no token for registry eu: no file yet"}},
		{"one of two", upstream.NewRoutes(route(registry("eu", gone), nil, "a/"), route(registry("us", nil), nil, "b/")), "", []string{"no token for registry eu: no file yet"}},
		{"none", upstream.NewRoutes(route(registry("eu", gone), nil, "a/"), route(late, nil, "b/")),
			"no file yet\nthe token expired at 2026-11-23T13:00:00Z",
			[]string{"no token for registry eu: no file yet", "no token for registry late: the token expired at 2026-11-23T13:00:00Z"}},
	} {
		notReady := ""
		if err := test.routes.Ready(); err != nil {
			notReady = err.Error()
		}
		if troubles := test.routes.Troubles(); notReady != test.notReady || !slices.Equal(troubles, test.troubles) {
			t.Errorf("%s: not ready: %q, troubles %q; want %q, %q", test.name, notReady, troubles, test.notReady, test.troubles)
		}
	}
}

// TestFailed: a failure is that of the registry whose token nginx had; of the only one
// whatever nginx had.
func TestFailed(t *testing.T) {
	id := func(name string) string { return name + "." + upstream.ID(tokenfile.Token{FetchedAt: fetched}) }
	for _, test := range []struct {
		names []string
		id    string
		want  string // who failed
	}{
		{[]string{"eu", "us"}, id("eu"), "eu"},
		{[]string{"eu", "us"}, id("us"), "us"},
		{[]string{"eu", "us"}, id("e"), ""},
		{[]string{"eu", "us"}, "eu", ""},
		{[]string{"eu", "us"}, "", ""},
		{[]string{"eu"}, id("eu"), "eu"},
		{[]string{"eu"}, id("us"), "eu"},
		{[]string{"eu"}, "", "eu"},
	} {
		var all []upstream.Route
		for _, name := range test.names {
			all = append(all, route(registry(name, nil), nil, name+"/"))
		}
		routes := upstream.NewRoutes(all...)
		routes.Failed(test.id, "502")
		numbers := numbersOf(t, routes)
		for _, name := range test.names {
			line := fmt.Sprintf(`authsvc_nginx_registry_failures_total{status="502",upstream=%q}`, name)
			if failed := numbers[line] == 1; failed != (name == test.want) {
				t.Errorf("%q of %q: %s failed: %t", test.id, test.names, name, failed)
			}
		}
	}
}
