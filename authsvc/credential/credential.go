// Package credential parses what a customer presents (RFC 7617, Basic), keeps the
// secret from being printed (secret.go), and makes keyed hashes that can be stored
// and logged in its place (key.go). Package auth finds out whose credential it is.
package credential

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// MaxHeader is the longest accepted Authorization header value, in bytes.
// docker, podman and the container runtimes send well under 1 KB.
const MaxHeader = 8 << 10

// A Flaw says why an Authorization header is not a Basic credential. All flaws get
// 401; they differ so that the answer can say what to do. A Flaw contains nothing
// from the header.
type Flaw string

// The flaws; None means that the credential has been read.
const (
	None      Flaw = ""
	Missing   Flaw = "no Authorization header"
	NotBasic  Flaw = "the authorization scheme is not Basic"
	Malformed Flaw = "malformed Basic credential"
	TooLong   Flaw = "the Authorization header is longer than 8 KB"
)

// A Credential is a customer's e-mail and API token (user-id and password in
// RFC 7617).
type Credential struct {
	User   string
	Secret Secret
}

// LogValue implements slog.LogValuer. It shows the user only.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.User) }

// ParseBasic parses the values of a request's Authorization headers (RFC 7617).
// The user ends at the first colon, so the password may contain colons. Both parts
// must be non-empty UTF-8 without control characters. More than one header is
// refused, because another reader might choose a different one.
func ParseBasic(values []string) (Credential, Flaw) {
	switch len(values) {
	case 0:
		return Credential{}, Missing
	case 1:
	default:
		return Credential{}, Malformed
	}
	value := values[0]
	if value == "" {
		return Credential{}, Missing
	}
	if len(value) > MaxHeader {
		return Credential{}, TooLong
	}
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return Credential{}, NotBasic
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(token, " "))
	if err != nil || strings.ContainsAny(token, "\r\n") { // which the decoder skips
		return Credential{}, Malformed
	}
	user, password, found := strings.Cut(string(decoded), ":")
	if !found || !printable(user) || !printable(password) {
		return Credential{}, Malformed
	}
	return Credential{User: user, Secret: NewSecret(password)}, None
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
