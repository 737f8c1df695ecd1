package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// lists are the keys that are lists of sections.
var lists = []string{"sources", "upstreams"}

// Flags adds a flag to flags for every key.
func Flags(flags *pflag.FlagSet) { table.Flags(flags) }

// Table is every key, for its help.
func Table() settings.Table { return table }

// UpstreamTable has the keys that only one of several registries has.
func UpstreamTable() settings.Table { return several }

// ExplainSocket reads the path of the socket explain.address, and nothing else: what
// is wrong with the rest of the configuration is of no matter to who asks a running
// authsvc.
func ExplainSocket(file string, environ []string, flags *pflag.FlagSet) (string, error) {
	r, err := table.Load(settings.Source{Program: "authsvc", File: file, Environ: environ, Flags: flags, Lists: lists})
	if err != nil {
		return "", err
	}
	address, _ := r.Get(explainAddress).(string)
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("%s: expected unix:/PATH, found %s", explainAddress, settings.Found(r.Get(explainAddress)))
	}
	return path, nil
}

// Load reads the configuration: defaults, then the YAML file (none if empty),
// then environ (as os.Environ gives it), then the flags that were set.
//
// Its error names each unknown key and each invalid value, with what was
// expected and what was found.
func Load(file string, environ []string, flags *pflag.FlagSet) (Config, error) {
	r, err := table.Load(settings.Source{Program: "authsvc", File: file, Environ: environ, Flags: flags, Lists: lists})
	if err != nil {
		return Config{}, err
	}
	return read(r), r.Err()
}
