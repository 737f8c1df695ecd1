package auth

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// A saved is what a file has of acceptances. It holds no secret: a credential
// is the hash under the Cache's key.
type saved struct {
	Version int `json:"version"`
	// Source is a fingerprint of the source and its configuration: what
	// another one said is not believed.
	Source  string       `json:"source"`
	Entries []savedEntry `json:"entries"`
}

type savedEntry struct {
	Hash    string       `json:"hash"` // in hexadecimal
	Asked   time.Time    `json:"asked"`
	Subject string       `json:"subject"`
	User    string       `json:"user,omitempty"`
	Typed   string       `json:"typed,omitempty"` // a keyed hash of the user who was typed, in hexadecimal
	Ends    time.Time    `json:"ends,omitzero"`
	Grants  []savedGrant `json:"grants"`
}

type savedGrant struct {
	Repository string    `json:"repository"`
	Tag        string    `json:"tag"`
	Expires    time.Time `json:"expires,omitzero"`
	Withdrawn  bool      `json:"withdrawn,omitempty"`
	License    string    `json:"license"`
}

const savedVersion = 1

// Save writes the acceptances into a file, atomically, with mode 0600: a MAC
// under the Cache's key in the first line, so that nobody without the key can
// add to them; then JSON.
func (c *Cache) Save(path, source string) error {
	content := saved{Version: savedVersion, Source: source}
	for _, k := range c.accepted.all() {
		e := savedEntry{Hash: hex.EncodeToString(k.hash[:]), Asked: k.asked, Subject: k.decision.Subject, User: k.decision.User, Ends: sooner(k.decision.Ends)}
		if k.user != (credential.Hash{}) {
			e.Typed = hex.EncodeToString(k.user[:])
		}
		for g := range k.decision.Grants.All() {
			e.Grants = append(e.Grants, savedGrant{g.Repository.String(), g.Tag.String(), sooner(g.Expires), g.Withdrawn, g.License})
		}
		content.Entries = append(content.Entries, e)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("saving accepted credentials: %w", err)
	}
	if err := renameio.WriteFile(path, append(c.mac(body), body...), 0o600); err != nil {
		return fmt.Errorf("saving accepted credentials: %w", err)
	}
	return nil
}

// lastTime is the last second that RFC 3339, and so JSON, can write.
var lastTime = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// sooner returns a time that JSON can write: a license until 9999-12-31 ends in
// the year 10000.
func sooner(t time.Time) time.Time {
	if t.After(lastTime) {
		return lastTime
	}
	return t
}

// Load reads a file written by Save with the same key for the same source. Entries
// keep their original age. After an error nothing was loaded;
// errors.Is(err, fs.ErrNotExist) means that there is no file.
func (c *Cache) Load(path, source string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("loading accepted credentials: %w", err)
	}
	entries, err := c.parse(content, source, time.Now())
	if err != nil {
		return fmt.Errorf("loading accepted credentials from %s: %w", path, err)
	}
	for _, k := range slices.Backward(entries) { // those that were used last come last
		c.accepted.put(k.hash, k.entry)
	}
	return nil
}

// mac is the first line of a file with a body.
func (c *Cache) mac(body []byte) []byte {
	sum := c.hashes.Hash("acceptances", string(body))
	return []byte(hex.EncodeToString(sum[:]) + "\n")
}

func (c *Cache) parse(content []byte, source string, now time.Time) ([]kept, error) {
	mac, body, _ := bytes.Cut(content, []byte("\n"))
	if !hmac.Equal(append(mac, '\n'), c.mac(body)) {
		return nil, errors.New("expected a file saved with the current key, found another or a damaged one")
	}
	var read saved
	if err := json.Unmarshal(body, &read); err != nil {
		return nil, err
	}
	if read.Version != savedVersion || read.Source != source {
		return nil, errors.New("it was saved by another version or with other settings for the source")
	}
	entries := make([]kept, 0, len(read.Entries))
	for i, e := range read.Entries {
		var hash credential.Hash
		if len(e.Hash) != hex.EncodedLen(len(hash)) {
			return nil, fmt.Errorf("entry %d: expected a hash", i)
		}
		if _, err := hex.Decode(hash[:], []byte(e.Hash)); err != nil {
			return nil, fmt.Errorf("entry %d: expected a hash", i)
		}
		age := now.Sub(e.Asked)
		if age < 0 || age >= knownFor {
			continue // a clock was wrong, or it is too old
		}
		// From now on by the monotonic clock: one that is put back must not make
		// an acceptance younger.
		made := entry{asked: now.Add(-age), decision: Decision{Subject: e.Subject, User: e.User, Ends: e.Ends}}
		if len(e.Typed) == hex.EncodedLen(len(made.user)) {
			_, _ = hex.Decode(made.user[:], []byte(e.Typed)) // of no weight
		}
		var grants []Grant
		for _, g := range e.Grants {
			repository, errR := NewPattern(g.Repository)
			tag, errT := NewPattern(g.Tag)
			if err := errors.Join(errR, errT); err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			grants = append(grants, Grant{repository, tag, g.Expires, g.Withdrawn, g.License})
		}
		made.decision.Grants = NewGrants(grants...)
		entries = append(entries, kept{entry: made, hash: hash})
	}
	return entries, nil
}
