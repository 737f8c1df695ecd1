package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// What Check presents is nobody's: example.invalid belongs to no one (RFC 6761,
// section 6.4), and the secret says what it is.
const (
	nobody       = "check-config@example.invalid"
	nobodySecret = "authsvc-check-config-online-is-no-secret"
)

// Check asks the service as for a customer, with a credential that is nobody's. The
// service must refuse it, in a way that the settings recognize as a refusal; so one
// request shows that the service can be reached, that its certificate is trusted, that
// it takes the service credential, and that a wrong password will not look like an
// outage. No customer's credential is sent.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if s.check != nil {
		if err := s.checkRefuses(ctx); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	}
	if s.licenses == nil || s.licenses.credential != nil {
		return nil
	}
	w := walk{Source: s, endpoint: s.licenses}
	u, err := w.first(auth.Account{Subject: nobody, User: nobody})
	if err != nil {
		return fmt.Errorf("licenses.url: %w", err)
	}
	a, err := s.ask(ctx, s.licenses, u, nil)
	switch {
	case err != nil:
		return fmt.Errorf("licenses.url: %w", err)
	case a.verdict == accepted || w.ends(a, 1):
		return nil
	case a.status == http.StatusNotFound:
		return fmt.Errorf("licenses.url: %w, asked about nobody; if it means that the account is unknown, add it to licenses.none_statuses", a.doubt)
	}
	return fmt.Errorf("licenses.url: %w", a.doubt)
}

func (s *Source) checkRefuses(ctx context.Context) error {
	presented := credential.Credential{User: nobody, Secret: credential.NewSecret(nobodySecret)}
	u, err := s.check.url.expand(names{user: nobody})
	if err != nil {
		return err
	}
	a, err := s.ask(ctx, s.check, u, &presented)
	var refusal errRefused
	switch {
	case errors.As(err, &refusal):
		return nil
	case err != nil:
		return err
	case a.verdict == notMine:
		return nil
	case a.verdict == accepted:
		return fmt.Errorf("expected the service to refuse the invented user %s, found it accepted: anybody could log in", nobody)
	}
	return fmt.Errorf("expected the service to refuse the invented user %s, as the settings recognize a refusal: %w", nobody, a.doubt)
}
