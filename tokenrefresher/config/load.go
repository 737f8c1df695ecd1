package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// EnvPrefix begins the name of every environment variable that is read:
// TOKENREFRESHER_BACKOFF_MAX is backoff.max.
const EnvPrefix = "TOKENREFRESHER"

// registriesKey is the one key that holds a list, and has no flag.
const registriesKey = "registries"

type setting struct{ key, value, usage string }

// Flags adds a flag to flags for every key but those of registries.
func Flags(flags *pflag.FlagSet) {
	for _, s := range settings {
		flags.String(s.key, s.value, s.usage)
	}
}

// RegistryHelp explains the keys of each of registries, a line each.
func RegistryHelp() string {
	var b strings.Builder
	for _, s := range registrySettings {
		_, _ = fmt.Fprintf(&b, "  %-14s %s\n", s.key, s.usage)
	}
	return b.String()
}

// Load reads the configuration: defaults, then the YAML file, then environ (as
// os.Environ gives it), then the flags that were set.
//
// Its error names each key that is unknown or impossible, with what was
// expected and what was found.
func Load(file string, environ []string, flags *pflag.FlagSet) (Config, error) {
	if file == "" {
		return Config{}, errors.New("configuration: expected --config FILE, found none; the registries stand in the file")
	}
	v := viper.New()
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return Config{}, fmt.Errorf("reading the configuration %s: %w", file, err)
	}
	problems := unknownKeys(v)
	for _, s := range settings {
		v.SetDefault(s.key, s.value)
	}
	problems = append(problems, mergeEnvironment(v, environ)...)
	mergeFlags(v, flags)
	r := &reader{get: func(key string) any { return or(v.Get(key), settings, key) }}
	config := read(r)
	var wrong []error
	config.Registries, wrong = readRegistries(v.Get(registriesKey))
	if problems = slices.Concat(problems, r.problems, wrong); len(problems) > 0 {
		return Config{}, fmt.Errorf("configuration %s: %w", file, errors.Join(problems...))
	}
	return config, nil
}

// or is value, or the key's default if that is nil: where YAML has a key
// without a value, or a value in place of the key's section.
func or(value any, settings []setting, key string) any {
	for _, s := range settings {
		if value == nil && s.key == key {
			return s.value
		}
	}
	return value
}

// unknownKeys finds the file's keys that are none.
func unknownKeys(v *viper.Viper) []error {
	var problems []error
	keys := v.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		value := v.Get(key)
		switch {
		case contains(settings, key) || key == registriesKey:
		case isSection(key):
			if value != nil { // nil is a section whose keys are all commented out
				problems = append(problems, fmt.Errorf("%s: expected the keys of a section, found %s", key, found(value)))
			}
		case strings.HasPrefix(key, registriesKey+"."):
			// readRegistries tells what is expected there.
		default:
			problems = append(problems, fmt.Errorf("unknown key %s; the known ones are %s, %s", key, registriesKey, names(settings)))
		}
	}
	return problems
}

func contains(settings []setting, key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.key == key })
}

func isSection(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// mergeEnvironment takes the variables that begin with EnvPrefix. One that
// names no key is an error: it is a slip that would go unnoticed.
func mergeEnvironment(v *viper.Viper, environ []string) []error {
	keys := make(map[string]string, len(settings))
	for _, s := range settings {
		keys[EnvPrefix+"_"+strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))] = s.key
	}
	var unknown []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, EnvPrefix+"_") {
			continue
		}
		key, ok := keys[name]
		if !ok {
			unknown = append(unknown, fmt.Errorf("unknown environment variable %s; TOKENREFRESHER_BACKOFF_MAX, for one, is backoff.max", name))
			continue
		}
		v.Set(key, value)
	}
	return unknown
}

func mergeFlags(v *viper.Viper, flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	flags.Visit(func(f *pflag.Flag) {
		if contains(settings, f.Name) {
			v.Set(f.Name, f.Value.String())
		}
	})
}
