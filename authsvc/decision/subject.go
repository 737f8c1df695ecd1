package decision

import (
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Subject is who asks, as far as that is known.
type Subject struct {
	// Name is the source's name of the account; a hash of the secret if the
	// source names none; a hash of the typed user as long as no source has
	// accepted the credential, since people paste secrets there. Empty without
	// a credential.
	Name string
	// Unverified is the user that was typed with an accepted secret, if the
	// source does not confirm it.
	Unverified string
}

// unknown names who has presented a credential that nobody has accepted yet.
func (d *Decider) unknown(presented credential.Credential) Subject {
	return Subject{Name: "user:" + d.Key.Hash("user", presented.User).Short()}
}

// accepted names who has presented an accepted credential.
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
