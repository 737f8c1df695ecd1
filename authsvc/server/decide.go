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
	duration time.Duration
	// refusal is nil if the request may be served.
	refusal *registry.Error
	// cause is the operator's part of a refusal: what went wrong.
	cause error
}

// decide answers a question: parse, authenticate, entitle, and fetch the key.
func (s *Server) decide(ctx context.Context, q question) (a answer) {
	start := time.Now()
	err := s.steps(ctx, q, &a)
	a.duration = time.Since(start)
	if err != nil {
		a.cause = err
		if !errors.As(err, &a.refusal) {
			a.refusal = errOutage
		}
	}
	return a
}

func (s *Server) steps(ctx context.Context, q question, a *answer) (err error) {
	if a.request, err = registry.Parse(q.method, q.uri); err != nil {
		return err
	}
	presented, err := credential.ParseBasic(q.authorization)
	if err != nil {
		return unauthorized(err)
	}
	a.subject = presented.User
	decision, err := s.authenticator.Authenticate(ctx, presented)
	if err != nil {
		return err
	}
	a.cache = decision.Cache
	if decision.Refusal != "" {
		return refused(decision.Refusal)
	}
	grant, err := s.rules.Check(decision.Grants, a.request, s.now())
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
