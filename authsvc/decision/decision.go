// Package decision decides on one customer request: parse, authenticate, entitle,
// route, and fetch the key. It knows nothing of HTTP or headers: package server turns
// nginx's request into a Question, and an Outcome into an answer.
//
// Where to read on: steps.go has the steps in their order. Each is the work of
// another package: registry, credential, auth, entitlement, upstream.
package decision

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// An Authenticator says whose credential it is. auth.Chain implements it.
type Authenticator interface {
	Authenticate(context.Context, auth.Caller) (auth.Decision, error)
}

// Manifests tell which manifest a request names. *release.Releases implements it.
type Manifests interface {
	// Pin returns the manifest that the registry has for it. An error is an outage.
	Pin(context.Context, registry.Request) (registry.Pinned, error)
	// Shown says whether the registry had what is requested, a blob included, when it
	// was last asked, without asking it.
	Shown(registry.Request) (digest string, schema1, ok bool)
}

// A Decider decides. All fields must be set but Probe and Peek.
type Decider struct {
	Authenticator Authenticator
	Rules         *entitlement.Rules
	Routes        *upstream.Routes
	Manifests     Manifests
	// Key hashes unconfirmed names, which must not be shown.
	Key *credential.Key
	// Probe recognizes our own made-up pulls; nil for none.
	Probe func(credential.Credential) bool
	// Peek leaves the registries as they are: what is decided is not forwarded, so it
	// takes no turn of one on trial.
	Peek bool
}

// A Question is a client's request, and what became of it so far.
type Question struct {
	// Method and URI are exactly what the client sent.
	Method, URI string
	// Authorization is the values of the client's Authorization headers.
	Authorization []string
	// Address is the client's; invalid if it is not known.
	Address netip.Addr
	// Retry says that a registry has rejected its token for this very request.
	Retry bool
	// Failed is the status with which a registry has failed for this very request, as
	// nginx counts: 502, 504, or the registry's own 5xx; empty if none did.
	Failed string
	// TokenID is the ID of that registry's token.
	TokenID string
}

// A Purpose is what nginx asks for, if that is not to forward the request.
type Purpose string

// The purposes.
const (
	ToServe Purpose = "serve" // a file that the content store may have
	ToFetch Purpose = "fetch" // what the content store does not have yet
)

// An Outcome is the decision, and what was found on the way to it. The request is
// allowed if Refusal and Err are nil; at most one of them is set.
type Outcome struct {
	Request registry.Request
	// Purpose is empty for a request to forward, and for a list.
	Purpose Purpose
	// Object is what the content store may serve: the requested blob or manifest, by
	// its digest; zero if there is none.
	Object  registry.Request
	Subject Subject
	// License is the license that decided: one in force, or one that has ended.
	License string
	// Tag is the tag that decided: the requested one, or one that reaches the
	// requested digest; empty if none did.
	Tag string
	// Stale says that the registry fails, and that what it said last has decided: which tag
	// reaches the digest, which digest the tag has, or which tags there are.
	Stale bool
	Cache auth.CacheState
	// Probe says that it is one of our own made-up pulls, which no statistics of
	// customers count.
	Probe bool
	// Grants are the customer's rights.
	Grants auth.Grants
	// Upstream is the registry that has it; nil if none was found, or none is needed.
	Upstream *upstream.Upstream
	// Standby says that it stands in for another that fails; Spare, that another one
	// can stand in for it.
	Standby, Spare bool
	// Path is the path and query to forward in place of the client's; empty for those.
	Path string
	// Token is the key to the registry; zero if nothing will be forwarded.
	Token tokenfile.Token
	// Page is the requested part of a list, and Next the path and query of the
	// part after it; empty if there is none.
	Page []string
	Next string
	// Refusal is why the customer may not have it.
	Refusal *registry.Refusal
	// Err is an outage, which is not the customer's fault. It must not be shown
	// to the customer.
	Err      error
	Duration time.Duration
}

// Allowed says whether the request may be served.
func (o Outcome) Allowed() bool { return o.Refusal == nil && o.Err == nil }

// Word is the outcome in one word, for a log and a metric's label: allow, or
// the error's code in lower case; canceled if the client did not wait.
func (o Outcome) Word() string {
	switch {
	case o.Refusal != nil:
		return strings.ToLower(string(o.Refusal.Code))
	case errors.Is(o.Err, context.Canceled):
		return "canceled"
	case o.Err != nil:
		return Outage
	}
	return "allow"
}

// Words returns all that Word can be.
func Words() []string {
	words := []string{"allow", "canceled"}
	for _, code := range registry.Codes() {
		words = append(words, strings.ToLower(string(code)))
	}
	return words
}

// Answer is what the customer gets instead of what was asked for; nil if the request
// is allowed. An outage is not their fault, and its details are not for them.
func (o Outcome) Answer() *registry.Refusal {
	if o.Err != nil {
		outage := registry.Refuse(registry.Unavailable, "the registry is temporarily unavailable; try again in a few seconds")
		outage.RetryAfter = 5
		return outage
	}
	return o.Refusal
}

// ErrNotShown is the outage of a request that the stand-by must not serve.
var ErrNotShown = errors.New("the registry fails, and had not shown this content, so its stand-by must not serve it")

// Outage is the Word of outcomes that are not the customer's fault.
var Outage = strings.ToLower(string(registry.Unavailable))

// Reason is the operator's sentence; empty if the request is allowed.
func (o Outcome) Reason() string {
	switch {
	case o.Err != nil:
		return o.Err.Error()
	case o.Refusal != nil:
		return o.Refusal.Message
	}
	return ""
}

// Forward decides whether nginx may forward a request to the registry, and
// with which key. trace may be nil, and then costs nothing. That a registry has failed
// is noted whatever the decision is.
func (d *Decider) Forward(ctx context.Context, q Question, trace Trace) Outcome {
	if q.Failed != "" {
		d.Routes.Failed(q.TokenID, q.Failed)
	}
	return d.take(ctx, forward, q, trace)
}

// Serve decides whether nginx may serve a file, and which. It takes no key, so that it
// goes on without a token. An allowed Outcome without an Object is for Forward.
func (d *Decider) Serve(ctx context.Context, q Question, trace Trace) Outcome {
	o := d.take(ctx, serve, q, trace)
	o.Purpose = ToServe
	return o
}

// Fetch decides whether the content store may fetch an object for a request, and with
// which key. An allowed Outcome without an Object is for Forward.
func (d *Decider) Fetch(ctx context.Context, q Question, trace Trace) Outcome {
	o := d.take(ctx, fetch, q, trace)
	o.Purpose = ToFetch
	return o
}

// List decides which part of a list the customer gets to see.
func (d *Decider) List(ctx context.Context, q Question, trace Trace) Outcome {
	return d.take(ctx, list, q, trace)
}

// take runs steps until one refuses or fails.
func (d *Decider) take(ctx context.Context, steps []step, q Question, trace Trace) (o Outcome) {
	start := time.Now()
	for _, step := range steps {
		if trace != nil {
			step = step.traced(trace)
		}
		if o.Refusal, o.Err = step.do(d, ctx, q, &o); !o.Allowed() {
			break
		}
	}
	o.Duration = time.Since(start)
	return o
}
