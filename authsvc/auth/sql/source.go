package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// A source is a database of customers, of licenses, or of both.
type source struct {
	db *database
	// account and grants are nil if the source does not have them.
	account, grants *query
	passwords       *password.Verifier
	observe         func(ctx context.Context, outcome string, d time.Duration)
}

// Bearer implements auth.Source: the query finds the user's secrets.
func (s *source) Bearer() bool { return false }

// maxReadings is how often a look-up reads the account. Two are usual for a password,
// and none is right if the hash changed meanwhile.
const maxReadings = 3

// Authenticate implements auth.Source. Expensive hashes are computed between two
// transactions, so that guesses do not occupy connections. The decision comes from the
// second one alone.
func (s *source) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	if !acceptable(presented.User, maxUser) {
		return auth.Decision{Refusal: auth.NotMine}, nil
	}
	compared := &hashes{verifier: s.passwords, secret: presented.Secret, known: map[string]verdict{}}
	for range maxReadings {
		account, err := s.look(ctx, presented.User, compared)
		if err != nil {
			return auth.Decision{}, err
		}
		if len(account.secrets) == 0 {
			err := s.passwords.Dummy(ctx, presented.Secret)
			return auth.Decision{Refusal: auth.NotMine}, err
		}
		if account.complete {
			return account.decision, nil
		}
		if err := compared.compute(ctx); err != nil {
			return auth.Decision{}, err
		}
		// Only an acceptance needs grants.
		decision, settled, err := compared.judge(ctx, account.secrets)
		if err != nil || settled && (decision.Refusal != "" || s.grants == nil) {
			return decision, err
		}
	}
	return auth.Decision{}, unreadable("account: the hashes change with every reading")
}

// An account is what one transaction found.
type account struct {
	secrets  []secret
	decision auth.Decision
	// complete: the decision is final, and has its grants. Else there are hashes
	// to compute.
	complete bool
}

// look reads an account in one transaction, and its grants if the secret is right.
func (s *source) look(ctx context.Context, user string, compared *hashes) (account, error) {
	var found account
	start := time.Now()
	err := s.db.read(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		found = account{}
		if found.secrets, err = s.readSecrets(ctx, tx, user); err != nil {
			return err
		}
		if found.decision, found.complete, err = compared.judge(ctx, found.secrets); err != nil || !found.complete || found.decision.Refusal != "" || s.grants == nil {
			return err
		}
		found.decision.Grants, err = s.readGrants(ctx, tx, auth.Account{Subject: found.decision.Subject, User: found.decision.User})
		return err
	})
	s.observed(ctx, start, err, len(found.secrets) == 0 || found.decision.Refusal != "")
	return found, err
}

// observed tells the outcome of a transaction.
func (s *source) observed(ctx context.Context, start time.Time, err error, refused bool) {
	outcome := "ok"
	var f *failure
	switch {
	case errors.As(err, &f):
		outcome = f.outcome
	case err != nil:
		outcome = "error"
	case refused:
		outcome = "refused"
	}
	s.observe(ctx, outcome, time.Since(start))
}

func (s *source) readSecrets(ctx context.Context, tx *sql.Tx, user string) ([]secret, error) {
	var secrets []secret
	_, err := s.account.run(ctx, tx, map[string]string{"user": user}, func(r row) error {
		secret, err := parseSecret(r)
		secrets = append(secrets, secret)
		return err
	})
	return secrets, err
}

// Grants implements auth.Licenser.
func (s *source) Grants(ctx context.Context, a auth.Account) (grants auth.Grants, err error) {
	start := time.Now()
	err = s.db.read(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		grants, err = s.readGrants(ctx, tx, a)
		return err
	})
	s.observed(ctx, start, err, false)
	return grants, err
}

func (s *source) readGrants(ctx context.Context, tx *sql.Tx, a auth.Account) (auth.Grants, error) {
	values := map[string]string{"subject": a.Subject, "user": a.User}
	for _, name := range s.grants.parameters {
		if values[name] == "" {
			return auth.Grants{}, s.grants.failed(unreadable("the query needs :%s, and the account has none; select it in the query account, or use the other of :subject and :user", name))
		}
		if !acceptable(values[name], maxUser) {
			return auth.Grants{}, s.grants.failed(unreadable("expected at most %d bytes of printable UTF-8 for :%s, found something else", maxUser, name))
		}
	}
	var list []auth.Grant
	_, err := s.grants.run(ctx, tx, values, func(r row) error {
		grants, err := parseGrants(r)
		if list = append(list, grants...); len(list) > jq.MaxGrants {
			return fmt.Errorf("expected at most %d grants, found more", jq.MaxGrants)
		}
		return err
	})
	if err != nil {
		return auth.Grants{}, err
	}
	return auth.NewGrants(list...), nil
}

// acceptable says whether a text may go to a server: UTF-8 without control characters,
// of 1 to limit bytes.
func acceptable(text string, limit int) bool {
	return text != "" && len(text) <= limit && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
