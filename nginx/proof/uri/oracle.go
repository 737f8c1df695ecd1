package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
)

// idHeader is what nginx is made to send to the registries: the id that it also sends
// to authsvc. So each request at a registry finds its own judgment.
const idHeader = "X-Proof-Id"

// An oracle hears what authsvc judges and what reaches the registries. It keeps the
// last of both: more than can be under way.
type oracle struct {
	world  *world
	gate   *gate
	found  func(c *sender, err error)
	sender *lru.Cache[string, *sender] // by address
	trails *lru.Cache[string, *trail]  // by id

	asked, forwarded, renamed, stoodIn, faked atomic.Int64
	// nginx may report as many failures as there are.
	failures, reports atomic.Int64
}

// A trail is what has become of one request of a client.
type trail struct {
	mu          sync.Mutex
	sender      *sender
	method, uri string
	pending     *allowance // what authsvc has allowed and has not come yet
	visits      []visit
	faked       int // answers of authsvc that were replaced
}

// An allowance is an answer of authsvc with yes.
type allowance struct {
	hop
	host string
	fake bool
}

// A visit is a request at a registry, and what that did with it; empty if it served it.
type visit struct {
	hop
	behavior string
}

func (t *trail) last() (v visit) {
	if n := len(t.visits); n > 0 {
		return t.visits[n-1]
	}
	return v
}

// A sender is a connection, and what was sent on it.
type sender struct {
	mu      sync.Mutex
	targets map[string]bool
	last    []exchange // newest last
}

func newOracle(w *world, found func(*sender, error)) *oracle {
	o := &oracle{world: w, gate: newGate(), found: found}
	o.sender, _ = lru.New[string, *sender](1 << 12) // fails for a size below 1
	o.trails, _ = lru.New[string, *trail](1 << 16)  // likewise
	return o
}

// sends notes an exchange before it is sent.
func (s *sender) sends(x exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range x.targets() {
		s.targets[target] = true
	}
	s.last = append(s.last, x)[max(0, len(s.last)-7):]
}

func (s *sender) sent(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targets[target]
}

// judge checks a question to authsvc together with its answer.
func (o *oracle) judge(a *http.Response) {
	q := a.Request
	method, uri, id := q.Header.Get("X-Original-Method"), q.Header.Get("X-Original-Uri"), q.Header.Get("X-Request-Id")
	if q.URL.Path == "/report" {
		if o.reports.Add(1) > o.failures.Load() {
			o.found(nil, fmt.Errorf("nginx could not reach a registry, or got a server error: status %q, token %q", q.Header.Get("X-Upstream-Status"), q.Header.Get("X-Upstream-Token-Id")))
		}
		return
	}
	o.asked.Add(1)
	s, ok := o.sender.Get(q.Header.Get("X-Real-Ip"))
	if !ok { // nobody of ours; or from a connection that was left long ago
		return
	}
	t := o.trail(id, func() *trail { return &trail{sender: s, method: method, uri: uri} })
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := o.checkQuestion(q, t, method, uri); err != nil {
		o.found(s, err)
	}
	if a.StatusCode/100 != 2 || q.URL.Path != "/authorize" {
		return
	}
	if path, _, _ := strings.Cut(uri, "?"); path == "/v2/" && a.Header.Get("X-Ecr-Authorization") == "" {
		return // docker login: nothing is fetched
	}
	allowed := allowanceOf(a, uri)
	if !allowed.fake {
		if err := o.checkAllowed(a, t, allowed); err != nil {
			o.found(s, err)
		}
	}
	t.pending = &allowed
}

// trail finds the trail of an id, or begins one.
func (o *oracle) trail(id string, begin func() *trail) *trail {
	if t, ok := o.trails.Get(id); ok {
		return t
	}
	t := begin()
	o.trails.Add(id, t)
	return t
}

// questions are all headers that authsvc may be asked with; again, when a registry has
// rejected or failed the same request.
var (
	questions = []string{"Authorization", "X-Original-Method", "X-Original-Uri", "X-Real-Ip", "X-Request-Id", "User-Agent", "Traceparent"}
	again     = []string{"X-Upstream-Rejected", "X-Upstream-Rejected-Token", "X-Upstream-Status", "X-Upstream-Token-Id"}
)

func (o *oracle) checkQuestion(q *http.Request, t *trail, method, uri string) error {
	if !t.sender.sent(uri) {
		return fmt.Errorf("authsvc was asked about %q, which is no target that the client sent", uri)
	}
	if uri != t.uri || method != t.method {
		return fmt.Errorf("authsvc was asked about %s %q, and then, for the same request, about %s %q", t.method, t.uri, method, uri)
	}
	if q.ContentLength != 0 || len(q.TransferEncoding) > 0 {
		return fmt.Errorf("authsvc was asked about %q with a body", uri)
	}
	known := questions
	nowhere := t.faked > 0 // where a false answer leads, there may be nobody
	if len(t.visits) > 0 || nowhere {
		known = slices.Concat(questions, again)
	}
	for name, values := range q.Header {
		empty := len(values) == 0 || values[0] == "" // Go's proxy sets User-Agent so
		if !slices.Contains(known, name) && !empty || len(values) > 1 {
			return fmt.Errorf("authsvc was asked about %q with %s %q", uri, name, values)
		}
	}
	if q.Header.Get("X-Upstream-Status") != "" && !behaviors[t.last().behavior].fails && !nowhere {
		return fmt.Errorf("nginx looks for a stand-by for %q although %s has not failed: it answered as %q", uri, t.last().registry, t.last().behavior)
	}
	return nil
}

// checkAllowed: authsvc allows only what the license covers, and only exactly that.
func (o *oracle) checkAllowed(a *http.Response, t *trail, allowed allowance) error {
	asked, ok := o.world.entitled(t.method, t.uri)
	if !ok {
		return fmt.Errorf("authsvc allowed %s %q, which no license covers", t.method, t.uri)
	}
	what := fmt.Sprintf("authsvc allowed %s %q as %q at %s", t.method, t.uri, allowed.path, allowed.host)
	if token := a.Header.Get("X-Ecr-Token-Id"); !strings.HasPrefix(token, allowed.registry+".") {
		return fmt.Errorf("%s with the token %q", what, token)
	}
	first, toFirst := asked.first()
	standby, toStandby := asked.standby()
	spare := a.Header.Get("X-Ecr-Standby")
	switch allowed.hop {
	case first:
		if toFirst && len(t.visits) == 0 && spare == map[bool]string{true: "", false: "ready"}[asked.route.standby == ""] {
			return nil
		}
	case standby:
		failed := behaviors[t.last().behavior].fails && t.last().registry == first.registry
		if toStandby && spare == "serves" && (failed || o.gate.open()) {
			o.stoodIn.Add(1)
			return nil
		}
	}
	return fmt.Errorf("%s, with X-Ecr-Standby %q and after %v: expected %+v, or %+v (%v) after a failure", what, spare, t.visits, first, standby, toStandby)
}
