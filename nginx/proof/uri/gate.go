package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// After mostFailures of a registry authsvc would not ask it any more. Every
	// openEvery-th time that happens.
	mostFailures = 4
	openEvery    = 8
	openFailures = 8
	openTime     = 700 * time.Millisecond
	// reloadEvery bounds the reloads.
	reloadEvery = 250 * time.Millisecond
)

// guarded is the registry that has a stand-by.
const guarded = "eu"

// A gate lets a registry fail now and then. authsvc's breaker would soon send all
// requests to the stand-by; a reload makes it forget what it counted.
type gate struct {
	mu       sync.Mutex
	count    int // failures since the last reload
	most     int
	cycles   int
	relieved time.Time

	full chan struct{} // gets a value when the gate is full; nil before the start
}

// admit says what a registry does with a request: what the client wants, or, instead of
// too many failures, the usual.
func (g *gate) admit(registry, behavior string) string {
	if registry != guarded || !behaviors[behavior].fails {
		return behavior
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full == nil || g.count >= g.most {
		return ""
	}
	if g.count++; g.count == g.most {
		g.full <- struct{}{}
	}
	return behavior
}

// open says whether authsvc may have opened its breaker.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most == openFailures && g.count > mostFailures
}

// keep makes authsvc forget failures whenever the gate is full, until ctx ends.
func (f *front) keep(ctx context.Context) {
}
