package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/password"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const (
	// cheap begins a hash that is computed at once, within a transaction.
	cheap = "sha256:"
	// maxExpensive bounds the other hashes of one account: each takes tens of
	// milliseconds or more, and a wrong secret is compared with all of them.
	maxExpensive = 10
)

// hashes compare one secret, each hash once.
type hashes struct {
	verifier *password.Verifier
	secret   credential.Secret
	known    map[string]verdict
	// wanted have expensive hashes that have not been computed.
	wanted []secret
}

type verdict struct {
	match bool
	err   error // it cannot be read
}

// judge decides on an account by the hashes that are known. If it takes others to
// decide, it is not settled and they are wanted. A reason is only for those who have
// the secret.
func (h *hashes) judge(ctx context.Context, secrets []secret) (decision auth.Decision, settled bool, err error) {
	h.wanted = nil
	decision.Refusal = auth.WrongCredential
	var broken error
	for i, s := range secrets {
		v, ok := h.known[s.hash]
		if !ok && strings.HasPrefix(s.hash, cheap) {
			if v, err = h.check(ctx, s.hash); err != nil {
				return auth.Decision{}, false, err
			}
			ok = true
		}
		switch refusal := s.refusal(time.Now()); {
		case !ok:
			h.wanted = append(h.wanted, s)
		case v.err != nil:
			broken = unreadable("account: row %d: hash: %v", i+1, password.Validate(s.hash, false))
		case v.match && refusal == "":
			return auth.Decision{Subject: s.subject, User: s.user, Ends: s.ends}, true, nil
		case v.match:
			decision.Reason = refusal
		}
	}
	switch {
	case len(h.wanted) > maxExpensive:
		return auth.Decision{}, false, unreadable("account: expected at most %d rows with hashes other than sha256:, found %d", maxExpensive, len(h.wanted))
	case len(h.wanted) > 0:
		return auth.Decision{}, false, nil
	case decision.Reason == "" && broken != nil:
		return auth.Decision{}, false, broken
	}
	return decision, true, nil
}

// compute computes the hashes that are wanted, until one accepts the secret.
func (h *hashes) compute(ctx context.Context) error {
	for _, s := range h.wanted {
		v, err := h.check(ctx, s.hash)
		if err != nil || v.match && s.refusal(time.Now()) == "" {
			return err
		}
	}
	return nil
}

// check computes one hash. Its error says that there was no time to.
func (h *hashes) check(ctx context.Context, hash string) (verdict, error) {
	match, err := h.verifier.Check(ctx, h.secret, hash)
	if err != nil && !errors.Is(err, auth.ErrUnreadable) {
		return verdict{}, err
	}
	h.known[hash] = verdict{match, err}
	return h.known[hash], nil
}

// refusal is why a customer with this secret is refused; empty if nothing is.
func (s secret) refusal(now time.Time) string {
	switch {
	case s.reason != "":
		return s.reason
	case s.ends.IsZero() || now.Before(s.ends):
		return ""
	case s.name != "":
		return fmt.Sprintf("the token %q has expired", s.name)
	}
	return "the credential has expired"
}
