// Package credential parses what a customer presents, and keeps it from
// being printed.
package credential

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// MaxHeader is the longest Authorization header value, in bytes, that is
// looked at. docker, podman and the container runtimes send well under 1 KB.
const MaxHeader = 8 << 10

// What a request's Authorization header can lack. All of them are answered by
// 401; they are told apart so that the answer can say what to do.
var (
	ErrMissing   = errors.New("no Authorization header")
	ErrScheme    = errors.New("authorization scheme is not Basic")
	ErrMalformed = errors.New("malformed Basic credential")
	ErrTooLong   = errors.New("authorization header is longer than 8 KB")
)

// A Credential is a customer's e-mail and API token, by the names of
// RFC 7617: user-id and password.
type Credential struct {
	User   string
	Secret Secret
}

// LogValue implements slog.LogValuer. It shows the user alone.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.User) }

// ParseBasic parses the values of a request's Authorization headers by
// RFC 7617. The user ends at the first colon, so a password may hold more of
// them; both parts are UTF-8 without control characters, and neither is empty.
// More than one header is refused: which of them a later reader takes is
// anyone's guess.
//
// Errors are the Err values of this package, and hold nothing of the input.
func ParseBasic(values []string) (Credential, error) {
	switch len(values) {
	case 0:
		return Credential{}, ErrMissing
	case 1:
	default:
		return Credential{}, ErrMalformed
	}
	value := values[0]
	if value == "" {
		return Credential{}, ErrMissing
	}
	if len(value) > MaxHeader {
		return Credential{}, ErrTooLong
	}
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return Credential{}, ErrScheme
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(token, " "))
	if err != nil || strings.ContainsAny(token, "\r\n") { // which the decoder skips
		return Credential{}, ErrMalformed
	}
	user, password, found := strings.Cut(string(decoded), ":")
	if !found || !printable(user) || !printable(password) {
		return Credential{}, ErrMalformed
	}
	return Credential{User: user, Secret: NewSecret(password)}, nil
}

// printable says whether s is a non-empty UTF-8 text without control
// characters (RFC 7617, section 2).
func printable(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return false
		}
	}
	return true
}
