package tokenfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// MaxToken is the maximum length of a token, in bytes of base64. ECR's tokens have
// no fixed size; 2.4 and 4.8 KB have been seen.
const MaxToken = 16 << 10

// A Token opens one registry.
type Token struct {
	// Host is the registry's host name, with a port if that is not 443.
	Host string
	// Value is the base64 of user:password.
	Value Value
	// ExpiresAt is zero for a token that never expires.
	ExpiresAt time.Time
	// FetchedAt is later than the previous token's.
	FetchedAt time.Time
}

// Authorization returns the value of the registry's Authorization header.
func (t Token) Authorization() string { return "Basic " + t.Value.reveal() }

// Usable returns nil if the registry should accept the token at now, else why not.
func (t Token) Usable(now time.Time) error {
	switch {
	case t.Host == "" || t.Value.reveal() == "":
		return errors.New("there is no token")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return fmt.Errorf("the token expired at %s", t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// LogValue implements slog.LogValuer: host and times.
func (t Token) LogValue() slog.Value {
	expires := "never"
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return slog.GroupValue(slog.String("host", t.Host),
		slog.Time("fetched_at", t.FetchedAt.UTC()), slog.String("expires_at", expires))
}

// Equal says whether all fields of both tokens are equal.
func (t Token) Equal(other Token) bool {
	return t.Host == other.Host && t.Value.reveal() == other.Value.reveal() &&
		t.ExpiresAt.Equal(other.ExpiresAt) && t.FetchedAt.Equal(other.FetchedAt)
}

// SameCredential says whether both are for the same registry, user and password,
// whenever they were fetched.
func (t Token) SameCredential(other Token) bool {
	return t.Host == other.Host && t.Value.reveal() == other.Value.reveal()
}

// leastPiece is how many bytes of a token are worth hiding.
const leastPiece = 12

// Redact replaces the token and the password in it, and pieces of them, wherever they
// occur in text: a registry's answer goes through it before it is logged, and such an
// answer may be cut off.
func (t Token) Redact(text string) string {
	secrets := []string{t.Value.reveal()}
	if plain, err := base64.StdEncoding.DecodeString(secrets[0]); err == nil {
		_, password, _ := strings.Cut(string(plain), ":")
		secrets = append(secrets, password)
	}
	hidden := make([]bool, len(text))
	for _, secret := range secrets {
		hide(hidden, text, secret)
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(redacted)
		}
	}
	return b.String()
}

// hide marks what text has of a secret.
func hide(hidden []bool, text, secret string) {
	n := min(leastPiece, len(secret))
	if n == 0 {
		return
	}
	pieces := map[string]bool{}
	for i := range len(secret) - n + 1 {
		pieces[secret[i:i+n]] = true
	}
	for i := range len(text) - n + 1 {
		if pieces[text[i:i+n]] {
			for j := range n {
				hidden[i+j] = true
			}
		}
	}
}

// Check returns nil if the token can be written to a file, else which part is
// wrong. Errors reveal nothing of the token's value.
func (t Token) Check() error {
	if err := CheckHost(t.Host); err != nil {
		return err
	}
	if t.FetchedAt.IsZero() {
		return errors.New("fetchedAt: expected a time, found none")
	}
	return checkValue(t.Value.reveal())
}

func checkValue(value string) error {
	if len(value) > MaxToken {
		return fmt.Errorf("token: expected at most %d bytes, found %d", MaxToken, len(value))
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(value)
	// The decoder ignores line breaks, but in a header they would end it.
	if err != nil || strings.ContainsAny(value, "\r\n") {
		return errors.New("token: expected the base64 of user:password, found something else")
	}
	user, password, found := strings.Cut(string(plain), ":")
	if !found || user == "" || password == "" {
		return errors.New("token: expected the base64 of user:password, found the base64 of something else")
	}
	if strings.ContainsFunc(string(plain), func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("token: expected user and password without control characters (RFC 7617, section 2)")
	}
	return nil
}
