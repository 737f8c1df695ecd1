package decision

import (
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Subject is who is asking, as far as is known.
type Subject struct {
	// Name is the source's name for the account, or a hash of the secret if the
	// source has none. Until a source has accepted the credential it is a hash
	// of the typed user, since people paste secrets there. Empty without a
	// credential.
	Name string
	// Unverified is the user typed with an accepted secret, if the source does
	// not confirm it.
	Unverified string
}

// unknown names the caller of a credential that has not been accepted yet.
func (d *Decider) unknown(presented credential.Credential) Subject {
	return Subject{Name: Unknown(d.Key, presented.User)}
}

// Unknown is the name of a user whom nobody has confirmed.
func Unknown(key *credential.Key, user string) string {
	return "user:" + key.Hash("user", user).Short()
}

// accepted names the caller of an accepted credential.
func accepted(presented credential.Credential, decision auth.Decision) Subject {
	s := Subject{Name: decision.Subject}
	if decision.User == "" {
		s.Unverified = presented.User
	}
	return s
}

// String shows both names.
func (s Subject) String() string {
	if s.Unverified == "" {
		return s.Name
	}
	return s.Name + " (unverified: " + s.Unverified + ")"
}
