package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// retryAfter is what a customer's client is told to wait, in seconds, when
// something behind authsvc is down.
const retryAfter = 5

// errOutage is the customer's part of every error that is not a refusal: it
// is not the customer's fault, and the details are not the customer's.
var errOutage = &registry.Error{Status: http.StatusServiceUnavailable, Code: registry.Unavailable,
	Message: "the registry is unavailable for the moment; please try again", RetryAfter: retryAfter}

// A question is what nginx asks: a client's request, and what became of it so
// far.
type question struct {
	method, uri   string
	authorization []string
	requestID     string
	realIP        string
	// rejected is the status by which the registry has rejected the token
	// named rejectedToken; empty at the first try.
	rejected      string
	rejectedToken string
}

// An answer is what was decided, as far as it came.
type answer struct {
	request  registry.Request
	subject  string
	license  string
	cache    auth.CacheState
	token    tokenfile.Token
	list     list
	duration time.Duration
	// refusal is nil if the request may be served.
	refusal *registry.Error
	// cause is the operator's part of a refusal: what went wrong.
	cause error
}

// steps are what it takes to answer a question. They note in an answer what
// they have found out, and end with an error if that is a refusal or an
// outage.
type steps func(context.Context, question, *answer) error

// decide answers a question by its steps.
func decide(ctx context.Context, q question, steps steps) (a answer) {
	start := time.Now()
	err := steps(ctx, q, &a)
	a.duration = time.Since(start)
	if err != nil {
		a.cause = err
		if !errors.As(err, &a.refusal) {
			a.refusal = errOutage
		}
	}
	return a
}

// serve says whether nginx may serve a request: parse, authenticate, entitle,
// and fetch the key.
func (s *Server) serve(ctx context.Context, q question, a *answer) error {
	grants, err := s.authenticate(ctx, q, a)
	if err != nil {
		return err
	}
	grant, err := s.rules.Check(ctx, grants, a.request)
	a.license = grant.License
	if err != nil {
		return err
	}
	if q.rejected != "" {
		a.token, err = s.upstream.Renew(ctx, q.rejectedToken)
	} else {
		a.token, err = s.upstream.Current()
	}
	return err
}

// authenticate parses the request and the credential, and asks whose it is.
func (s *Server) authenticate(ctx context.Context, q question, a *answer) (grants []auth.Grant, err error) {
	if a.request, err = registry.Parse(q.method, q.uri); err != nil {
		return nil, err
	}
	presented, err := credential.ParseBasic(q.authorization)
	if err != nil {
		return nil, unauthorized(err)
	}
	a.subject = presented.User
	decision, err := s.authenticator.Authenticate(ctx, presented)
	if err != nil {
		return nil, err
	}
	a.cache = decision.Cache
	if decision.Refusal != "" {
		return nil, refused(decision.Refusal)
	}
	return decision.Grants, nil
}

// unauthorized says what to do about a credential that is not there or does
// not parse.
func unauthorized(err error) *registry.Error {
	message := "the credential is not valid: log in with your e-mail and your API token"
	if errors.Is(err, credential.ErrMissing) {
		message = "authentication is required: docker login with your e-mail and your API token"
	}
	return &registry.Error{Status: http.StatusUnauthorized, Code: registry.Unauthorized, Message: message}
}

var refusalMessages = map[auth.Refusal]string{
	auth.WrongCredential: "the e-mail or the API token is wrong",
	auth.WrongAccount:    "the API token belongs to an account with another e-mail",
}

func refused(refusal auth.Refusal) *registry.Error {
	return &registry.Error{Status: http.StatusUnauthorized, Code: registry.Unauthorized, Message: refusalMessages[refusal]}
}
