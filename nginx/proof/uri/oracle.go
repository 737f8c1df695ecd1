package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// idHeader is what nginx is made to send to the registry: the id that it also sends
// to authsvc. So each request at the registry finds its own judgment.
const idHeader = "X-Proof-Id"

// An oracle hears what authsvc judges and what reaches the registry. It keeps the
// last of both: more than can be under way.
type oracle struct {
	world  *world
	found  func(c *sender, err error)
	sender *lru.Cache[string, *sender]  // by address
	judged *lru.Cache[string, judgment] // what is allowed and has not come yet, by id

	asked, forwarded atomic.Int64
}

// A judgment is a question that authsvc has answered with yes.
type judgment struct {
	method, uri string
	sender      *sender
}

// A sender is a connection, and what was sent on it.
type sender struct {
	mu      sync.Mutex
	targets map[string]bool
	last    []exchange // newest last
}

func newOracle(w *world, found func(*sender, error)) *oracle {
	o := &oracle{world: w, found: found}
	o.sender, _ = lru.New[string, *sender](1 << 12)  // fails for a size below 1
	o.judged, _ = lru.New[string, judgment](1 << 16) // likewise
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

// questions are all headers that authsvc may be asked with.
var questions = []string{"Authorization", "X-Original-Method", "X-Original-Uri", "X-Real-Ip", "X-Request-Id", "User-Agent", "Traceparent"}

// judge checks a question to authsvc together with its answer.
func (o *oracle) judge(a *http.Response) {
	q := a.Request
	method, uri, id := q.Header.Get("X-Original-Method"), q.Header.Get("X-Original-Uri"), q.Header.Get("X-Request-Id")
	if strings.HasSuffix(q.URL.Path, "/report") {
		o.found(nil, fmt.Errorf("nginx could not reach the registry, or got a server error: status %q", q.Header.Get("X-Upstream-Status")))
		return
	}
	o.asked.Add(1)
	s, ok := o.sender.Get(q.Header.Get("X-Real-Ip"))
	if !ok { // nobody of ours; or from a connection that was left long ago
		return
	}
	if err := o.checkQuestion(q, s, uri); err != nil {
		o.found(s, err)
	}
	if a.StatusCode != http.StatusOK || q.URL.Path != "/authorize" {
		return
	}
	if path, _, _ := strings.Cut(uri, "?"); path == "/v2/" && a.Header.Get("X-Ecr-Authorization") == "" {
		return // docker login: nothing is fetched
	}
	if !o.world.entitled(method, uri) {
		o.found(s, fmt.Errorf("authsvc allowed %s %q, which no license covers", method, uri))
	}
	o.judged.Add(id, judgment{method, uri, s})
}

func (o *oracle) checkQuestion(q *http.Request, s *sender, uri string) error {
	if !s.sent(uri) {
		return fmt.Errorf("authsvc was asked about %q, which is no target that the client sent", uri)
	}
	if q.ContentLength != 0 || len(q.TransferEncoding) > 0 {
		return fmt.Errorf("authsvc was asked about %q with a body", uri)
	}
	for name, values := range q.Header {
		empty := len(values) == 0 || values[0] == "" // Go's proxy sets User-Agent so
		if !slices.Contains(questions, name) && !empty || len(values) > 1 {
			return fmt.Errorf("authsvc was asked about %q with %s %q", uri, name, values)
		}
	}
	return nil
}

// receive checks a request at the registry.
func (o *oracle) receive(r *http.Request) {
	if r.TLS == nil || r.TLS.ServerName == "" { // tokenrefresher, which comes by address
		return
	}
	o.forwarded.Add(1)
	ids := r.Header.Values(idHeader)
	if len(ids) != 1 {
		o.found(nil, fmt.Errorf("the registry received %s %q with %d ids: it came by no request that nginx knows", r.Method, r.RequestURI, len(ids)))
		return
	}
	allowed, ok := o.judged.Get(ids[0])
	if !ok {
		o.found(nil, fmt.Errorf("the registry received %s %q, which authsvc has not allowed", r.Method, r.RequestURI))
		return
	}
	o.judged.Remove(ids[0]) // it is good for one request
	if err := o.checkForwarded(r, allowed); err != nil {
		o.found(allowed.sender, err)
	}
}

func (o *oracle) checkForwarded(r *http.Request, allowed judgment) error {
	what := fmt.Sprintf("the registry received %s %q", r.Method, r.RequestURI)
	if r.Method != allowed.method || r.RequestURI != allowed.uri {
		return fmt.Errorf("%s, authsvc had allowed %s %q", what, allowed.method, allowed.uri)
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return fmt.Errorf("%s with a body: length %d, %q", what, r.ContentLength, r.TransferEncoding)
	}
	if r.Host != ecr.Host(ecr.Account, ecr.Region) {
		return fmt.Errorf("%s as %q", what, r.Host)
	}
	if got := r.Header.Values("Authorization"); len(got) != 1 || !strings.HasPrefix(got[0], "Basic QVdT") {
		return fmt.Errorf("%s with %d Authorization headers, or not with its own token", what, len(got))
	}
	for _, name := range contract {
		if got := r.Header.Values(name); len(got) > 0 {
			return fmt.Errorf("%s with %s %q", what, name, got)
		}
	}
	return nil
}
