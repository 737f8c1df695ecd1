// Package explain tells an operator what a customer's request would get, and why: it
// takes the same decision as for the customer, step by step, without a trace in the
// running program. socket.go carries questions to it over a socket of its own, and
// text.go prints the answers.
//
// Where to read on: explanation.go has what is found, licenses.go what a customer
// may pull at all.
package explain

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// A Question is what an operator asks. It contains the customer's secret, so it
// must not be logged.
type Question struct {
	User string `json:"user"`
	// Token is the customer's secret; empty if it is not known.
	Token string `json:"token,omitempty"`
	// Reference is an image such as acme/appliance:1.9, or a path of the API; see
	// Path. It is empty in a question about licenses.
	Reference string `json:"reference,omitempty"`
}

// Parts are those of the running program that an explanation reads.
type Parts struct {
	Decider  *decision.Decider
	Chain    auth.Chain
	Releases *release.Releases
	// Registry is asked for what Releases do not know. It must count nothing and
	// renew nothing.
	Registry release.Source
	// Troubles say what is degraded.
	Troubles []string
}

// unknownSecret stands for a secret that is not known. It is sent nowhere.
const unknownSecret = "-"

// A study is one explanation in the making.
type study struct {
	Parts
	question Question
	peek     *auth.Peek
	releases *release.Peek
	decider  decision.Decider
}

// newStudy copies the decider, with parts that leave no trace.
func newStudy(p Parts, q Question) *study {
	s := &study{Parts: p, question: q, peek: &auth.Peek{Chain: p.Chain, NoSecret: q.Token == ""}, releases: p.Releases.Peek(p.Registry)}
	rules := *p.Decider.Rules
	rules.Releases = s.releases
	s.decider = *p.Decider
	s.decider.Peek = true
	s.decider.Authenticator, s.decider.Rules, s.decider.Manifests = s.peek, &rules, s.releases
	return s
}

func (s *study) rules() *entitlement.Rules { return s.decider.Rules }

// ask is the customer's request.
func (s *study) ask(uri string) decision.Question {
	secret := s.question.Token
	if secret == "" {
		secret = unknownSecret
	}
	return decision.Question{Method: http.MethodGet, URI: uri,
		Authorization: []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(s.question.User+":"+secret))}}
}

// Explain tells what a request would get, and why.
func Explain(ctx context.Context, p Parts, q Question) Explanation {
	s := newStudy(p, q)
	defer s.releases.Close()
	e := Explanation{User: q.User, Reference: q.Reference, Path: registry.ImagePath(q.Reference), Degraded: p.Troubles}
	decide := s.decider.Forward
	if request, _ := registry.Parse(http.MethodGet, e.Path); request.Kind == registry.Tags || request.Kind == registry.Catalog {
		decide = s.decider.List
	}
	outcome := decide(ctx, s.ask(e.Path), func(f decision.Finding) { s.note(&e, f) })
	var u *upstream.Upstream
	if e.Route, u = newRoute(outcome, p.Decider.Routes); u != nil {
		e.Token = newToken(outcome, u)
	}
	if e.Route != nil && asksFirst(outcome) {
		s.look(ctx, &e, outcome.Request)
	}
	s.conclude(&e, outcome)
	return e
}

// asksFirst says whether what the registry itself has of the tag says more: the
// customer's request goes there, or nobody knows why no license covers it.
func asksFirst(o decision.Outcome) bool {
	return o.Allowed() && !o.Standby || notLicensed(o.Refusal)
}

// note adds a step's finding.
func (s *study) note(e *Explanation, f decision.Finding) {
	o := f.Outcome
	step := Step{Step: string(f.Step), Result: passed, Milliseconds: milliseconds(f.Took)}
	switch {
	case o.Err != nil:
		step.Result, step.Reason = Outage, o.Err.Error()
	case o.Refusal != nil:
		step.Result, step.Reason = Refused, o.Refusal.Message
	}
	e.Steps = append(e.Steps, step)
	switch f.Step {
	case decision.Parse:
		if o.Refusal == nil {
			e.Request = &Request{o.Request.Kind.String(), o.Request.Repository, o.Request.Reference.Tag, o.Request.Reference.Digest}
		}
	case decision.Authenticate:
		e.Credential = newCredential(s.peek, o)
	case decision.Entitle, decision.List:
		e.Licenses = newLicenses(o.Grants, o.Request, o.Tag, time.Now())
		e.Tag, e.License = o.Tag, o.License
	}
	e.Stale = e.Stale || o.Stale
}

// notLicensed says whether no license covers what was asked for. Then it is either a
// typing error or an image that the customer does not have, which the customer is
// not told.
func notLicensed(r *registry.Refusal) bool {
	return r != nil && (r.Code == registry.NameUnknown || r.Code == registry.ManifestUnknown)
}

// look asks the registry whether it has the tag that was asked for.
func (s *study) look(ctx context.Context, e *Explanation, r registry.Request) {
	if r.Kind != registry.Manifest || r.Reference.Tag == "" {
		return
	}
	e.Registry = &Registry{}
	start := time.Now()
	digest, err := s.releases.Resolve(ctx, r.Repository, r.Reference.Tag)
	e.Registry.Milliseconds = milliseconds(time.Since(start))
	switch {
	case errors.Is(err, release.ErrNotFound):
		e.Registry.Missing = true
	case err != nil:
		e.Registry.Error = err.Error()
	default:
		e.Registry.Digest = digest
	}
}

// conclude says what the customer gets, and what to do.
func (s *study) conclude(e *Explanation, o decision.Outcome) {
	refusal := o.Answer()
	switch {
	case errors.Is(o.Err, auth.ErrUntold):
		e.Result, e.Next = Unknown, o.Err.Error()+": run it again with --token-stdin"
		return
	case o.Err != nil:
		e.Result = Outage
	case o.Refusal != nil:
		e.Result = Refused
	case e.Registry != nil && e.Registry.Missing:
		// nginx's own words (nginx/registry/parts/http/values.conf).
		e.Result, refusal = Refused, registry.Refuse(registry.ManifestUnknown, "this image does not exist: no manifest with this tag or digest")
	case e.Registry != nil && e.Registry.Error != "" && !s.decider.StandsIn(o):
		e.Result, refusal = Outage, decision.Outcome{Err: errors.New(e.Registry.Error)}.Answer()
	default:
		e.Result, e.Answer = Allowed, Answer{Status: http.StatusOK}
	}
	if refusal != nil {
		e.Answer = Answer{refusal.Status, string(refusal.Code), refusal.Message, refusal.RetryAfter}
	}
	e.Next = next(e, o)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
