package main

import (
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/authsvc/probe"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/release/remote"
)

// A generation is all that one configuration makes. The next one takes over what has
// not changed.
type generation struct {
	config     config.Config
	customers  *customers
	registries *registries
	releases   *release.Releases
	decider    *decision.Decider
	// probeTrouble is why the made-up pulls are not recognized.
	probeTrouble string

	mu      sync.Mutex
	users   int           // requests that use it
	retired bool          // a next one is in force
	idle    chan struct{} // closed when it is retired and nobody uses it
	gone    chan struct{} // closed when what only it had has ended
}

// A builder builds generations. Its fields outlive a reload.
type builder struct {
	maker
	tokens  *tokenFiles
	numbers *prometheus.Registry // the metrics that outlive one
}

// build builds a generation. before is the one in force; nil for none. Nothing that
// before uses changes until apply.
func (b builder) build(c config.Config, before *generation) (g *generation, err error) {
	g = &generation{config: c, idle: make(chan struct{}), gone: make(chan struct{})}
	if before != nil && same(before.config, c, func(c config.Config) any { return c.Upstreams }) {
		g.registries = before.registries
	} else if g.registries, err = b.registries(c); err != nil {
		return nil, err
	}
	var old *customers
	if before != nil {
		old = before.customers
	}
	if g.customers, err = b.make(c, old); err != nil {
		return nil, err
	}
	g.releases = b.releases(c, g.registries.source, before)
	isProbe, err := b.probeAccount(c)
	if err != nil {
		g.probeTrouble = "made-up pulls count as a customer's: " + err.Error()
		b.logger.Warn("made-up pulls count as a customer's", "error", err)
	}
	g.decider = &decision.Decider{
		Authenticator: g.customers,
		Rules:         &entitlement.Rules{Releases: g.releases, Renew: c.Renew, Repositories: c.Repositories},
		Routes:        g.registries.routes,
		Manifests:     g.releases,
		Key:           b.hashes,
		Probe:         isProbe,
	}
	return g, nil
}

// probeAccount recognizes the made-up pulls; nil for none. Without it, customers are
// served all the same.
func (b builder) probeAccount(c config.Config) (func(credential.Credential) bool, error) {
	account, err := readProbeAccount(c.Probe)
	if err != nil || account.User == "" {
		return nil, err
	}
	return probe.NewAccount(account, b.hashes).Is, nil
}

// same says whether a part of two configurations is the same.
func same(a, b config.Config, part func(config.Config) any) bool {
	return reflect.DeepEqual(part(a), part(b))
}

// releases builds what knows which tags reach a digest.
func (b builder) releases(c config.Config, source *remote.Registries, before *generation) *release.Releases {
	o := c.Release
	o.Source, o.Logger, o.Metrics = source, b.logger, b.numbers
	switch {
	case before == nil:
		return release.New(o)
	case before.registries.source == source && same(before.config, c, func(c config.Config) any { return c.Release }):
		return before.releases
	}
	return before.releases.With(o)
}

// troubles say what is degraded.
func (g *generation) troubles() []string {
	troubles := slices.Concat(g.registries.routes.Troubles(), g.customers.troubles(), g.registries.source.Troubles(), []string{g.probeTrouble})
	return slices.DeleteFunc(troubles, func(text string) bool { return text == "" })
}

// parts are what explanations read.
func (g *generation) parts() explain.Parts {
	return explain.Parts{Decider: g.decider, Chain: g.customers.Chain, Releases: g.releases, Registry: g.registries.peeked, Troubles: g.troubles()}
}

// enter says whether a request may use it, and then must leave it.
func (g *generation) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.users++
	return true
}

func (g *generation) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users--; g.retired && g.users == 0 {
		close(g.idle)
	}
}

// retire lets nobody else enter. When the last request has left it, and all that came
// before it are gone, what only it had ends.
func (g *generation) retire(next *generation, before <-chan struct{}, logger *slog.Logger) {
	g.mu.Lock()
	g.retired = true
	if g.users == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	end := g.customers.dropped(next.customers)
	go func() {
		<-before
		<-g.idle
		end()
		if g.releases != next.releases {
			g.releases.Close()
		}
		close(g.gone)
		logger.Debug("the configuration before the reload is no longer in use")
	}()
}
