package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
	"github.com/pullgate/pullgate/authsvc/server"
)

// customers know who a customer is, and survive a restart.
type customers struct {
	auth.Chain
	members   []*member
	instances map[string]*instance // by the source's name
}

// An instance is a source with what belongs to it alone. A reload keeps it if its
// settings have not changed.
type instance struct {
	made        auth.Made
	fingerprint string
	faults      *auth.Faults
	numbers     *prometheus.Registry
	end         context.CancelFunc
}

// A member is a source that customers are checked with, behind a cache and a guard of
// its own. A reload keeps it if no setting that its decisions depend on has changed.
type member struct {
	source
	cache   *auth.Cache
	guard   *guard.Guard
	numbers *prometheus.Registry
}

// A maker makes customers. Its fields outlive a reload.
type maker struct {
	life    context.Context //nolint:containedctx // of all sources, until each one's end
	hashes  *credential.Key
	logger  *slog.Logger
	metrics *server.Metrics
}

// make makes the sources, and puts each one behind a cache and a guard. What has not
// changed since before, which may be nil, is taken over; apply gives it the new bounds.
func (m maker) make(c config.Config, before *customers) (all *customers, err error) {
	if before == nil {
		before = &customers{}
	}
	all = &customers{instances: map[string]*instance{}}
	defer func() {
		if err != nil {
			all.dropped(before)()
		}
	}()
	sources, err := newSources(c, func(s config.Source) (auth.Made, error) {
		i, err := m.instance(s, before.instances[s.Name])
		if err != nil {
			return auth.Made{}, err
		}
		all.instances[s.Name] = i
		return i.made, nil
	})
	if err != nil {
		return all, err
	}
	for _, s := range sources {
		kept := before.member(s)
		if kept == nil {
			if kept, err = m.member(c, s); err != nil {
				return all, err
			}
		}
		all.members = append(all.members, kept)
		all.Chain = append(all.Chain, auth.Member{Users: s.config.Users, Cache: kept.cache})
	}
	return all, c.Guard.Validate()
}

// instance returns the source as it was before, or a new one if its settings have
// changed.
func (m maker) instance(s config.Source, before *instance) (*instance, error) {
	wanted := fingerprint(s.Name, s.Settings)
	if before != nil && before.fingerprint == wanted {
		return before, nil
	}
	i := &instance{fingerprint: wanted, numbers: prometheus.NewRegistry()}
	i.faults = auth.NewFaults(s.Name, i.numbers)
	var life context.Context
	life, i.end = context.WithCancel(m.life)
	var err error
	i.made, err = s.Settings.New(life, auth.Environment{Logger: m.logger.With("source", s.Name), Observe: m.metrics.Source(s.Name), Fault: i.faults.Set})
	if err != nil {
		i.end()
	}
	return i, err
}

// member puts a source behind a cache and a guard of its own. Their metrics carry the
// source's name.
func (m maker) member(c config.Config, s source) (*member, error) {
	logger := m.logger.With("source", s.config.Name)
	made := &member{source: s, numbers: prometheus.NewRegistry()}
	numbers := prometheus.WrapRegistererWith(prometheus.Labels{"source": s.config.Name}, made.numbers)
	var err error
	if made.guard, err = guard.New(c.Guard, numbers, logger); err != nil {
		return nil, err
	}
	made.cache = auth.NewCache(auth.Options{
		Source: s.source, Name: s.config.Name, Settings: s.fingerprint, Licenses: s.licenses,
		Config: c.Cache, Hashes: m.hashes, Guard: made.guard, Logger: logger, Metrics: numbers,
	})
	return made, nil
}

// member returns the one of a source, if it has not changed.
func (all *customers) member(s source) *member {
	for _, m := range all.members {
		if m.config.Name == s.config.Name && m.fingerprint == s.fingerprint {
			return m
		}
	}
	return nil
}

// apply gives each source its bounds. They share the room for customers who are not
// known.
func (all *customers) apply(c config.Config) error {
	c.Cache.MaxStrangers = max(1, c.Cache.MaxStrangers/len(all.members)) // 0 would be no bound
	var err error
	for _, m := range all.members {
		m.cache.Configure(c.Cache)
		err = errors.Join(err, m.guard.Configure(c.Guard))
	}
	return err
}

// dropped returns what ends the sources that others do not have.
func (all *customers) dropped(others *customers) (end func()) {
	var ends []context.CancelFunc
	for name, i := range all.instances {
		if others.instances[name] != i {
			ends = append(ends, i.end)
		}
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// gatherers have the metrics of the sources.
func (all *customers) gatherers() (g prometheus.Gatherers) {
	for _, i := range all.instances {
		g = append(g, i.numbers)
	}
	for _, m := range all.members {
		g = append(g, m.numbers)
	}
	return g
}

// troubles say what is wrong at the sources.
func (all *customers) troubles() []string {
	troubles := []string{all.Trouble()}
	for _, i := range all.instances {
		troubles = append(troubles, i.faults.Trouble())
	}
	return troubles
}

// load reads the accepted credentials that save wrote, each source's from a file of
// its own.
func (all *customers) load(file string) error {
	return all.each(file, func(m *member, path string) error {
		err := m.cache.Load(path, m.fingerprint)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// save makes accepted credentials survive a restart.
func (all *customers) save(file string) error {
	return all.each(file, func(m *member, path string) error { return m.cache.Save(path, m.fingerprint) })
}

func (all *customers) each(file string, do func(m *member, path string) error) (err error) {
	for _, m := range all.members {
		path := file
		if len(all.members) > 1 {
			path += "." + m.config.Name
		}
		if failed := do(m, path); failed != nil {
			err = errors.Join(err, fmt.Errorf("source %s: %w", m.config.Name, failed))
		}
	}
	return err
}
