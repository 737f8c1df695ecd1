package entitlement_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

const (
	tagTTL   = 30 * time.Second
	previous = 24 * time.Hour
	// perWorld is how many decisions are made in one world.
	perWorld = 100
)

// TestOracle makes random registries and random licenses, and compares every
// decision with what trying everything says. $ORACLE is the number of
// decisions (20,000 if not set), $SEED the first world's.
func TestOracle(t *testing.T) {
	decisions, seed := number(t, "ORACLE", 20_000), number(t, "SEED", int(time.Now().UnixNano()&0xffffff))
	var total tally
	for i := range (decisions + perWorld - 1) / perWorld {
		if t.Failed() && total.wrongAllows+total.wrongDenials > 20 {
			break
		}
		total.add(judgeWorld(t, uint64(seed+i)))
	}
	fmt.Printf("%d decisions, %d wrong allows, %d wrong denials; %d allowed, %d denied, %d outages; seed %d\n",
		total.decisions, total.wrongAllows, total.wrongDenials, total.allowed, total.denied, total.outages, seed)
	if total.wrongAllows+total.wrongDenials > 0 || total.allowed == 0 || total.denied == 0 || total.outages == 0 {
		t.Fail()
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("$%s: expected a number from 1, found %q", name, text)
	}
	return n
}

type tally struct{ decisions, allowed, denied, outages, wrongAllows, wrongDenials int }

func (a *tally) add(b tally) {
	a.decisions += b.decisions
	a.allowed += b.allowed
	a.denied += b.denied
	a.outages += b.outages
	a.wrongAllows += b.wrongAllows
	a.wrongDenials += b.wrongDenials
}

// A verdict is what may be decided.
type verdict int

const (
	mustDeny verdict = iota
	either           // it depends on what is known already
	mustAllow
)

// judgeWorld lives through one world, with three customers.
func judgeWorld(t *testing.T, seed uint64) (total tally) {
	t.Helper()
	w := newWorld(seed)
	releases := release.New(release.Options{Source: w, TagTTL: tagTTL, Previous: previous, Timeout: 5 * time.Second, Now: w.Now})
	defer releases.Close()
	rules := entitlement.Rules{Releases: releases, Now: w.Now}
	customers := [][]auth.Grant{w.grants(t), w.grants(t), w.grants(t)}
	flaps := w.random.IntN(4) == 0
	for total.decisions < perWorld {
		w.live(flaps)
		grants := customers[w.random.IntN(len(customers))]
		request := w.request()
		want := w.verdict(grants, request)
		got, err := rules.Check(t.Context(), auth.NewGrants(grants...), request)
		total.decisions++
		switch {
		case err != nil:
			total.outages++
			if !flaps {
				total.wrongDenials++
				t.Errorf("seed %d, decision %d: %s: %v", seed, total.decisions, describe(grants, request), err)
			}
		case got.Refusal == nil:
			total.allowed++
			if want == mustDeny {
				total.wrongAllows++
				t.Errorf("seed %d, decision %d: allowed %s", seed, total.decisions, describe(grants, request))
			}
			w.asked(request)
		default:
			total.denied++
			if want == mustAllow {
				total.wrongDenials++
				t.Errorf("seed %d, decision %d: denied %s: %v", seed, total.decisions, describe(grants, request), got.Refusal)
			}
		}
	}
	return total
}

// live lets something happen.
func (w *world) live(flaps bool) {
	switch w.random.IntN(12) {
	case 0:
		w.pass(time.Duration(w.random.IntN(40)) * time.Second)
	case 1:
		w.pass(time.Duration(w.random.IntN(30)) * time.Hour)
	case 2, 3:
		for _, name := range []string{"acme/appliance", "acme/tools", "other/appliance"} {
			if r := w.repositories[name]; r != nil && w.random.IntN(2) == 0 {
				w.moveTag(r)
			}
		}
	default:
		w.pass(time.Duration(w.random.IntN(1500)) * time.Millisecond)
	}
	w.fail(flaps && w.random.IntN(3) == 0)
}

