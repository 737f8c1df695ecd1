// Package web is the source for vendors whose customers a web service knows: an HTTPS
// request with the customer's credential, and jq expressions (package auth/jq) that
// read the answer. It works within bounds: secrets are sent only to that service and
// cannot be read on the way, and no answer can exhaust memory, connections, or time.
//
// Where to read on: source.go has the main path, pages.go asks for licenses, judge.go
// tells a refusal from an outage, template.go makes the URL, credential.go sends
// secrets, kind.go has the settings and their presets. Package auth/kloudless is a
// preset with settings of its own.
package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Source is an auth.Source, and an auth.Licenser if the licenses are asked for with
// the service credential.
type Source struct {
	config Config
	client *client
	judge  judge
	fault  func(what string, err error)

	check    *endpoint // nil for grants alone
	licenses *endpoint // nil if the licenses are in check's answer

	// The expressions; nil for none.
	reasonOf, subjectOf, userOf, endsOf, itemsOf, nextOf, grantsOf *jq.Expression
}

// An endpoint is a URL of the service, and what is sent there.
type endpoint struct {
	url        template
	method     string
	judge      judge
	credential *Credential // nil if the customer's is not sent
	service    bool        // the service credential is sent
}

// errRefused is a refusal by the service. It does not leave this package.
type errRefused struct{ reason string }

func (errRefused) Error() string { return "the service refuses the credential" }

// sendsUser says whether the service gets the user with the secret.
func (s *Source) sendsUser() bool {
	return s.config.Credential.sendsUser() || s.check.url.has("{user}")
}

// Bearer implements auth.Source: where no user is sent, the secret alone names the
// account. With a user, it is a password.
func (s *Source) Bearer() bool { return !s.sendsUser() }

// Authenticate implements auth.Source.
func (s *Source) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	decision, err := s.authenticate(ctx, presented)
	var refusal errRefused
	switch {
	case errors.Is(err, errUnsendable), errors.Is(err, errUnsendableSecret):
		return auth.Decision{Refusal: s.unsendable(err)}, nil
	case errors.As(err, &refusal):
		return auth.Decision{Refusal: auth.WrongCredential, Reason: refusal.reason}, nil
	case err != nil:
		return auth.Decision{}, err
	}
	return decision, nil
}

// unsendable is the refusal of what cannot be sent: the service has no such user, and no
// such token. If it tells its users from others, they may be another source's.
func (s *Source) unsendable(err error) auth.Refusal {
	if len(s.config.NotMine.Statuses) > 0 && (errors.Is(err, errUnsendable) || s.Bearer()) {
		return auth.NotMine
	}
	return auth.WrongCredential
}

func (s *Source) authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	u, err := s.check.url.expand(names{user: presented.User})
	if err != nil {
		return auth.Decision{}, err
	}
	first, err := s.ask(ctx, s.check, u, &presented)
	if err != nil {
		return auth.Decision{}, fmt.Errorf("account: %w", err)
	}
	switch first.verdict {
	case notMine:
		return auth.Decision{Refusal: auth.NotMine}, nil
	case unclear:
		return auth.Decision{}, fmt.Errorf("account: %w", first.doubt)
	}
	decision, err := s.account(ctx, first, presented.User)
	if err != nil {
		return auth.Decision{}, fmt.Errorf("account: %w", err)
	}
	if s.grantsOf == nil {
		return decision, nil
	}
	w := walk{Source: s, endpoint: s.check, presented: &presented}
	if s.licenses != nil {
		first, w.endpoint = nil, s.licenses
	}
	decision.Grants, err = w.grants(ctx, first, auth.Account{Subject: decision.Subject, User: decision.User})
	return decision, err
}

// ask asks for a URL of an endpoint. A refusal of the customer is errRefused.
func (s *Source) ask(ctx context.Context, e *endpoint, u *url.URL, presented *credential.Credential) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, e.method, u.String(), nil)
	if err != nil {
		return nil, errors.New("the URL cannot be asked for") // it holds a name
	}
	request.Header.Set("Accept", "application/json")
	if e.credential != nil {
		if err := e.credential.put(request, *presented); err != nil {
			return nil, err
		}
	}
	if e.service {
		err := s.config.Service.put(request)
		s.fault("service credential", err)
		if err != nil {
			return nil, err
		}
	}
	a, err := s.client.do(request, e.judge)
	switch {
	case err != nil:
		return nil, err
	case a.verdict == refused:
		return nil, errRefused{s.reason(ctx, a)}
	case a.verdict == unclear && e.service && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden):
		a.doubt = fmt.Errorf("%w; does the service accept the credential in service.credential_file?", a.doubt)
	}
	return a, nil
}

// reason is the service's own for a refusal; empty if it gives none that can be read.
func (s *Source) reason(ctx context.Context, a *answer) string {
	if s.reasonOf == nil {
		return ""
	}
	value, err := a.value()
	if err != nil {
		return ""
	}
	text, err := s.reasonOf.With(a.status).Optional(ctx, value, s.config.MaxBytes)
	if err != nil {
		return ""
	}
	return auth.CleanReason(text)
}

// account reads what the service says of the account. What is asked for must be
// there: an account without it is an outage for its customer.
func (s *Source) account(ctx context.Context, a *answer, typed string) (decision auth.Decision, err error) {
	if s.userOf == nil && s.subjectOf == nil && s.endsOf == nil {
		return auth.Decision{}, nil
	}
	value, err := a.value()
	if err != nil {
		return auth.Decision{}, err
	}
	var values []any
	if s.sendsUser() {
		values = []any{typed}
	}
	if s.userOf != nil {
		if decision.User, err = s.userOf.With(values...).Text(ctx, value); err != nil {
			return auth.Decision{}, fmt.Errorf("user: %w: %w", auth.ErrUnreadable, err)
		}
		decision.Subject = decision.User
	}
	if s.subjectOf != nil {
		if decision.Subject, err = s.subjectOf.With(values...).ID(ctx, value); err != nil {
			return auth.Decision{}, fmt.Errorf("subject: %w: %w", auth.ErrUnreadable, err)
		}
	}
	if s.endsOf != nil {
		if decision.Ends, err = s.endsOf.With(values...).Time(ctx, value); err != nil {
			return auth.Decision{}, fmt.Errorf("ends: %w: %w", auth.ErrUnreadable, err)
		}
	}
	return decision, nil
}
