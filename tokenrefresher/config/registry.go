package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// readRegistries reads the list registries. Each problem names the entry and
// the key, as in registries[1].host.
func readRegistries(value any) ([]Registry, []error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, []error{fmt.Errorf("registries: expected a list of at least one registry, found %s", found(value))}
	}
	var registries []Registry
	var problems []error
	for i, entry := range list {
		prefix := fmt.Sprintf("registries[%d]", i)
		keys, ok := entry.(map[string]any)
		if !ok {
			problems = append(problems, fmt.Errorf("%s: expected the keys of a registry, found %s", prefix, found(entry)))
			continue
		}
		r := &reader{prefix: prefix + ".", get: func(key string) any { return or(keys[key], registrySettings, key) }}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !contains(registrySettings, key) {
				r.problems = append(r.problems, fmt.Errorf("unknown key %s.%s; the known ones are %s", prefix, key, names(registrySettings)))
			}
		}
		registry := readRegistry(r)
		r.unique(registries, registry)
		registries = append(registries, registry)
		problems = append(problems, r.problems...)
	}
	return registries, problems
}

// readRegistry reads one registry. Each line states the bounds.
func readRegistry(r *reader) Registry {
	registry := Registry{
		Name:       r.match("name", namePattern, "1 to 64 of a-z, 0-9, _, . and -, with a letter or digit first"),
		Kind:       Kind(r.match("kind", kindPattern, "ecr or basic")),
		Region:     r.optionalMatch("region", regionPattern, "a region such as eu-west-1"),
		RegistryID: r.optionalMatch("registry_id", accountPattern, "12 digits in quotes"),
		RoleARN:    r.optionalMatch("role_arn", rolePattern, "arn:aws:iam::ACCOUNT:role/NAME"),
		Endpoint:   r.optional("endpoint", r.url),
		Host:       r.optional("host", r.host),
		CAFile:     r.optional("ca_file", r.path),

		UsernameFile: r.optional("username_file", r.path),
		PasswordFile: r.optional("password_file", r.path),

		File:  r.path("file"),
		Group: r.text("group", 0, 64),
	}
	registry.Probe = r.get("probe_url") != "off"
	if registry.Probe {
		registry.ProbeURL = r.optional("probe_url", r.url)
	}
	switch registry.Kind {
	case ECR:
		r.onlyFor(Basic, "username_file", "password_file")
	case Basic:
		r.onlyFor(ECR, "region", "registry_id", "role_arn", "endpoint")
		r.needed("host", "username_file", "password_file")
	}
	return registry
}

// onlyFor refuses keys that this registry's kind would ignore.
func (r *reader) onlyFor(kind Kind, keys ...string) {
	for _, key := range keys {
		if r.get(key) != "" {
			r.wrong(key, "nothing, for it is for kind "+string(kind))
		}
	}
}

func (r *reader) needed(keys ...string) {
	for _, key := range keys {
		if r.get(key) == "" {
			r.wrong(key, "a value, for kind basic needs it")
		}
	}
}

// unique refuses a name or file that one of before has: two registries would
// overwrite each other's token for ever.
func (r *reader) unique(before []Registry, registry Registry) {
	for i, other := range before {
		if registry.Name != "" && registry.Name == other.Name {
			r.wrong("name", fmt.Sprintf("another than registries[%d].name", i))
		}
		if registry.File != "" && registry.File == other.File {
			r.wrong("file", fmt.Sprintf("another than registries[%d].file", i))
		}
	}
}

func names(settings []setting) string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return strings.Join(keys, ", ")
}
