package probe

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// ReadCredential reads a file with USER:TOKEN, and perhaps an end of line. What it
// says of a bad one does not show it.
func ReadCredential(path string) (credential.Credential, error) {
	text, err := system.ReadFile(path, credential.MaxHeader)
	if err != nil {
		return credential.Credential{}, fmt.Errorf("%s: %w", path, err)
	}
	line := strings.TrimRight(string(text), "\r\n")
	c, flaw := credential.ParseBasic([]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(line))})
	switch flaw {
	case credential.None:
		return c, nil
	case credential.TooLong:
		return c, fmt.Errorf("%s: expected USER:TOKEN of at most 6 KB, found more", path)
	}
	return c, errors.New(path + ": expected USER:TOKEN in one line of printable text, found something else")
}

// An Account recognizes the made-up pulls by their credential. It keeps only a keyed
// hash of it. Its zero value recognizes none.
type Account struct {
	user string
	key  *credential.Key
	hash credential.Hash
}

// NewAccount makes an Account.
func NewAccount(c credential.Credential, key *credential.Key) Account {
	return Account{strings.Clone(c.User), key, hash(key, c)}
}

// Is says whether a credential is the account's. Nobody else knows it, so it can be
// trusted not to be a customer's.
func (a Account) Is(c credential.Credential) bool {
	return a.key != nil && c.User == a.user && hash(a.key, c) == a.hash
}

func hash(key *credential.Key, c credential.Credential) credential.Hash {
	return key.Hash("probe", c.User, c.Secret.Reveal())
}
