package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/file"
	"github.com/pullgate/pullgate/authsvc/auth/jwt"
	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/auth/sql"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// kinds are all kinds of sources.
var kinds = []auth.Kind{
	kloudless.Kind,
	web.Kind,
	sql.Kind,
	file.Kind,
	jwt.Kind,
}

// A Source is one source of customers and licenses.
type Source struct {
	// Name is the source's in subjects, logs and metrics.
	Name string
	Kind string
	// Users are the users that it is asked about, by patterns in lower case;
	// none for all.
	Users []auth.Pattern
	// GrantsFrom names the source that has the grants of this one's
	// customers; empty for this one.
	GrantsFrom string
	Settings   auth.Settings
}

// common are the keys of every source. They are set in the file only.
var common = settings.Table{
	{Key: "name", Default: "", Usage: "name in subjects, logs and metrics"},
	{Key: "kind", Default: "", Usage: "kind of source"},
	{Key: "users", Default: "", Usage: "patterns of the users to ask about, such as *@vendor.com, in any letter case; empty for all"},
	{Key: "grants_from", Default: "", Usage: "name of the source that has the licenses of this source's customers; empty for this one"},
}

const maxSources = 16

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,31}$`)

// readSources reads the list sources. Without one, the section kloudless is the
// only source.
func readSources(r *settings.Reader, list any) []Source {
	if list == nil {
		vendor := r.Under("kloudless.", kloudless.Kind.Keys)
		only := Source{Name: kloudless.Kind.Name, Kind: kloudless.Kind.Name, Settings: kloudless.Kind.Read(vendor)}
		r.Add(vendor.Problems()...)
		return []Source{only}
	}
	if r.Get("kloudless.url") != "" {
		r.Add(fmt.Errorf("kloudless.url: expected nothing, because sources is set; move the section into the list, with name: and kind: kloudless"))
	}
	entries, ok := list.([]any)
	if !ok || len(entries) == 0 || len(entries) > maxSources {
		r.Wrong("sources", fmt.Sprintf("a list of 1 to %d sources", maxSources))
	}
	var sources []Source
	r.Sections("sources", "a source", func(prefix string, values map[string]any) []error {
		source, problems := readSource(prefix, values, sources)
		sources = append(sources, source)
		return problems
	})
	r.Add(checkReferences(sources)...)
	return sources
}

// readSource reads one entry; before are those that were read before it.
func readSource(prefix string, values map[string]any, before []Source) (Source, []error) {
	name, _ := values["kind"].(string)
	at := slices.IndexFunc(kinds, func(k auth.Kind) bool { return k.Name == name })
	if at < 0 {
		return Source{}, []error{fmt.Errorf("%skind: expected %s, found %s", prefix, strings.Join(kindNames(), ", "), settings.Found(values["kind"]))}
	}
	r := slices.Concat(common, kinds[at].Keys).Section(prefix, values)
	s := Source{
		Kind:       name,
		Name:       r.Match("name", sourceName, "1 to 32 of a-z, 0-9, _, . and -, with a letter or digit first"),
		GrantsFrom: r.Optional("grants_from", func(key string) string { return r.Match(key, sourceName, "the name of a source") }),
		Settings:   kinds[at].Read(r),
	}
	for _, user := range r.List("users", 1000, isPattern, "patterns such as *@vendor.com") {
		pattern, _ := auth.NewPattern(strings.ToLower(user))
		s.Users = append(s.Users, pattern)
	}
	if slices.ContainsFunc(before, func(other Source) bool { return other.Name == s.Name }) {
		r.Wrong("name", "a name that no other source has")
	}
	return s, r.Problems()
}

// checkReferences finds a grants_from that names no other source.
func checkReferences(sources []Source) (problems []error) {
	for i, s := range sources {
		other := slices.IndexFunc(sources, func(other Source) bool { return other.Name == s.GrantsFrom })
		if s.GrantsFrom != "" && (other < 0 || other == i) {
			problems = append(problems, fmt.Errorf("sources[%d].grants_from: expected the name of another source, found %q", i, s.GrantsFrom))
		}
	}
	return problems
}

func isPattern(text string) bool {
	_, err := auth.NewPattern(text)
	return err == nil
}

// Kinds are all kinds of sources, for their help.
func Kinds() []auth.Kind { return kinds }

// SourceTable has the keys that every source has.
func SourceTable() settings.Table { return common }

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}
