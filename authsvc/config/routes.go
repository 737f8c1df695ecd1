package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pullgate/pullgate/authsvc/upstream"
)

// checkUpstreams finds what is wrong with several registries together.
func checkUpstreams(all []Upstream) (problems []error) {
	byName := map[string]Upstream{}
	standsBy := map[string]bool{}
	for i, u := range all {
		if _, ok := byName[u.Name]; ok {
			problems = append(problems, fmt.Errorf("upstreams[%d].name: expected a name that no other registry has, found %q", i, u.Name))
		}
		byName[u.Name] = u
		standsBy[u.Standby] = true
	}
	for i, u := range all {
		other, ok := byName[u.Standby]
		switch {
		case u.Standby == "":
		case !ok || u.Standby == u.Name:
			problems = append(problems, fmt.Errorf("upstreams[%d].standby: expected the name of another registry, found %q", i, u.Standby))
		case other.Standby != "":
			problems = append(problems, fmt.Errorf("upstreams[%d].standby: expected a registry without a standby of its own, found %q", i, u.Standby))
		case other.TokenFile == u.TokenFile:
			problems = append(problems, fmt.Errorf("upstreams[%d].standby: expected another registry, found one with the same token_file", i))
		}
		if len(u.Prefixes) == 0 && !standsBy[u.Name] {
			problems = append(problems, fmt.Errorf("upstreams[%d].prefixes: expected at least one prefix, or the registry's name in another one's standby; found neither. All repositories are /", i))
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return checkNames(all, byName)
}

// A claim is that a registry, known by its token's file, has some repositories.
type claim struct {
	upstream.Prefix
	registry string
	at       string // where the configuration says so
}

// checkNames finds prefixes that lead to two registries, and repositories that customers
// would see under two names. The same license or tag would then mean different things.
func checkNames(all []Upstream, byName map[string]Upstream) (problems []error) {
	at := map[string]string{} // of each prefix that customers see
	var claims []claim
	for i, u := range all {
		for _, p := range u.Prefixes {
			where := fmt.Sprintf("upstreams[%d].prefixes", i)
			if other, ok := at[p.Outer]; ok {
				problems = append(problems, fmt.Errorf("%s: expected each prefix once, found %s also in %s", where, written(p.Outer), other))
			}
			at[p.Outer] = where
			claims = append(claims, claim{p, u.TokenFile, where})
			if u.Standby != "" {
				claims = append(claims, claim{p, byName[u.Standby].TokenFile, where})
			}
		}
	}
	slices.SortFunc(claims, func(a, b claim) int { return strings.Compare(a.Inner, b.Inner) })
	for i, short := range claims {
		for _, long := range claims[i+1:] {
			below, ok := strings.CutPrefix(long.Inner, short.Inner)
			if !ok {
				break // sorted: no other one begins so either
			}
			outer := short.Outer + below
			if short.registry == long.registry && outer != long.Outer && !shadowed(short.Outer, outer, at) {
				problems = append(problems, fmt.Errorf("%s: expected one name for each repository, found that the registry's %s would be %s and %s",
					long.at, written(long.Inner), written(outer), written(long.Outer)))
			}
		}
	}
	return problems
}

// shadowed says whether a longer prefix than its own decides about the names below outer.
func shadowed(own, outer string, prefixes map[string]string) bool {
	for end := len(outer); end > len(own); end = strings.LastIndexByte(outer[:end-1], '/') + 1 {
		if _, ok := prefixes[outer[:end]]; ok {
			return true
		}
	}
	return false
}

// written is a prefix as the configuration has it.
func written(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}
