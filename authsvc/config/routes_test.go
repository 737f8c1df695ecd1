package config_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/config"
)

// TestClashes: two outer names for one inner name are refused, however they come about,
// and what only looks like it is not.
func TestClashes(t *testing.T) {
	clash := func(registry int, inner, one, other string) string {
		return fmt.Sprintf("upstreams[%d].prefixes: expected one name for each repository, found that the registry's %s would be %s and %s", registry, inner, one, other)
	}
	for _, test := range []struct{ name, yaml, want string }{
		{"directly", "[{name: a, prefixes: [a/: x/, b/: x/]}]", clash(0, "x/", "a/", "b/")},
		{"with its own name", "[{name: a, prefixes: [x/, b/: x/]}]", clash(0, "x/", "x/", "b/")},
		{"with all", "[{name: a, prefixes: [/, vendor/: prod-eu/]}]", clash(0, "prod-eu/", "prod-eu/", "vendor/")},
		{"all in one of its parts", "[{name: a, prefixes: [/: x/, b/: x/y/]}]", clash(0, "x/y/", "y/", "b/")},
		{"nested", "[{name: a, prefixes: [a/: x/, b/: x/y/z/]}]", clash(0, "x/y/z/", "a/y/z/", "b/")},
		{"nested, and one of two parts elsewhere", "[{name: a, prefixes: [a/: x/, b/: x/y/]}, {name: b, prefixes: [a/y/z/]}]", clash(0, "x/y/", "a/y/", "b/")},
		{"through a stand-by", "[{name: a, prefixes: [a/: x/], standby: c}, {name: b, prefixes: [b/: x/], standby: c}, {name: c}]", clash(1, "x/", "a/", "b/")},
		{"with a stand-by's own", "[{name: a, prefixes: [a/], standby: c}, {name: c, prefixes: [b/: a/]}]", clash(1, "a/", "a/", "b/")},
		{"of a registry and its stand-by, once", "[{name: a, prefixes: [a/: x/, b/: x/], standby: c}, {name: c}]", clash(0, "x/", "a/", "b/")},
		{"in one registry by two tokens' names", "[{name: a, prefixes: [a/: x/], token_file: /x.json}, {name: b, prefixes: [b/: x/], token_file: /x.json}]", clash(1, "x/", "a/", "b/")},

		{"another registry", "[{name: a, prefixes: [a/: x/]}, {name: b, prefixes: [b/: x/]}]", ""},
		{"begins alike", "[{name: a, prefixes: [a/: x/, b/: xy/]}]", ""},
		{"the same name below", "[{name: a, prefixes: [a/: x/, a/y/: x/y/]}]", ""},
		{"shadowed", "[{name: a, prefixes: [a/: x/, b/: x/y/, a/y/: z/]}]", ""},
		{"shadowed by another registry", "[{name: a, prefixes: [a/: x/, b/: x/y/]}, {name: b, prefixes: [a/y/]}]", ""},
		{"shadowed above", "[{name: a, prefixes: [a/: x/, b/: x/y/z/]}, {name: b, prefixes: [a/y/]}]", ""},
		{"all, and the rest shadowed", "[{name: a, prefixes: [/, vendor/: prod-eu/]}, {name: b, prefixes: [prod-eu/]}]", ""},
		{"swapped", "[{name: a, prefixes: [a/: b/, b/: a/]}]", ""},
		{"a stand-by's own at its place", "[{name: a, prefixes: [/], standby: c}, {name: c, prefixes: [us/]}]", ""},
	} {
		t.Run(test.name, func(t *testing.T) { refusesUpstreams(t, "upstreams: "+test.yaml, test.want) })
	}
}

