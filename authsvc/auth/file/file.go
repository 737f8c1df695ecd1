package file

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/authsvc/auth/watch"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// timeout bounds the time that a customer waits for others' passwords to be
// compared.
const timeout = 10 * time.Second

// A source has the files. users or accounts is nil if there is no such file.
type source struct {
	users    *watch.File[users]
	accounts *watch.File[accounts]
	verifier *password.Verifier
	observe  func(ctx context.Context, outcome string, d time.Duration)
}

// Bearer implements auth.Source.
func (*source) Bearer() bool { return false }

// Authenticate implements auth.Source. It compares users byte by byte, as other
// readers of htpasswd files do.
func (s *source) Authenticate(ctx context.Context, presented credential.Credential) (decision auth.Decision, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	defer func() { s.observe(ctx, outcome(ctx, decision, err), time.Since(start)) }()
	hash, found := s.users.Current()[presented.User]
	if !found {
		return auth.Decision{Refusal: auth.NotMine}, s.verifier.Dummy(ctx, presented.Secret)
	}
	right, err := s.verifier.Check(ctx, presented.Secret, hash)
	if err != nil {
		return auth.Decision{}, err
	}
	if !right {
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	return s.accept(presented.User, start), nil
}

// accept decides about a user whose password is right.
func (s *source) accept(user string, now time.Time) auth.Decision {
	decision := auth.Decision{Subject: user, User: user}
	if s.accounts == nil {
		return decision
	}
	a := s.accounts.Current()[user]
	switch {
	case a.suspended != "":
		return auth.Decision{Refusal: auth.WrongCredential, Reason: auth.CleanReason("account suspended: " + a.suspended)}
	case !a.ends.IsZero() && !now.Before(a.ends):
		return auth.Decision{Refusal: auth.WrongCredential, Reason: fmt.Sprintf("the account ended on %s", lastDay(a.ends))}
	}
	decision.Grants, decision.Ends = a.grants, a.ends
	return decision
}

// lastDay is the day on which something that ends at t was still valid, in UTC.
func lastDay(t time.Time) string { return t.Add(-time.Nanosecond).UTC().Format(time.DateOnly) }

// Grants implements auth.Licenser: the file's users are the confirmed users of the
// other source, or its subjects if it confirms no users. One who is suspended has no
// grants.
func (s *source) Grants(_ context.Context, who auth.Account) (auth.Grants, error) {
	user := who.User
	if user == "" {
		user = who.Subject
	}
	a := s.accounts.Current()[user]
	if a.suspended != "" {
		return auth.Grants{}, nil
	}
	return a.grants, nil // none outlives the account
}

func outcome(ctx context.Context, decision auth.Decision, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "timeout"
	case ctx.Err() != nil:
		return "canceled"
	case err != nil:
		return "error"
	case decision.Refusal != "":
		return "refused"
	}
	return "ok"
}
