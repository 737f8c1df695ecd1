// Package auth finds out who a customer is and what the customer has licensed.
//
// A Source asks one of the vendor's systems; each Kind of source has a package of
// its own below this one. A Cache sits in front of each source: it remembers
// answers, serves known customers through an outage, and lets package guard limit
// the cost of unknown credentials. A Chain asks one source after the other, and
// serves the rest of authsvc. Package entitlement decides what grants allow.
//
// Where to read on: chain.go and cache.go have the main path, ask.go decides when
// to ask a source, store.go holds what is remembered, file.go survives a restart.
// kind.go is what a new kind of source implements.
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
// It returns an error only if it could not find out: it is down, slow, or its
// answer cannot be understood. Refusing a credential is a Decision. The two must
// never be mixed: a customer who is told "wrong password" during an outage changes
// a password that was right.
type Source interface {
	Authenticate(context.Context, credential.Credential) (Decision, error)
	// Bearer says whether the secret alone names the account, as a bearer
	// token does and a password does not.
	Bearer() bool
}

// ErrUnreadable is wrapped by a Source's error when its answer about one credential
// is neither yes nor no: it cannot read the credential, or its answer about the
// account cannot be understood. For that caller it is an outage; it says nothing
// about others.
var ErrUnreadable = errors.New("the source's answer about this credential is neither yes nor no")

// A Caller is who presents a credential, and from where.
type Caller struct {
	credential.Credential
	// Address is the client's; invalid if it is not known.
	Address netip.Addr
	// Probe says that it is one of our own made-up pulls. The guard is for others.
	Probe bool
}

// A Decision is the answer about a credential. It is shared between requests and
// must not be changed.
type Decision struct {
	// Refusal is why the credential is not accepted; empty if it is.
	Refusal Refusal
	// Reason is the source's own reason for WrongCredential, for the customer:
	// "account suspended: …". Empty if it gives none. See CleanReason.
	Reason string
	// RetryAfter is when to come back, in whole seconds; only with
	// TooManyGuesses and TooBusy.
	RetryAfter time.Duration
	// Subject is the source's own name for the account: an account id, or the
	// e-mail that it confirms. If the source has none, a Cache sets a hash of
	// the secret. A Cache puts the source's name and a "/" before it.
	Subject string
	// User is the user name that the source confirms for the secret; empty if
	// it confirms none. A Cache refuses any other.
	User string
	// Ends is the end of the credential or the account that the source gave;
	// the acceptance is not used from then on, not even in an outage. Zero for
	// none.
	Ends time.Time
	// Grants are the customer's rights, ended ones included, so that a
	// refusal can say what has ended. No grants, no rights.
	Grants Grants
	// Cache tells where the decision comes from, for logs and metrics.
	Cache CacheState
}

// ended says whether the end that the source gave has come.
func (d Decision) ended(now time.Time) bool { return !d.Ends.IsZero() && !now.Before(d.Ends) }

// A Refusal is a reason not to accept a credential, fit for a log and a
// metric's label.
type Refusal string

// The refusals.
const (
	// WrongCredential: the source does not know the secret.
	WrongCredential Refusal = "credential"
	// NotMine: the source does not know the user, and another may. Only a Chain
	// sees it.
	NotMine Refusal = "not mine"
	// WrongAccount: the secret is good, but not of the user who was typed.
	WrongAccount Refusal = "account"
	// TooManyGuesses: the credential was not looked at, because too many
	// others were wrong.
	TooManyGuesses Refusal = "guesses"
	// TooBusy: the credential was not looked at, because too many other unknown
	// ones are. It says nothing about the caller.
	TooBusy Refusal = "busy"
)

// A CacheState tells where a Decision came from.
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