// TestManyClashes: a list in which everything clashes was reported with a line for each
// pair, of which 10,000 prefixes have 50 million.
func TestManyClashes(t *testing.T) {
	var prefixes []string
	for i := range 10_000 {
		prefixes = append(prefixes, fmt.Sprintf("a%d/: x/", i))
	}
	_, err := config.Load(write(t, "upstreams: [{name: a, prefixes: ["+strings.Join(prefixes, ", ")+"]}]"), nil, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "upstreams: more names clash" {
		t.Errorf("%d lines, the last is %s", len(lines), lines[len(lines)-1])
	}
}

// TestClashesOracle compares what is refused with the names of all short repositories:
// no two may be one repository of a registry.
func TestClashesOracle(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // repeatable
	names := []string{""}
	for depth, from := 0, 0; depth < 5; depth++ {
		to := len(names)
		for _, above := range names[from:to] {
			for _, part := range []string{"a", "b", "n"} { // n is in no prefix
				names = append(names, above+part+"/")
			}
		}
		from = to
	}
	refused := 0
	const tries = 400
	for range tries {
		w := randomRoutes(random)
		want := w.clash(names)
		if want {
			refused++
		}
		_, err := config.Load(write(t, w.yaml()), nil, nil)
		if got := err != nil && strings.Contains(err.Error(), "expected one name for each repository"); got != want || err != nil && !got {
			t.Fatalf("seed %d: a clash: %t, refused: %v\n%s", seed, want, err, w.yaml())
		}
	}
	if refused < tries/10 || refused > tries*9/10 {
		t.Errorf("%d of %d were refused", refused, tries)
	}
}

// A routing is what a list of upstreams says: prefixes of registries, of which c may
// stand by for the others. Two of them may be the same registry.
type routing struct {
	prefixes map[string]routed // by what customers see
	standby  map[string]bool   // who has c as its stand-by
	file     map[string]string // of the token
}

type routed struct{ registry, inner string }

func randomRoutes(random *rand.Rand) routing {
	prefix := func() string {
		return []string{"", "a/", "b/", "a/a/", "a/b/", "b/a/", "b/b/"}[random.IntN(7)]
	}
	r := routing{map[string]routed{}, map[string]bool{}, map[string]string{"a": "/a", "b": "/b", "c": "/c"}}
	for range 1 + random.IntN(4) {
		outer := prefix()
		inner := outer
		if random.IntN(2) == 0 {
			inner = prefix()
		}
		r.prefixes[outer] = routed{[]string{"a", "b", "c"}[random.IntN(3)], inner}
	}
	if random.IntN(3) == 0 {
		r.file["b"] = "/a"
	}
	if random.IntN(2) == 0 {
		for _, to := range r.prefixes {
			r.standby[to.registry] = to.registry != "c"
		}
	}
	return r
}

func (r routing) yaml() string {
	var entries []string
	for _, name := range []string{"a", "b", "c"} {
		var prefixes []string
		for outer, to := range r.prefixes {
			if to.registry == name {
				prefixes = append(prefixes, fmt.Sprintf("{%q: %q}", written(outer), written(to.inner)))
			}
		}
		slices.Sort(prefixes)
		isStandby := name == "c" && (r.standby["a"] || r.standby["b"])
		entry := "{name: " + name + ", token_file: " + r.file[name]
		if len(prefixes) > 0 {
			entry += ", prefixes: [" + strings.Join(prefixes, ", ") + "]"
		}
		if r.standby[name] {
			entry += ", standby: c"
		}
		if len(prefixes) > 0 || isStandby {
			entries = append(entries, entry+"}")
		}
	}
	return "upstreams: [" + strings.Join(entries, ", ") + "]"
}

func written(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

// clash tries all names.
func (r routing) clash(names []string) bool {
	outerOf := map[routed]string{}
	for _, name := range names {
		longest, ok := "", false
		for outer := range r.prefixes {
			if name != outer && strings.HasPrefix(name, outer) && (!ok || len(outer) > len(longest)) {
				longest, ok = outer, true
			}
		}
		if !ok {
			continue
		}
		to := r.prefixes[longest]
		registries := []string{r.file[to.registry]}
		if r.standby[to.registry] {
			registries = append(registries, r.file["c"])
		}
		for _, registry := range registries {
			place := routed{registry, to.inner + strings.TrimPrefix(name, longest)}
			if other, ok := outerOf[place]; ok && other != name {
				return true
			}
			outerOf[place] = name
		}
	}
	return false
}
