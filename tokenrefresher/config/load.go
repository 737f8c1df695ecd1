package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// registriesKey is the one key that holds a list, and has no flag.
const registriesKey = "registries"

// Flags adds a flag to flags for every key but those of registries.
func Flags(flags *pflag.FlagSet) { table.Flags(flags) }

// Tables are the keys of the program and of one registry, for the READMEs.
func Tables() (program, registry settings.Table) { return table, registryTable }

// RegistryHelp explains the keys of a registry, one a line.
func RegistryHelp() string {
	var b strings.Builder
	for _, s := range registryTable {
		_, _ = fmt.Fprintf(&b, "  %-14s %s\n", s.Key, s.Usage)
	}
	return b.String()
}

// Load reads the configuration: defaults, then the YAML file, then environ (as
// os.Environ gives it), then the flags that were set.
//
// Its error names each unknown key and each invalid value, with what was
// expected and what was found.
func Load(file string, environ []string, flags *pflag.FlagSet) (Config, error) {
	if file == "" {
		return Config{}, errors.New("configuration: expected --config FILE, found none; the registries are set in the file")
	}
	r, err := table.Load(settings.Source{
		Program: "tokenrefresher", File: file, Environ: environ, Flags: flags, Lists: []string{registriesKey},
	})
	if err != nil {
		return Config{}, err
	}
	c := read(r)
	c.Registries = readRegistries(r)
	return c, r.Err()
}
