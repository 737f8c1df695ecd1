package decision_test

import (
	"slices"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// TestCatalogHasRoutes: a license for a name that leads to no registry, such as one that
// only a registry knows, does not put it into the catalog.
func TestCatalogHasRoutes(t *testing.T) {
	k := &keys{}
	d := decider(t, k)
	d.Routes = upstream.NewRoutes(upstream.Route{Prefix: upstream.Prefix{Outer: "vendor/", Inner: "prod-eu/"}, First: k.registry("eu")})
	var grants []auth.Grant
	for _, name := range []string{"prod-eu/app", "vendor/app", "vendor", "acme/app"} {
		repository, err := auth.NewPattern(name)
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, auth.Grant{Repository: repository, Tag: repository})
	}
	d.Authenticator = customers{"ann": {Subject: "ann@acme.example", Grants: auth.NewGrants(grants...)}}
	if o := d.List(t.Context(), question("/v2/_catalog", "ann:t0ken"), nil); !o.Allowed() || !slices.Equal(o.Page, []string{"vendor/app"}) {
		t.Errorf("got %q, %v", o.Page, o.Reason())
	}
}
