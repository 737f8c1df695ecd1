package config

import (
	"errors"
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
func checkNames(all []Upstream, byName map[string]Upstream) []error {
	var found clashes
	at := map[string]string{} // of each prefix that customers see
	var claims []claim
	for i, u := range all {
		where := fmt.Sprintf("upstreams[%d].prefixes", i)
		for _, p := range u.Prefixes {
			if other, ok := at[p.Outer]; ok {
				found.add("%s: expected each prefix once, found %s also in %s", where, written(p.Outer), other)
			}
			at[p.Outer] = where
			claims = append(claims, claim{p, u.TokenFile, where})
			if u.Standby != "" {
				claims = append(claims, claim{p, byName[u.Standby].TokenFile, where})
			}
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return strings.Compare(a.Inner, b.Inner) })
	for i, short := range claims {
		for _, long := range claims[i+1:] {
			below, ok := strings.CutPrefix(long.Inner, short.Inner)
			if !ok || len(found) > maxClashes {
				break // sorted: no other one begins so either
			}
			outer := short.Outer + below
			if short.registry == long.registry && outer != long.Outer && !shadowed(short.Outer, outer, at) {
				found.add("%s: expected one name for each repository, found that the registry's %s would be %s and %s",
					long.at, written(long.Inner), written(outer), written(long.Outer))
			}
		}
	}
	return found
}

// clashes are problems with names, each once: a registry and its stand-by have the same.
type clashes []error

// maxClashes bounds them: in a list that a program wrote, all names may clash.
const maxClashes = 20

func (c *clashes) add(format string, args ...any) {
	problem := fmt.Errorf(format, args...)
	same := func(other error) bool { return other.Error() == problem.Error() }
	switch {
	case len(*c) > maxClashes, slices.ContainsFunc(*c, same):
		return
	case len(*c) == maxClashes:
		problem = errors.New("upstreams: more names clash")
	}
	*c = append(*c, problem)
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
