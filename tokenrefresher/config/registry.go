package config

import (
	"fmt"
	"regexp"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	kindPattern    = regexp.MustCompile(`^(ecr|basic)$`)
	regionPattern  = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]{1,2}$`)
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	rolePattern    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
)

// readRegistries reads the list registries. Each problem names the entry and
// the key, as in registries[1].host.
func readRegistries(r *settings.Reader) (registries []Registry) {
	if list, ok := r.Get(registriesKey).([]any); !ok || len(list) == 0 {
		r.Wrong(registriesKey, "a list of at least one registry")
	}
	r.Sections(registriesKey, "a registry", func(prefix string, keys map[string]any) []error {
		r := registryTable.Section(prefix, keys)
		registry := readRegistry(r)
		unique(r, registries, registry)
		registries = append(registries, registry)
		return r.Problems()
	})
	return registries
}

// readRegistry reads one registry. Each line states the bounds.
func readRegistry(r *settings.Reader) Registry {
	registry := Registry{
		Name:       r.Match("name", namePattern, "1 to 64 of a-z, 0-9, _, . and -, with a letter or digit first"),
		Kind:       Kind(r.Match("kind", kindPattern, "ecr or basic")),
		Region:     optionalMatch(r, "region", regionPattern, "a region such as eu-west-1"),
		RegistryID: optionalMatch(r, "registry_id", accountPattern, "12 digits in quotes"),
		RoleARN:    optionalMatch(r, "role_arn", rolePattern, "arn:aws:iam::ACCOUNT:role/NAME"),
		Endpoint:   r.Optional("endpoint", r.URL),
		Host:       r.Optional("host", func(key string) string { return host(r, key) }),
		CAFile:     r.Optional("ca_file", r.Path),

		UsernameFile: r.Optional("username_file", r.SecretFile),
		PasswordFile: r.Optional("password_file", r.SecretFile),

		File:  r.Path("file"),
		Group: r.Text("group", 0, 64),
	}
	registry.Probe = r.Get("probe_url") != "off"
	if registry.Probe {
		registry.ProbeURL = r.Optional("probe_url", r.URL)
	}
	switch registry.Kind {
	case ECR:
		onlyFor(r, Basic, "username_file", "password_file")
	case Basic:
		onlyFor(r, ECR, "region", "registry_id", "role_arn", "endpoint")
		needed(r, "host", "username_file", "password_file")
	}
	return registry
}

// onlyFor refuses keys that this registry's kind would ignore.
func onlyFor(r *settings.Reader, kind Kind, keys ...string) {
	for _, key := range keys {
		if r.Get(key) != "" {
			r.Wrong(key, "nothing; the key is for kind "+string(kind))
		}
	}
}

func needed(r *settings.Reader, keys ...string) {
	for _, key := range keys {
		if r.Get(key) == "" {
			r.Wrong(key, "a value; kind basic requires it")
		}
	}
}

// unique refuses a name or file that one of before has: two registries would
// overwrite each other's token for ever.
func unique(r *settings.Reader, before []Registry, registry Registry) {
	for i, other := range before {
		if registry.Name != "" && registry.Name == other.Name {
			r.Wrong("name", fmt.Sprintf("a name other than that of registries[%d]", i))
		}
		if registry.File != "" && registry.File == other.File {
			r.Wrong("file", fmt.Sprintf("a file other than that of registries[%d]", i))
		}
	}
}

func optionalMatch(r *settings.Reader, key string, pattern *regexp.Regexp, expected string) string {
	return r.Optional(key, func(key string) string { return r.Match(key, pattern, expected) })
}

func host(r *settings.Reader, key string) string {
	s, _ := r.Get(key).(string)
	if tokenfile.CheckHost(s) != nil {
		r.Wrong(key, "a host name in lower case, with a port only if that is not 443")
	}
	return s
}
