package decision

import (
	"context"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A step records its findings in an Outcome, or ends the decision with a refusal
// or an outage.
type step struct {
	name Step
	do   func(*Decider, context.Context, Question, *Outcome) (*registry.Refusal, error)
}

// The steps, in the order in which they run.
var (
	forward = []step{
		{Parse, (*Decider).parse},
		{Authenticate, (*Decider).authenticate},
		{Entitle, (*Decider).entitle},
		{Route, (*Decider).route},
		{Key, (*Decider).key},
	}
	serve = []step{
		{Parse, (*Decider).parse},
		{Authenticate, (*Decider).authenticate},
		{Entitle, (*Decider).entitle},
		{Locate, (*Decider).locate},
	}
	fetch = []step{
		{Parse, (*Decider).parse},
		{Authenticate, (*Decider).authenticate},
		{Entitle, (*Decider).entitle},
		{Locate, (*Decider).locate},
		{Route, (*Decider).routeObject},
		{Key, (*Decider).key},
	}
	list = []step{
		{Parse, (*Decider).parse},
		{Authenticate, (*Decider).authenticate},
		{List, (*Decider).list},
	}
)

func (d *Decider) parse(_ context.Context, q Question, o *Outcome) (refusal *registry.Refusal, err error) {
	o.Request, refusal = registry.Parse(q.Method, q.URI)
	return refusal, nil
}

func (d *Decider) authenticate(ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
	presented, flaw := credential.ParseBasic(q.Authorization)
	if flaw != credential.None {
		return unauthorized(flawMessage(flaw)), nil
	}
	o.Probe = d.Probe != nil && d.Probe(presented)
	decision, err := d.Authenticator.Authenticate(ctx, auth.Caller{Credential: presented, Address: q.Address, Probe: o.Probe})
	o.Cache, o.Grants = decision.Cache, decision.Grants
	switch {
	case err != nil:
		o.Subject = d.unknown(presented)
		return nil, err
	case decision.Refusal != "":
		o.Subject = d.unknown(presented)
		return refused(decision), nil
	}
	o.Subject = accepted(presented, decision)
	return nil, nil
}

func (d *Decider) entitle(ctx context.Context, _ Question, o *Outcome) (*registry.Refusal, error) {
	verdict, err := d.Rules.Check(ctx, o.Grants, o.Request)
	o.License, o.Tag, o.Stale = verdict.Grant.License, verdict.Tag, verdict.Stale
	return verdict.Refusal, err
}

// key gets the registry's Authorization, if the request will be forwarded: docker
// login needs none, and must not hand one out.
func (d *Decider) key(ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
	if o.Upstream == nil {
		return nil, nil
	}
	fetch := o.Upstream.Current
	if q.Retry {
		fetch = func() (tokenfile.Token, error) { return o.Upstream.Renew(ctx, upstream.CutName(q.TokenID)) }
	}
	token, err := fetch()
	if err == nil {
		o.Token = token
	}
	return nil, err
}

func unauthorized(message string) *registry.Refusal {
	return registry.Refuse(registry.Unauthorized, message)
}

// flawMessage says what to do about a credential that cannot be read.
func flawMessage(flaw credential.Flaw) string {
	if flaw == credential.Missing {
		return "authentication is required: run docker login with your e-mail and your API token"
	}
	return "the credential is malformed: run docker login again with your e-mail and your API token"
}

// refused puts a refusal of the credential into words.
func refused(decision auth.Decision) *registry.Refusal {
	switch decision.Refusal {
	case auth.TooManyGuesses:
		return later(decision, "too many failed logins from your network; wait, check your e-mail and API token, then log in again")
	case auth.TooBusy:
		return later(decision, "too many logins at the moment; try again in a few seconds")
	case auth.WrongAccount:
		return unauthorized("the API token belongs to an account with another e-mail")
	}
	if decision.Reason != "" {
		return unauthorized(auth.CleanReason(decision.Reason))
	}
	return unauthorized("the e-mail or the API token is wrong")
}

func later(decision auth.Decision, message string) *registry.Refusal {
	refusal := registry.Refuse(registry.TooManyRequests, message)
	refusal.RetryAfter = int(decision.RetryAfter.Seconds())
	return refusal
}
