package jwt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/watch"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const (
	// leeway is how far the issuer's clock may be ahead. An end has none.
	leeway = time.Minute
	// timeout bounds a look-up: keys that must be fetched, and expressions.
	timeout = 15 * time.Second
)

// lastEnd is the latest end of a token: later ones cannot be stored.
var lastEnd = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// A source decides about tokens of one issuer.
type source struct {
	issuer, audience string
	algorithms       []jose.SignatureAlgorithm
	keys             keyring
	user, subject    *jq.Expression
	grants           *jq.Expression   // nil if another source has the licenses
	withdrawn        *watch.File[ids] // nil for none
}

// Bearer implements auth.Source: the token names its user.
func (*source) Bearer() bool { return true }

// Authenticate implements auth.Source.
//
// What is no token, or another issuer's, is not this source's. A withdrawn token is
// refused from the next look-up on: within cache.ttl.
func (s *source) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t, err := parse(presented.Secret.Reveal(), s.algorithms)
	switch {
	case errors.Is(err, errNotToken), t.claims.Issuer != s.issuer:
		return auth.Decision{Refusal: auth.NotMine}, nil
	case err != nil:
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	signed, err := s.signed(ctx, t)
	if err != nil {
		return auth.Decision{}, err
	}
	if !signed {
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	if reason := s.invalid(t, time.Now()); reason != "" {
		return auth.Decision{Refusal: auth.WrongCredential, Reason: reason}, nil
	}
	return s.accept(ctx, t)
}

// signed says whether the issuer has signed the token. If that takes a key that is
// not known, the keys are fetched again, at a bounded rate. A failure of that says
// nothing about tokens of other keys.
func (s *source) signed(ctx context.Context, t token) (bool, error) {
	since := time.Now()
	keys, err := s.keys.current(ctx)
	if err != nil {
		return false, err
	}
	kid := t.header.KeyID
	if keys.verifies(t) {
		return true, nil
	}
	if keys.knows(kid) || s.keys.retired(kid) {
		return false, nil
	}
	if keys, err = s.keys.fresh(ctx, since); err != nil {
		return false, fmt.Errorf("%w: %w", auth.ErrUnreadable, err)
	}
	return keys.verifies(t), nil
}

// invalid says why a token of the issuer is not accepted; empty if it is.
func (s *source) invalid(t token, now time.Time) string {
	c := t.claims
	switch {
	case c.Expiry == nil:
		return "the token has no end (exp)"
	case !now.Before(c.Expiry.Time()):
		return "the token expired on " + day(c.Expiry.Time())
	case c.Expiry.Time().After(lastEnd):
		return "the token's end (exp) is after the year 9998"
	case !c.Audience.Contains(s.audience):
		return "the token is not for this registry (aud)"
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(leeway)):
		return "the token is not valid before " + day(c.NotBefore.Time())
	case c.IssuedAt != nil && c.IssuedAt.Time().After(now.Add(leeway)):
		return "the token was issued in the future (iat)"
	case s.withdrawn == nil:
		return ""
	case c.ID == "":
		return "the token has no id (jti)"
	}
	if _, found := s.withdrawn.Current()[c.ID]; found {
		return "the token was withdrawn"
	}
	return ""
}

// day is a day in UTC, within the years that can be written.
func day(t time.Time) string {
	if t.Before(time.Unix(0, 0)) || t.After(lastEnd) {
		return "another day"
	}
	return t.UTC().Format(time.DateOnly)
}

// accept reads who it is, and what is licensed.
func (s *source) accept(ctx context.Context, t token) (decision auth.Decision, err error) {
	decision.Ends = t.claims.Expiry.Time()
	if decision.User, err = s.user.Text(ctx, t.input); err != nil {
		return auth.Decision{}, unreadable("user", err)
	}
	if decision.Subject, err = s.subject.ID(ctx, t.input); err != nil {
		return auth.Decision{}, unreadable("subject", err)
	}
	if s.grants == nil {
		return decision, nil
	}
	grants, err := s.grants.AppendGrants(ctx, nil, []any{t.input})
	if err != nil {
		return auth.Decision{}, unreadable("grants", err)
	}
	decision.Grants = auth.NewGrants(grants...)
	return decision, nil
}

// try says which grants the expression makes of saved claims.
func (s *source) try(ctx context.Context, claims []byte) ([]auth.Grant, error) {
	input, err := jq.Decode(claims)
	if err != nil {
		return nil, err
	}
	return s.grants.AppendGrants(ctx, nil, []any{input})
}

func unreadable(setting string, err error) error {
	return fmt.Errorf("%w: %s of the token's claims: %w", auth.ErrUnreadable, setting, err)
}