// grants are a customer's, some of them expired or about to.
func (w *world) grants(t *testing.T) (grants []auth.Grant) {
	t.Helper()
	pattern := func(of ...string) auth.Pattern {
		p, err := auth.NewPattern(of[w.random.IntN(len(of))])
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i := range w.random.IntN(5) {
		grant := auth.Grant{
			Repository: pattern("acme/appliance", "acme/*", "*/appliance", "other/*", "acme/tools", "*", "*/*", "*/*"),
			Tag:        pattern("1.*", "1.0", "2.?", "latest", "*", "*", "*", "sha256-*", "edge", "[12].1"),
			License:    fmt.Sprint("lic_", i),
		}
		if w.random.IntN(3) == 0 {
			grant.Expires = w.now.Add(time.Duration(w.random.IntN(60)-20) * time.Hour)
		}
		grants = append(grants, grant)
	}
	return grants
}

// request asks for something that there is, most of the time.
func (w *world) request() registry.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := []string{"acme/appliance", "acme/tools", "other/appliance", "acme/appliance", "acme/nothing"}
	name := names[w.random.IntN(len(names))]
	request := registry.Request{Kind: registry.Manifest, Repository: name}
	digests := []string{digestOf("unheard of")}
	tags := append([]string{"none"}, tagNames...)
	for _, other := range []string{name, "acme/appliance"} { // of another repository, at times
		if r := w.repositories[other]; r != nil {
			digests = append(digests, r.digests...)
			for tag := range r.tags {
				if strings.HasPrefix(tag, "sha256-") {
					tags = append(tags, tag)
				}
			}
		}
	}
	if w.random.IntN(4) == 0 {
		request.Reference.Tag = tags[w.random.IntN(len(tags))]
		return request
	}
	request.Reference.Digest = digests[w.random.IntN(len(digests))]
	request.Kind = []registry.Kind{registry.Manifest, registry.Blob, registry.Referrers}[w.random.IntN(3)]
	return request
}

// asked notes that a customer got a tag, and so what it has now.
func (w *world) asked(request registry.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.repositories[request.Repository]
	if r == nil {
		return
	}
	if history := r.tags[request.Reference.Tag]; len(history) > 0 {
		history[len(history)-1].asked = true
	}
}

// verdict tries everything.
func (w *world) verdict(grants []auth.Grant, request registry.Request) verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	valid := func(tag string) bool {
		for _, g := range grants {
			if g.ValidAt(w.now) && g.Repository.Match(request.Repository) && g.Tag.Match(tag) {
				return true
			}
		}
		return false
	}
	digest := request.Reference.Digest
	if tag := request.Reference.Tag; tag != "" {
		if valid(tag) {
			return mustAllow
		}
		of, ok := belongsTo(tag)
		if !ok {
			return mustDeny
		}
		digest = of
	}
	r := w.repositories[request.Repository]
	if r == nil {
		return mustDeny
	}
	best := mustDeny
	for name, history := range r.tags {
		if !valid(name) {
			continue
		}
		for i := range history {
			for v := w.standing(history, i); v > best; v-- {
				if r.reaches(w, history[i].digest, digest, v) {
					best = v
				}
			}
		}
	}
	return best
}

// standing tells whether what a tag had counts.
func (w *world) standing(history []had, i int) verdict {
	switch {
	case history[i].digest == "":
		return mustDeny
	case i == len(history)-1 && (history[i].asked || w.now.Sub(history[i].from) > tagTTL):
		return mustAllow
	case i == len(history)-1, w.now.Sub(history[i+1].from) <= previous:
		return either
	}
	return mustDeny
}

// reaches tells whether a manifest reaches a digest by bindings that stand at
// least as well as v.
func (r *repository) reaches(w *world, root, digest string, v verdict) bool {
	seen := map[string]bool{}
	next := []string{root}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		if at == digest {
			return true
		}
		if seen[at] {
			continue
		}
		seen[at] = true
		m, ok := r.manifests[at]
		if !ok {
			continue
		}
		next = append(next, m.children...)
		next = append(next, m.referrers...)
		for _, blob := range m.blobs {
			if blob == digest {
				return true
			}
		}
		for name, history := range r.tags {
			if of, ok := belongsTo(name); ok && of == at {
				for i := range history {
					if w.standing(history, i) >= v {
						next = append(next, history[i].digest)
					}
				}
			}
		}
	}
	return false
}

// belongsTo is the digest that a tag of the referrers tag schema, or of
// cosign, belongs to.
func belongsTo(tag string) (string, bool) {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		hex = strings.TrimSuffix(hex, suffix)
	}
	return "sha256:" + hex, ok && len(hex) == 64
}

func describe(grants []auth.Grant, request registry.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s to a customer with", request.Kind, request.Repository, request.Reference)
	for _, g := range grants {
		fmt.Fprintf(&b, " %s:%s", g.Repository, g.Tag)
		if !g.Expires.IsZero() {
			fmt.Fprintf(&b, " until %s", g.Expires.Format(time.RFC3339))
		}
	}
	return b.String()
}
