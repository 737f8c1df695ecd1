package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/authsvc/probe"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// live is what is in force, and replaces it on a reload.
type live struct {
	builder
	load    func() (config.Config, error)
	level   *slog.LevelVar
	current atomic.Pointer[generation]
	gone    <-chan struct{} // closed when all before current are gone; of reload alone

	failed, restartNeeded prometheus.Gauge
	mu                    sync.Mutex
	trouble               string
}

// newLive builds what is in force first.
func newLive(b builder, c config.Config, load func() (config.Config, error), level *slog.LevelVar) (*live, error) {
	first, err := b.build(c, nil)
	if err != nil {
		return nil, err
	}
	l := &live{builder: b, load: load, level: level,
		failed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "authsvc_config_reload_failed",
			Help: "1 while the configuration of the last reload was refused and the one before is in force, else 0. The log says why."}),
		restartNeeded: prometheus.NewGauge(prometheus.GaugeOpts{Name: "authsvc_config_restart_needed",
			Help: "1 while a setting has changed that a reload cannot take over, else 0. The log names it."}),
	}
	b.numbers.MustRegister(l.failed, l.restartNeeded, probe.Metrics{Config: func() probe.Config { return l.current.Load().config.Probe }})
	gone := make(chan struct{})
	close(gone)
	l.gone = gone
	l.current.Store(first)
	limitMemory(c)
	return l, first.customers.apply(c)
}

// hold returns what is in force, which the caller must leave.
func (l *live) hold() *generation {
	for {
		if g := l.current.Load(); g.enter() {
			return g
		}
	}
}

// Forward implements server.Decider.
func (l *live) Forward(ctx context.Context, q decision.Question, trace decision.Trace) decision.Outcome {
	g := l.hold()
	defer g.leave()
	return g.decider.Forward(ctx, q, trace)
}

// Serve implements server.Decider.
func (l *live) Serve(ctx context.Context, q decision.Question, trace decision.Trace) decision.Outcome {
	g := l.hold()
	defer g.leave()
	return g.decider.Serve(ctx, q, trace)
}

// Fetch implements server.Decider.
func (l *live) Fetch(ctx context.Context, q decision.Question, trace decision.Trace) decision.Outcome {
	g := l.hold()
	defer g.leave()
	return g.decider.Fetch(ctx, q, trace)
}

// List implements server.Decider.
func (l *live) List(ctx context.Context, q decision.Question, trace decision.Trace) decision.Outcome {
	g := l.hold()
	defer g.leave()
	return g.decider.List(ctx, q, trace)
}

// Ready implements server.Registries. Files that the content store has are served without a
// token, while it is known who may have them.
func (l *live) Ready() error {
	g := l.current.Load()
	err := g.registries.routes.Ready()
	if g.config.ReadyWithoutToken && g.releases.Holding() {
		return nil // troubles say what is missing
	}
	return err
}

// Failed implements server.Registries.
func (l *live) Failed(tokenID, status string) {
	l.current.Load().registries.routes.Failed(tokenID, status)
}

// lend lends what explanations read.
func (l *live) lend() (explain.Parts, func()) {
	g := l.hold()
	return g.parts(), g.leave
}

// Gather implements prometheus.Gatherer: the metrics of what is in force, and those
// that outlive it.
func (l *live) Gather() ([]*dto.MetricFamily, error) {
	g := l.current.Load()
	return append(prometheus.Gatherers{l.numbers, g.registries.numbers}, g.customers.gatherers()...).Gather()
}

// troubles say what is degraded.
func (l *live) troubles() []string {
	l.mu.Lock()
	trouble := l.trouble
	l.mu.Unlock()
	troubles := l.current.Load().troubles()
	if trouble != "" {
		troubles = append([]string{trouble}, troubles...)
	}
	return troubles
}

// reloads takes a changed configuration over with each signal, until ctx ends.
func (l *live) reloads(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			listen.Reload(l.logger, l.reload)
		}
	}
}

const reloadRefused = "reload refused; the configuration before stays in force"

// restartFor says that a setting has changed that a reload cannot take over.
func restartFor(key string) string { return key + " changed: restart authsvc" }

// reload takes the configuration over. If it is refused, the one before stays.
func (l *live) reload() {
	c, err := l.load()
	var changed []string
	if err == nil {
		changed, err = l.take(c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed.Set(1)
		l.trouble = "the changed configuration was refused, and the one before is in force: " + err.Error()
		l.logger.Error(reloadRefused, "error", err)
		return
	}
	l.failed.Set(0)
	l.restartNeeded.Set(0)
	l.trouble = ""
	for _, key := range changed {
		l.restartNeeded.Set(1)
		l.logger.Warn(restartFor(key))
	}
	l.logger.Info("reloaded")
}

// take puts a configuration in force. changed are the settings that take a restart.
func (l *live) take(c config.Config) (changed []string, err error) {
	before := l.current.Load()
	c, changed = c.Reload(before.config)
	next, err := l.build(c, before)
	if err != nil {
		return nil, err
	}
	l.level.Set(c.LogLevel)
	l.current.Store(next)
	before.retire(next, l.gone, l.logger)
	l.gone = before.gone
	limitMemory(c)
	return changed, next.customers.apply(c)
}

// close ends what is in force, once nothing is asked any more.
func (l *live) close() {
	l.current.Load().releases.Close()
}
