package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
	"github.com/pullgate/pullgate/authsvc/server"
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

// newSources makes the sources, without asking them anything. Those that are there
// for their grants alone are not returned. environment makes what each one gets.
func newSources(ctx context.Context, c config.Config, environment func(source string) auth.Environment) ([]source, error) {
	made := make(map[string]auth.Made, len(c.Sources))
	settings := make(map[string]config.Source, len(c.Sources))
	named := map[string]bool{}
	for _, s := range c.Sources {
		m, err := s.Settings.New(ctx, environment(s.Name))
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

// customers know who a customer is, and survive a restart.
type customers struct {
	auth.Chain
	sources []source
	faults  []*auth.Faults
}

// newCustomers makes the sources, and puts each one behind a cache and a guard of its
// own. Their metrics carry the source's name.
func newCustomers(ctx context.Context, c config.Config, hashes *credential.Key, logger *slog.Logger, numbers prometheus.Registerer, metrics *server.Metrics) (*customers, error) {
	all := &customers{}
	var err error
	all.sources, err = newSources(ctx, c, func(source string) auth.Environment {
		faults := auth.NewFaults(source, numbers)
		all.faults = append(all.faults, faults)
		return auth.Environment{Logger: logger.With("source", source), Observe: metrics.Source(source), Fault: faults.Set}
	})
	if err != nil {
		return nil, err
	}
	// The sources share the room for customers who are not known.
	c.Cache.MaxStrangers /= len(all.sources)
	for _, s := range all.sources {
		logger := logger.With("source", s.config.Name)
		numbers := prometheus.WrapRegistererWith(prometheus.Labels{"source": s.config.Name}, numbers)
		guard, err := guard.New(c.Guard, numbers, logger)
		if err != nil {
			return nil, err
		}
		all.Chain = append(all.Chain, auth.Member{Users: s.config.Users, Cache: auth.NewCache(auth.Options{
			Source: s.source, Name: s.config.Name, Settings: s.fingerprint, Licenses: s.licenses,
			Config: c.Cache, Hashes: hashes, Guard: guard, Logger: logger, Metrics: numbers,
		})})
	}
	return all, nil
}

// keep makes accepted credentials survive a restart, each source's in a file of its
// own. stop saves them one last time.
func (all *customers) keep(file string, logger *slog.Logger) (stop func()) {
	var stops []func()
	for i, s := range all.sources {
		path := file
		if len(all.sources) > 1 {
			path += "." + s.config.Name
		}
		load := func(path string) error { return all.Chain[i].Load(path, s.fingerprint) }
		save := func(path string) error { return all.Chain[i].Save(path, s.fingerprint) }
		stops = append(stops, keep("accepted credentials of "+s.config.Name, path, time.Minute, load, save, logger))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// troubles say what is wrong at the sources.
func (all *customers) troubles() []func() string {
	troubles := []func() string{all.Trouble}
	for _, f := range all.faults {
		troubles = append(troubles, f.Trouble)
	}
	return troubles
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
