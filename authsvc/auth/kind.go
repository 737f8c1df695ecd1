package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// A Kind is a kind of source, such as a web service or a database. Each has a
// package of its own below this one; package config lists them.
type Kind struct {
	// Name is what an entry of sources has as its kind.
	Name string
	// Keys are the kind's own settings, besides those that every source has.
	Keys settings.Table
	// Read checks the values of Keys. Its problems are the Reader's.
	Read func(*settings.Reader) Settings
}

// Settings are the checked settings of one source. They are values that can be
// marshaled as JSON: a decision is not valid under other settings than it was made
// with. A secret is named by its file, and is not among them.
type Settings interface {
	// New makes the source. It makes no network request: a source that is down
	// must not keep authsvc from starting. What it starts ends with ctx. Its
	// error begins with the name of the setting.
	New(ctx context.Context, env Environment) (Made, error)
}

// An Environment is what a source gets of the program.
type Environment struct {
	Logger *slog.Logger
	// Observe is told the outcome of each request to the source (ok, refused,
	// timeout, canceled, error, or a word of the kind's own) and its duration.
	// ctx is the request's: Peeking requests are not counted.
	Observe func(ctx context.Context, outcome string, d time.Duration)
	// Fault reports a fault that an operator must mend, such as a file that
	// cannot be read: a word for it, and what is wrong; nil if it is mended. It
	// shows in a metric and at /readyz. The log is up to the source.
	Fault func(what string, err error)
}

// Made is what a source's settings make.
type Made struct {
	// Source says who a customer is; nil if the source neither sends nor
	// compares the customer's secret. Such a source can only be named for
	// grants.
	Source Source
	// Licensed: the Source's decisions have the grants too.
	Licensed bool
	// Licenses tells the grants of an account without its secret; nil if the
	// source cannot.
	Licenses Licenser
	// Try says which grants the settings' expression makes of a saved answer; nil
	// if there is no such expression.
	Try func(ctx context.Context, answer []byte) ([]Grant, error)
	// Check asks the source whether it can be used: it can be reached, and
	// what the settings name exists. It is nil if there is nothing to ask.
	Check func(context.Context) error
}

// A Licenser knows what an account has licensed. An account that it does not know
// has no grants. An error means that it could not find out.
type Licenser interface {
	Grants(context.Context, Account) (Grants, error)
}

// An Account is a customer whose credential has been accepted.
type Account struct {
	// Subject is the source's own name for the account, without the source's
	// name; empty if it has none.
	Subject string
	// User is the user name that the source confirms; empty if it confirms
	// none. What was merely typed gives nobody a right.
	User string
}

// WithGrants returns a source that takes the grants of another's customers from l.
func WithGrants(s Source, l Licenser) Source { return &licensed{Source: s, licenses: l} }

type licensed struct {
	Source
	licenses Licenser
	// breaker is before licenses alone: while they cannot be asked, the Source
	// still tells who has been withdrawn. Nil for none.
	breaker *gobreaker.CircuitBreaker[Decision]
}

// A grantsError is an outage of the licenses of a customer whose credential is right. It
// says nothing about the source that accepted it.
type grantsError struct{ error }

func (e grantsError) Error() string { return "grants: " + e.error.Error() }
func (e grantsError) Unwrap() error { return e.error }

func ofGrants(err error) bool {
	_, ok := errors.AsType[grantsError](err)
	return ok
}

// Authenticate implements Source.
func (l *licensed) Authenticate(ctx context.Context, presented credential.Credential) (Decision, error) {
	decision, err := l.Source.Authenticate(ctx, presented)
	if err != nil || decision.Refusal != "" {
		return decision, err
	}
	account := Account{Subject: decision.Subject, User: decision.User}
	if account == (Account{}) {
		return Decision{}, grantsError{fmt.Errorf("%w: it names no subject and confirms no user to look up", ErrUnreadable)}
	}
	add := func() (Decision, error) {
		decision.Grants, err = l.licenses.Grants(ctx, account)
		return decision, err
	}
	if l.breaker == nil || Peeking(ctx) {
		decision, err = add()
	} else if decision, err = l.breaker.Execute(add); errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		err = errBreaker
	}
	if err != nil {
		return Decision{}, grantsError{err}
	}
	return decision, nil
}
