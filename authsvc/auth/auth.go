// Package auth turns a customer's credential into what the customer licensed.
package auth

import (
	"context"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// An Authenticator asks a vendor about a credential.
//
// It returns an error only if it could not find out: the vendor's API is
// down, slow, or answers what cannot be understood. That the vendor knows the
// credential and refuses it is a Decision. The two must never be mixed: a
// customer who is told "wrong password" during an outage changes a password
// that was right.
type Authenticator interface {
	Authenticate(context.Context, credential.Credential) (Decision, error)
}

// A Decision is what a vendor says of a credential. It is shared between
// requests and must not be changed.
type Decision struct {
	// Refusal is why the credential is not accepted; empty if it is.
	Refusal Refusal
	// Subject is the source's own name of the account: an account id, or the
	// e-mail that it confirms; empty if the source names none. It is never
	// just what the customer typed.
	Subject string
	// User is the user name that the source confirms for the secret; empty if
	// it confirms none. The Cache compares it with what was typed.
	User string
	// Grants are the customer's rights, ended ones included, so that a
	// refusal can say what has ended. No grants, no rights.
	Grants []Grant
	// Cache tells where the decision comes from, for logs and metrics.
	Cache CacheState
}

// A Refusal is a reason not to accept a credential, fit for a log and a
// metric's label.
type Refusal string

// The refusals.
const (
	// WrongCredential: the vendor does not know the token.
	WrongCredential Refusal = "credential"
	// WrongAccount: the token is good, but the e-mail is not its account's.
	WrongAccount Refusal = "account"
)

// A CacheState tells how a Decision was come by.
type CacheState string

// The cache states.
const (
	// Miss: the vendor's API was asked for this request.
	Miss CacheState = "miss"
	// Hit: the decision is younger than its time to live.
	Hit CacheState = "hit"
	// Stale: the decision is older, and the vendor's API could not be asked.
	Stale CacheState = "stale"
)

// A Grant is a right to pull from the repositories and the tags that match,
// until a moment.
type Grant struct {
	// Repository and Tag are patterns as path.Match has them: "*" does not
	// cross a "/".
	Repository, Tag Pattern
	// Expires is the first moment at which the grant is no longer valid; zero
	// means never.
	Expires time.Time
	// Withdrawn: the vendor ended the license, whatever Expires says.
	Withdrawn bool
	// License is the vendor's name for the license that gives the grant.
	License string
}

// ValidAt says whether the grant is in force at t.
func (g Grant) ValidAt(t time.Time) bool {
	return !g.Withdrawn && (g.Expires.IsZero() || t.Before(g.Expires))
}
