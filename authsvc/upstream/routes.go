package upstream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A Prefix is where the names of some repositories begin. Both of its names end with
// a slash, or are empty, which is where every name begins.
type Prefix struct {
	// Outer is what customers see.
	Outer string
	// Inner is what the registry has instead.
	Inner string
}

// A Route leads the repositories with a prefix to a registry.
type Route struct {
	Prefix
	// First is the registry.
	First *Upstream
	// Standby serves while First fails; nil for none. It has the same repositories
	// under the same names.
	Standby *Upstream
}

// Renamed says whether the registry has other names than customers see.
func (r Route) Renamed() bool { return r.Outer != r.Inner }

// Repository is the registry's name for one of the route's repositories.
func (r Route) Repository(outer string) string { return r.Inner + outer[len(r.Outer):] }

// Of returns the one of the route's registries that a token belongs to, by the token's
// ID; First if it is nobody's.
func (r Route) Of(tokenID string) *Upstream {
	if r.Standby != nil && r.Standby.issued(tokenID) {
		return r.Standby
	}
	return r.First
}

// Routes lead repositories to registries. They do not change.
type Routes struct {
	prefixes  map[string]Route
	upstreams []*Upstream
}

// NewRoutes makes Routes. Every prefix must be there once.
func NewRoutes(routes ...Route) *Routes {
	r := &Routes{prefixes: make(map[string]Route, len(routes))}
	seen := map[*Upstream]bool{nil: true}
	for _, route := range routes {
		r.prefixes[route.Outer] = route
		for _, u := range []*Upstream{route.First, route.Standby} {
			if !seen[u] {
				seen[u] = true
				r.upstreams = append(r.upstreams, u)
			}
		}
		route.First.isFirst = true
		if route.Standby != nil {
			route.First.hasStandby, route.Standby.isStandby = true, true
		}
	}
	return r
}

// Find returns the route of a repository: the one with the longest prefix of its name.
// ok is false if there is none.
func (r *Routes) Find(repository string) (route Route, ok bool) {
	for end := strings.LastIndexByte(repository, '/'); end >= 0; end = strings.LastIndexByte(repository[:end], '/') {
		if route, ok = r.prefixes[repository[:end+1]]; ok {
			return route, true
		}
	}
	route, ok = r.prefixes[""]
	return route, ok
}

// Upstreams are all registries, stand-bys included, in the order of the routes.
func (r *Routes) Upstreams() []*Upstream { return r.upstreams }

// Ready returns nil if at least one registry has a usable token.
func (r *Routes) Ready() error {
	var reasons []error
	for _, u := range r.upstreams {
		_, err := u.Current()
		if err == nil {
			return nil
		}
		reasons = append(reasons, err)
	}
	return errors.Join(reasons...)
}

// Troubles say which registries have no usable token, and which are replaced by their
// stand-by.
func (r *Routes) Troubles() (troubles []string) {
	for _, u := range r.upstreams {
		if _, err := u.Current(); err != nil {
			troubles = append(troubles, fmt.Sprintf("no token for registry %s: %v", u.name, err))
		}
		if !u.Serves() {
			troubles = append(troubles, fmt.Sprintf("registry %s fails, and its stand-by serves what is known", u.name))
		}
	}
	return troubles
}

// Failed notes that nginx could not get an answer from the registry that a token
// belongs to. status is nginx's.
func (r *Routes) Failed(tokenID, status string) {
	for _, u := range r.upstreams {
		if u.issued(tokenID) || len(r.upstreams) == 1 {
			u.failed(status)
			return
		}
	}
}

// TokenID is the ID of one of the registry's tokens, with the registry's name.
func (u *Upstream) TokenID(t tokenfile.Token) string { return u.name + "." + ID(t) }

// issued says whether a TokenID is that of one of the registry's tokens.
func (u *Upstream) issued(tokenID string) bool {
	name, _, ok := strings.Cut(tokenID, ".")
	return ok && name == u.name
}

// CutName returns the ID in a TokenID.
func CutName(tokenID string) string {
	_, id, _ := strings.Cut(tokenID, ".")
	return id
}
