package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

func TestUpstreams(t *testing.T) {
	registry := func(name string) config.Upstream {
		return config.Upstream{TokenFile: "/run/tokenrefresher/" + name + ".json",
			Config: upstream.Config{Name: name, RefreshSocket: "unix:/run/tokenrefresher/control.sock", RefreshName: name, Timeout: 5 * time.Second},
			Remote: remote.Options{Requests: 16, Timeout: 10 * time.Second}}
	}
	all := []upstream.Prefix{{}}
	own := config.Upstream{TokenFile: "/b.json", Config: upstream.Config{Name: "other", RefreshName: "other", Timeout: time.Second}, Prefixes: all,
		Remote: remote.Options{Address: "127.0.0.1:5000", CAFile: "/ca.pem", Requests: 3, Timeout: 2 * time.Second}}
	const theirs = `token_file: /b.json, refresh_socket: "", refresh_timeout: 1s, address: "127.0.0.1:5000", ca_file: /ca.pem, requests: 3, timeout: 2s`
	with := func(u config.Upstream, standby string, prefixes ...upstream.Prefix) config.Upstream {
		u.Standby, u.Prefixes = standby, prefixes
		return u
	}
	for _, test := range []struct {
		name, yaml string
		want       []config.Upstream
	}{
		{"nothing", "", []config.Upstream{with(registry("main"), "", all...)}},
		{"no list", "upstreams:", []config.Upstream{with(registry("main"), "", all...)}},
		{"the section", "upstream: {refresh_name: other, " + theirs + "}", []config.Upstream{own}},
		{"one in a list", "upstreams: [{name: other, prefixes: [/], " + theirs + "}]", []config.Upstream{own}},
		{"beside a section of defaults", "upstream: {requests: 16, token_file: /run/tokenrefresher/main.json}\nupstreams: [{name: other, prefixes: [/], " + theirs + "}]", []config.Upstream{own}},
		{"as documented", "upstreams: [{name: eu, prefixes: [acme/, vendor/: prod-eu/], standby: us}, {name: us}, {name: partner, prefixes: [partner/]}]", []config.Upstream{
			with(registry("eu"), "us", upstream.Prefix{Outer: "acme/", Inner: "acme/"}, upstream.Prefix{Outer: "vendor/", Inner: "prod-eu/"}),
			with(registry("us"), ""), with(registry("partner"), "", upstream.Prefix{Outer: "partner/", Inner: "partner/"})}},
		{"all, renamed, and a part at another's root", "upstreams: [{name: a, prefixes: [/: mirror/]}, {name: b, prefixes: [flat/a.b/: /]}]", []config.Upstream{
			with(registry("a"), "", upstream.Prefix{Outer: "", Inner: "mirror/"}), with(registry("b"), "", upstream.Prefix{Outer: "flat/a.b/", Inner: ""})}},
		{"a stand-by of two, with prefixes of its own", "upstreams: [{name: a, prefixes: [a/], standby: c}, {name: b, prefixes: [b/], standby: c}, {name: c, prefixes: [c/]}]", []config.Upstream{
			with(registry("a"), "c", upstream.Prefix{Outer: "a/", Inner: "a/"}), with(registry("b"), "c", upstream.Prefix{Outer: "b/", Inner: "b/"}),
			with(registry("c"), "", upstream.Prefix{Outer: "c/", Inner: "c/"})}},
	} {
		c, err := config.Load(write(t, test.yaml), nil, nil)
		if err != nil || !reflect.DeepEqual(c.Upstreams, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.name, c.Upstreams, err, test.want)
		}
	}
}

// TestNameOfTheOnlyRegistry: a name that no metric can have is not taken over.
func TestNameOfTheOnlyRegistry(t *testing.T) {
	for refresh, want := range map[string]string{"eu-1": "eu-1", "Main": "main", "a.b": "main"} {
		c, err := config.Load("", []string{"AUTHSVC_UPSTREAM_REFRESH_NAME=" + refresh}, nil)
		if err != nil || c.Upstreams[0].Name != want || c.Upstreams[0].RefreshName != refresh {
			t.Errorf("%s: %+v, %v", refresh, c.Upstreams, err)
		}
	}
}

