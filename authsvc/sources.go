package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
)

// A source is one that customers' credentials are checked with.
type source struct {
	config config.Source
	source auth.Source
	// licenses tells the grants without the customer's secret; nil if none can.
	licenses auth.Licenser
	// fingerprint identifies all settings that affect its decisions.
	fingerprint string
}

// newSources makes the sources by newSource, without asking them anything. Those that
// are there for their grants alone are not returned.
func newSources(c config.Config, newSource func(config.Source) (auth.Made, error)) ([]source, error) {
	made := make(map[string]auth.Made, len(c.Sources))
	settings := make(map[string]config.Source, len(c.Sources))
	named := map[string]bool{}
	for _, s := range c.Sources {
		m, err := newSource(s)
		if err != nil {
			return nil, fmt.Errorf("configuration: source %s: %w", s.Name, err)
		}
		made[s.Name], settings[s.Name], named[s.GrantsFrom] = m, s, true
	}
	var all []source
	for _, s := range c.Sources {
		err := checkUse(s, made[s.Name], made[s.GrantsFrom], named[s.Name])
		if err != nil {
			return nil, fmt.Errorf("configuration: source %s: %w", s.Name, err)
		}
		asked, licenses := made[s.Name].Source, made[s.Name].Licenses
		if asked != nil && s.GrantsFrom != "" {
			licenses = made[s.GrantsFrom].Licenses
			asked = auth.WithGrants(asked, licenses)
		}
		if asked != nil {
			all = append(all, source{s, asked, licenses, fingerprint(s, settings[s.GrantsFrom])})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("configuration: sources: expected one that checks customers' secrets, found none")
	}
	return all, nil
}

// checkUse says why a source cannot be used as it is configured: s, made as m, takes
// its grants from another one, and is itself named for its grants or not.
func checkUse(s config.Source, m, grants auth.Made, named bool) error {
	switch {
	case m.Source == nil && !named:
		return errors.New("it neither sends nor compares the customer's secret, so it can only be named in another source's grants_from, and none names it")
	case m.Source == nil && (s.GrantsFrom != "" || s.Users != nil):
		return errors.New("expected no users and no grants_from, because it is asked for grants alone")
	case m.Source == nil:
		return nil
	case s.GrantsFrom != "" && grants.Licenses == nil:
		return fmt.Errorf("grants_from: source %s cannot tell grants without the customer's secret", s.GrantsFrom)
	case s.GrantsFrom != "" && m.Licensed:
		return errors.New("expected its own grants or grants_from, found both")
	case s.GrantsFrom == "" && !m.Licensed:
		return errors.New("expected its own grants or grants_from, found neither")
	}
	return nil
}

// fingerprint identifies settings: what was accepted under others is not trusted.
func fingerprint(settings ...any) string {
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err) // every field can be marshaled
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
