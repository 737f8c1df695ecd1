// Package auth finds out who a customer is and what the customer has licensed.
//
// A Source asks somebody who knows; package auth/kloudless is the first. A Cache
// stands in front of the source, and is what the rest of authsvc asks. It
// remembers answers, serves known customers through an outage, and lets package
// guard limit what unknown credentials may cost. Package entitlement decides what
// grants allow.
//
// Where to read on: cache.go has the order of things, ask.go when the source is
// asked, store.go what is remembered, file.go what survives a restart.
package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Source knows customers and licenses.
//
// It returns an error only if it could not find out: it is down, slow, or
// answers what cannot be understood. That it knows the credential and refuses
// it is a Decision. The two must never be mixed: a customer who is told "wrong
// password" during an outage changes a password that was right.
type Source interface {
	Authenticate(context.Context, credential.Credential) (Decision, error)
	// Bearer says whether the secret alone names the account, as a bearer
	// token does and a password does not.
	Bearer() bool
}

// ErrUnreadable is in the error of a Source that has answered about one
// credential, neither yes nor no: it cannot read the credential, or what it says
// of the account cannot be understood. To whoever presents the credential it is
// an outage; of others it says nothing.
var ErrUnreadable = errors.New("the source's answer about this credential is neither yes nor no")

// A Caller is who presents a credential, and from where.
type Caller struct {
	credential.Credential
	// Address is the client's; invalid if it is not known.
	Address netip.Addr
}

// A Decision is what is said of a credential. It is shared between requests
// and must not be changed.
type Decision struct {
	// Refusal is why the credential is not accepted; empty if it is.
	Refusal Refusal
	// RetryAfter is when to come back, in whole seconds; of TooManyGuesses and
	// TooBusy alone.
	RetryAfter time.Duration
	// Subject is the source's own name of the account: an account id, or the
	// e-mail that it confirms. Empty if the source names none; a Cache then
	// says a hash of the secret.
	Subject string
	// User is the user name that the source confirms for the secret; empty if
	// it confirms none. A Cache refuses any other.
	User string
	// Grants are the customer's rights, ended ones included, so that a
	// refusal can say what has ended. No grants, no rights.
	Grants Grants
	// Cache tells where the decision comes from, for logs and metrics.
	Cache CacheState
}

// A Refusal is a reason not to accept a credential, fit for a log and a
// metric's label.
type Refusal string

// The refusals.
const (
	// WrongCredential: the source does not know the secret.
	WrongCredential Refusal = "credential"
	// WrongAccount: the secret is good, but not of the user who was typed.
	WrongAccount Refusal = "account"
	// TooManyGuesses: the credential was not looked at, because too many
	// others were wrong.
	TooManyGuesses Refusal = "guesses"
	// TooBusy: the credential was not looked at, because too many others that
	// nobody knows are. It says nothing of the caller.
	TooBusy Refusal = "busy"
)

// A CacheState tells how a Decision was come by.
type CacheState string

// The cache states.
const (
	// Miss: the source was asked for this request.
	Miss CacheState = "miss"
	// Hit: the decision is younger than its time to live.
	Hit CacheState = "hit"
	// Stale: the decision is older, and the source did not answer in time.
	Stale CacheState = "stale"
)