// TestRefusesUpstreams has a bad list for each rule, with the exact message.
func TestRefusesUpstreams(t *testing.T) {
	const aPrefix = "expected a prefix with a slash at its end such as acme/, or vendor/: prod-eu/ for one with another name in the registry, found "
	for _, test := range []struct{ name, yaml, want string }{
		{"not a list", "upstreams: {a: b}", "upstreams: expected a list of 1 to 64 registries, found a section"},
		{"empty", "upstreams: []", "upstreams: expected a list of 1 to 64 registries, found a list of 0"},
		{"too many", "upstreams: [" + strings.Repeat("a,", 65) + "]", "upstreams: expected a list of 1 to 64 registries, found a list of 65"},
		{"entry is a value", "upstreams: [a]", `upstreams[0]: expected the keys of a registry, found "a"`},
		{"no name", "upstreams: [{prefixes: [/]}]", `upstreams[0].name: expected 1 to 32 of a-z, 0-9 and -, with a letter or digit first, found ""`},
		{"name with a dot", "upstreams: [{name: a.b, prefixes: [/]}]", `upstreams[0].name: expected 1 to 32 of a-z, 0-9 and -, with a letter or digit first, found "a.b"`},
		{"same name", "upstreams: [{name: a, prefixes: [a/]}, {name: a, prefixes: [b/]}]", `upstreams[1].name: expected a name that no other registry has, found "a"`},
		{"value of a registry", "upstreams: [{name: a, prefixes: [/], requests: 0}]", "upstreams[0].requests: expected a whole number from 1 to 1000, found 0"},
		{"unknown key", "upstreams: [{name: a, prefixes: [/], region: x}]", "unknown key upstreams[0].region; known keys are KEYS"},

		{"section beside it", "upstream: {requests: 3, ca_file: /a}\nupstreams: [{name: a, prefixes: [/]}]",
			"upstream.ca_file: expected nothing, because upstreams is set; move it into the list\nupstream.requests: expected nothing, because upstreams is set; move it into the list"},
		{"bad section beside it", "upstream: {requests: many}\nupstreams: [{name: a, prefixes: [/]}]", "upstream.requests: expected nothing, because upstreams is set; move it into the list"},

		{"prefixes are a text", "upstreams: [{name: a, prefixes: acme/}]", `upstreams[0].prefixes: expected a list of 1 to 10000 prefixes such as acme/, found "acme/"`},
		{"no prefix", "upstreams: [{name: a, prefixes: []}]", `upstreams[0].prefixes: expected a list of 1 to 10000 prefixes such as acme/, found a list of 0`},
		{"too many prefixes", "upstreams: [{name: a, prefixes: [" + strings.Repeat("/,", 10_001) + "]}]", `upstreams[0].prefixes: expected a list of 1 to 10000 prefixes such as acme/, found a list of 10001`},
		{"no slash at the end", "upstreams: [{name: b, prefixes: [/]}, {name: a, prefixes: [a/, acme]}]", "upstreams[1].prefixes[1]: " + aPrefix + `"acme"`},
		{"slash at the beginning", "upstreams: [{name: a, prefixes: [/acme/]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"/acme/"`},
		{"two slashes", "upstreams: [{name: a, prefixes: [//]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"//"`},
		{"empty prefix", "upstreams: [{name: a, prefixes: ['']}]", "upstreams[0].prefixes[0]: " + aPrefix + `""`},
		{"upper case", "upstreams: [{name: a, prefixes: [Acme/]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"Acme/"`},
		{"pattern", "upstreams: [{name: a, prefixes: ['acme/*']}]", "upstreams[0].prefixes[0]: " + aPrefix + `"acme/*"`},
		{"to be normalized", "upstreams: [{name: a, prefixes: [acme/../b/]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"acme/../b/"`},
		{"number", "upstreams: [{name: a, prefixes: [3]}]", "upstreams[0].prefixes[0]: " + aPrefix + "3"},
		{"bad inner name", "upstreams: [{name: a, prefixes: [vendor/: prod-eu]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"vendor/": "prod-eu"`},
		{"bad outer name", "upstreams: [{name: a, prefixes: [vendor: prod-eu/]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"vendor": "prod-eu/"`},
		{"no inner name", "upstreams: [{name: a, prefixes: [vendor/: ]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"vendor/": nothing`},
		{"number as inner name", "upstreams: [{name: a, prefixes: [vendor/: 3]}]", "upstreams[0].prefixes[0]: " + aPrefix + `"vendor/": 3`},
		{"two in one", "upstreams: [{name: a, prefixes: [{a/: b/, c/: d/}]}]", "upstreams[0].prefixes[0]: " + aPrefix + "a section"},
		{"none in one", "upstreams: [{name: a, prefixes: [{}]}]", "upstreams[0].prefixes[0]: " + aPrefix + "a section"},
		{"list in a list", "upstreams: [{name: a, prefixes: [[a/]]}]", "upstreams[0].prefixes[0]: " + aPrefix + "a list of 1"},

		{"no registry of that name stands by", "upstreams: [{name: a, prefixes: [/], standby: b}]", `upstreams[0].standby: expected the name of another registry, found "b"`},
		{"stands by for itself", "upstreams: [{name: a, prefixes: [/], standby: a}]", `upstreams[0].standby: expected the name of another registry, found "a"`},
		{"no name stands by", "upstreams: [{name: a, prefixes: [/], standby: B}]", `upstreams[0].standby: expected the name of a registry, found "B"`},
		{"has a stand-by of its own", "upstreams: [{name: a, prefixes: [/], standby: b}, {name: b, standby: c}, {name: c}]", `upstreams[0].standby: expected a registry without a standby of its own, found "b"`},
		{"stand by for each other", "upstreams: [{name: a, prefixes: [a/], standby: b}, {name: b, prefixes: [b/], standby: a}]",
			`upstreams[0].standby: expected a registry without a standby of its own, found "b"` + "\n" + `upstreams[1].standby: expected a registry without a standby of its own, found "a"`},
		{"the same registry", "upstreams: [{name: a, prefixes: [/], standby: b, token_file: /x/y.json}, {name: b, token_file: /x/../x/y.json}]",
			`upstreams[0].standby: expected another registry, found one with the same token_file`},
		{"neither prefixes nor a stand-by", "upstreams: [{name: a, prefixes: [/]}, {name: b}]",
			"upstreams[1].prefixes: expected at least one prefix, or the registry's name in another one's standby; found neither. All repositories are /"},

		{"prefix twice", "upstreams: [{name: a, prefixes: [a/]}, {name: b, prefixes: [b/, a/: c/]}]", "upstreams[1].prefixes: expected each prefix once, found a/ also in upstreams[0].prefixes"},
		{"all twice", "upstreams: [{name: a, prefixes: [/]}, {name: b, prefixes: [/]}]", "upstreams[1].prefixes: expected each prefix once, found / also in upstreams[0].prefixes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys := append(config.UpstreamTable().Keys(), "token_file", "refresh_socket", "refresh_name", "refresh_timeout", "address", "ca_file", "requests", "timeout")
			refusesUpstreams(t, test.yaml, strings.ReplaceAll(test.want, "KEYS", strings.Join(keys, ", ")))
		})
	}
}

// refusesUpstreams checks the exact message; empty for none.
func refusesUpstreams(t *testing.T, yaml, want string) {
	t.Helper()
	file := write(t, yaml)
	got := ""
	if _, err := config.Load(file, nil, nil); err != nil {
		got = strings.TrimPrefix(err.Error(), "configuration "+file+": ")
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
