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
// AUTHSVC_CACHE_TTL is cache.ttl.
const EnvPrefix = "AUTHSVC"

type setting struct {
	key   string
	value any
	usage string
}

// Flags adds a flag to flags for every key.
func Flags(flags *pflag.FlagSet) {
	for _, s := range settings {
		flags.String(s.key, fmt.Sprint(s.value), s.usage)
	}
}

// Load reads the configuration: defaults, then the YAML file (none if empty),
// then environ (as os.Environ gives it), then the flags that were set.
//
// Its error names each key that is unknown or impossible, with what was
// expected and what was found.
func Load(file string, environ []string, flags *pflag.FlagSet) (Config, error) {
	v := viper.New()
	if file != "" {
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return Config{}, fmt.Errorf("reading the configuration %s: %w", file, err)
		}
	}
	unknown := unknownKeys(file, v.AllKeys())
	for _, s := range settings {
		v.SetDefault(s.key, s.value)
	}
	unknown = append(unknown, mergeEnvironment(v, environ)...)
	mergeFlags(v, flags)
	r := &reader{values: v}
	config := r.read()
	if problems := append(unknown, r.problems...); len(problems) > 0 {
		return Config{}, fmt.Errorf("configuration: %w", errors.Join(problems...))
	}
	return config, nil
}

func unknownKeys(file string, keys []string) []error {
	var unknown []error
	slices.Sort(keys)
	for _, key := range keys {
		if !known(key) {
			unknown = append(unknown, fmt.Errorf("%s: unknown key %s; authsvc --help lists the known ones", file, key))
		}
	}
	return unknown
}

func known(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.key == key })
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
			unknown = append(unknown, fmt.Errorf("unknown environment variable %s; AUTHSVC_CACHE_TTL, for one, is cache.ttl", name))
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
		if known(f.Name) {
			v.Set(f.Name, f.Value.String())
		}
	})
}
