package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release/remote"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// An Upstream is a registry behind nginx.
type Upstream struct {
	upstream.Config
	TokenFile string
	Remote    remote.Options
	// Prefixes are those of its repositories; none if it only stands by.
	Prefixes []upstream.Prefix
	// Standby names the registry that serves while this one fails; empty for none.
	Standby string
}

// registryKeys are the keys of a registry: of the only one below upstream, of each of
// several in the list upstreams.
var registryKeys = settings.Table{
	{Key: "token_file", Default: "/run/tokenrefresher/main.json", Usage: "token file written by tokenrefresher"},
	{Key: "refresh_socket", Default: "unix:/run/tokenrefresher/control.sock", Usage: "tokenrefresher's control socket, for requesting a new token when the registry rejects the current one; empty to disable"},
	{Key: "refresh_name", Default: "main", Usage: "the registry's name in tokenrefresher's configuration"},
	{Key: "refresh_timeout", Default: "5s", Usage: "maximum time that a customer's request waits for a new token"},
	{Key: "address", Default: "", Usage: "HOST:PORT for authsvc's own registry requests, such as a VPC endpoint; empty for the registry's host. The certificate must still match the registry's host"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for the registry's certificate; empty for the system's"},
	{Key: "requests", Default: 16, Usage: "maximum concurrent requests that authsvc itself sends to the registry to learn its releases"},
	{Key: "timeout", Default: "10s", Usage: "timeout of one such request"},
}

// several are the keys that a registry has besides in the list upstreams.
var several = settings.Table{
	{Key: "name", Default: "", Usage: "name in logs and metrics. In this list, token_file defaults to /run/tokenrefresher/NAME.json, and refresh_name to the name"},
	{Key: "prefixes", Default: "", Usage: "prefixes of the repositories that the registry has, each with a slash at its end; the longest one decides. A lone / is every repository; vendor/: prod-eu/ shows prod-eu/app as vendor/app"},
	{Key: "standby", Default: "", Usage: "name of the registry that serves while this one fails, a replica with the same repositories; empty for none"},
}

const (
	maxUpstreams = 64
	maxPrefixes  = 10_000
)

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// readUpstreams reads the list upstreams. Without one, the section upstream is the only
// registry.
func readUpstreams(r *settings.Reader, list any) []Upstream {
	section := r.Under("upstream.", registryKeys)
	if list == nil {
		only := readRegistry(section)
		only.Prefixes = []upstream.Prefix{{}}
		if only.Name = only.RefreshName; !upstreamName.MatchString(only.Name) {
			only.Name = "main"
		}
		r.Add(section.Problems()...)
		return []Upstream{only}
	}
	for _, s := range registryKeys {
		if fmt.Sprint(section.Get(s.Key)) != fmt.Sprint(s.Default) {
			r.Add(fmt.Errorf("upstream.%s: expected nothing, because upstreams is set; move it into the list", s.Key))
		}
	}
	entries, ok := list.([]any)
	if !ok || len(entries) == 0 || len(entries) > maxUpstreams {
		r.Wrong("upstreams", fmt.Sprintf("a list of 1 to %d registries", maxUpstreams))
		return nil
	}
	var all []Upstream
	r.Sections("upstreams", "a registry", func(prefix string, values map[string]any) []error {
		u, problems := readUpstream(prefix, values)
		all = append(all, u)
		return problems
	})
	if len(r.Problems()) == 0 {
		r.Add(checkUpstreams(all)...)
	}
	return all
}

// readUpstream reads one entry.
func readUpstream(prefix string, values map[string]any) (Upstream, []error) {
	r := slices.Concat(several, registryKeys).Section(prefix, values)
	name := r.Match("name", upstreamName, "1 to 32 of a-z, 0-9 and -, with a letter or digit first")
	if name != "" {
		r.Default(map[string]any{"token_file": "/run/tokenrefresher/" + name + ".json", "refresh_name": name})
	}
	u := readRegistry(r)
	u.Name = name
	u.Standby = r.Optional("standby", func(key string) string { return r.Match(key, upstreamName, "the name of a registry") })
	u.Prefixes = readPrefixes(r, prefix)
	return u, r.Problems()
}

// readRegistry reads what an only registry and one of several have in common.
func readRegistry(r *settings.Reader) Upstream {
	return Upstream{
		Config: upstream.Config{
			RefreshSocket: r.Optional("refresh_socket", func(key string) string { return r.Address(key, "unix") }),
			RefreshName:   r.Text("refresh_name", 1, 64),
			Timeout:       r.Duration("refresh_timeout", 100*time.Millisecond, time.Minute),
		},
		TokenFile: r.Path("token_file"),
		Remote: remote.Options{
			Address:  r.Optional("address", func(key string) string { return r.Address(key, "") }),
			CAFile:   r.Optional("ca_file", r.Path),
			Requests: r.Number("requests", 1, 1000),
			Timeout:  r.Duration("timeout", 100*time.Millisecond, time.Minute),
		},
	}
}

// readPrefixes reads a list of prefixes, each a text, or a map of what customers see to
// what the registry has. prefix names the entry in problems.
func readPrefixes(r *settings.Reader, prefix string) (all []upstream.Prefix) {
	value := r.Get("prefixes")
	if value == "" {
		return nil
	}
	entries, ok := value.([]any)
	if !ok || len(entries) == 0 || len(entries) > maxPrefixes {
		r.Wrong("prefixes", fmt.Sprintf("a list of 1 to %d prefixes such as acme/", maxPrefixes))
		return nil
	}
	for i, entry := range entries {
		p, ok := parsePrefix(entry)
		if !ok {
			r.Add(fmt.Errorf("%sprefixes[%d]: expected a prefix with a slash at its end such as acme/, or vendor/: prod-eu/ for one with another name in the registry, found %s",
				prefix, i, foundPrefix(entry)))
			return nil // the same mistake may be in all of them
		}
		all = append(all, p)
	}
	return all
}

// foundPrefix shows what was found instead of a prefix.
func foundPrefix(entry any) string {
	if pair, ok := entry.(map[string]any); ok && len(pair) == 1 {
		for outer, inner := range pair {
			return settings.Found(outer) + ": " + settings.Found(inner)
		}
	}
	return settings.Found(entry)
}

func parsePrefix(entry any) (p upstream.Prefix, ok bool) {
	switch entry := entry.(type) {
	case string:
		p.Outer, ok = cutPrefix(entry)
		p.Inner = p.Outer
		return p, ok
	case map[string]any:
		for outer, value := range entry {
			inner, _ := value.(string)
			p.Outer, ok = cutPrefix(outer)
			if ok {
				p.Inner, ok = cutPrefix(inner)
			}
		}
		return p, ok && len(entry) == 1
	}
	return p, false
}

// cutPrefix checks a prefix; the one of every name becomes empty.
func cutPrefix(text string) (string, bool) {
	if text == "/" {
		return "", true
	}
	name, ok := strings.CutSuffix(text, "/")
	return text, ok && registry.ValidName(name)
}
