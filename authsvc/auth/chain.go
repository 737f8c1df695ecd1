package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// A Member is a source in a Chain, behind a Cache of its own: its outages, its
// refusals and its bounds are no other source's.
type Member struct {
	*Cache
	// Users are the users that it is asked about, by patterns in lower case;
	// none for all. Other users' secrets are not sent there.
	Users []Pattern
}

// takes says whether the source may be asked about a user.
func (m Member) takes(user string) bool {
	return len(m.Users) == 0 || slices.ContainsFunc(m.Users, func(p Pattern) bool { return p.Match(user) })
}

// A Chain asks sources in their order, until one knows the user. Whoever is known to
// a source is that source's, so no outage of another one matters.
type Chain []Member

// Authenticate says whose credential it is. Only a source that does not know the
// user sends the question on: neither a refusal nor an outage does.
func (c Chain) Authenticate(ctx context.Context, caller Caller) (Decision, error) {
	return c.each(caller.Credential, func(m Member, last bool) (Decision, error) { return m.authenticate(ctx, caller, last) })
}

// each asks one source after the other.
func (c Chain) each(presented credential.Credential, ask func(m Member, last bool) (Decision, error)) (Decision, error) {
	asked := c.of(presented.User)
	if len(asked) > 1 {
		asked = knownFirst(asked, presented)
	}
	for i, m := range asked {
		decision, err := ask(m, i == len(asked)-1)
		if err != nil && m.name != "" {
			return decision, fmt.Errorf("source %s: %w", m.name, err)
		}
		if err != nil || decision.Refusal != NotMine {
			return decision, err
		}
	}
	return Decision{Refusal: WrongCredential}, nil
}

// of returns the sources that may be asked about a user.
func (c Chain) of(user string) Chain {
	if len(c) == 1 && len(c[0].Users) == 0 {
		return c
	}
	user = strings.ToLower(user)
	var asked Chain
	for _, m := range c {
		if m.takes(user) {
			asked = append(asked, m)
		}
	}
	return asked
}

// knownFirst returns the chain with the source first that has accepted the
// credential before.
func knownFirst(c Chain, presented credential.Credential) Chain {
	at := slices.IndexFunc(c, func(m Member) bool { return m.knows(presented) })
	if at <= 0 {
		return c
	}
	first := append(make(Chain, 0, len(c)), c[at])
	first = append(first, c[:at]...)
	return append(first, c[at+1:]...)
}

// Trouble says which sources fail; empty if none does.
func (c Chain) Trouble() string {
	var troubles []string
	for _, m := range c {
		if trouble := m.Trouble(); trouble != "" {
			troubles = append(troubles, strings.TrimPrefix(m.name+": "+trouble, ": "))
		}
	}
	return strings.Join(troubles, "; ")
}
