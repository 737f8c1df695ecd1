package main

import (
	"fmt"
	"net/http"
	"strings"
)

// mostVisits bounds the requests to registries for one of a client: the registry and
// its stand-by, each once more with another token.
const mostVisits = 4

// receive checks a request at a registry, and says what the registry does with it.
func (o *oracle) receive(registry string, r *http.Request) {
	if r.TLS == nil || r.TLS.ServerName == "" { // tokenrefresher, which comes by address
		return
	}
	o.forwarded.Add(1)
	what := fmt.Sprintf("%s received %s %q", registry, r.Method, r.RequestURI)
	ids := r.Header.Values(idHeader)
	if len(ids) != 1 {
		o.found(nil, fmt.Errorf("%s with %d ids: it came by no request that nginx knows", what, len(ids)))
		return
	}
	t, ok := o.trails.Get(ids[0])
	if !ok {
		o.found(nil, fmt.Errorf("%s, about which authsvc was not asked", what))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	h := hop{registry, r.RequestURI}
	last := t.last()
	// nginx repeats what was sent on a kept connection that is closed then.
	repeated := t.pending == nil && last.behavior == reset && last.hop == h
	if !repeated {
		if err := o.checkForwarded(r, t, h); err != nil {
			o.found(t.sender, fmt.Errorf("%s%w", what, err))
		}
		t.pending = nil // it is good for one request
	}
	v := visit{h, o.gate.admit(registry, behaviorOf(registry, r.Header))}
	if behaviors[v.behavior].fails {
		o.failures.Add(1)
	}
	if repeated {
		t.visits[len(t.visits)-1] = v
		return
	}
	t.visits = append(t.visits, v)
}

func (o *oracle) checkForwarded(r *http.Request, t *trail, h hop) error {
	allowed := t.pending
	if allowed == nil {
		return fmt.Errorf(", which authsvc has not allowed")
	}
	if err := checkHeaders(r, *allowed); err != nil {
		return err
	}
	if r.Method != t.method {
		return fmt.Errorf(", authsvc had allowed %s", t.method)
	}
	if allowed.fake {
		o.faked.Add(1)
		if err := checkFaked(t.uri, *allowed, r.RequestURI); err != nil {
			return err
		}
	} else if h != allowed.hop {
		return fmt.Errorf(", authsvc had allowed %q at %s for %q", allowed.path, allowed.registry, t.uri)
	}
	if h.path != t.uri {
		o.renamed.Add(1)
	}
	if last := t.last(); len(t.visits) > 0 && last.registry != h.registry && !behaviors[last.behavior].fails && (!allowed.fake || !behaviors[last.behavior].rejects) {
		return fmt.Errorf(", and %s before, which had not failed: it answered as %q", last.registry, last.behavior)
	}
	if len(t.visits) >= mostVisits {
		return fmt.Errorf(", and %d requests for the same one of the client before: %v", len(t.visits), t.visits)
	}
	return nil
}

// checkHeaders checks everything but the target.
func checkHeaders(r *http.Request, allowed allowance) error {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return fmt.Errorf(" with a body: length %d, %q", r.ContentLength, r.TransferEncoding)
	}
	if r.Host != allowed.host {
		return fmt.Errorf(" as %q, authsvc had allowed %q", r.Host, allowed.host)
	}
	if got := r.Header.Values("Authorization"); len(got) != 1 || !strings.HasPrefix(got[0], "Basic QVdT") {
		return fmt.Errorf(" with %d Authorization headers, or not with its own token", len(got))
	}
	for _, name := range contract {
		if got := r.Header.Values(name); len(got) > 0 {
			return fmt.Errorf(" with %s %q", name, got)
		}
	}
	return nil
}
