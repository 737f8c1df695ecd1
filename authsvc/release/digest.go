package release

import (
	"encoding/hex"
	"strings"
)

// A digest is a content's digest in binary. The zero digest is none.
type digest struct {
	head [32]byte // sha256, or the first half of sha512
	tail [32]byte // the second half of sha512
	long bool     // sha512
}

// The algorithms' prefixes in text.
const (
	prefix256 = "sha256:"
	prefix512 = "sha512:"
)

// parseDigest parses a digest: algorithm, colon, lower case hex digits (Image
// Specification 1.1, "Digests").
func parseDigest(s string) (digest, bool) {
	var d digest
	text, ok := strings.CutPrefix(s, prefix256)
	if ok {
		return d, len(text) == 64 && decode(d.head[:], text)
	}
	text, d.long = strings.CutPrefix(s, prefix512)
	return d, d.long && len(text) == 128 && decode(d.head[:], text[:64]) && decode(d.tail[:], text[64:])
}

// decode decodes lower case hex; the other case would be a second name for the
// same thing.
func decode(to []byte, text string) bool {
	for i := range len(text) {
		if 'A' <= text[i] && text[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// String returns the digest as text.
func (d digest) String() string {
	if d.long {
		return prefix512 + hex.EncodeToString(d.head[:]) + hex.EncodeToString(d.tail[:])
	}
	return prefix256 + hex.EncodeToString(d.head[:])
}

// schemaSuffixes are how tags of the referrers tag schema (Distribution
// Specification 1.1, "Referrers tag schema") and of cosign end after the
// digest of what they belong to.
var schemaSuffixes = [...]string{"", ".sig", ".att", ".sbom"}

// schemaTag returns the beginning of the tags that belong to d.
func (d digest) schemaTag() string { return strings.Replace(d.String(), ":", "-", 1) }

// Subject returns the digest that a tag of the referrers tag schema, or of
// cosign, belongs to: sha256-<hex>, and the same with .sig, .att or .sbom.
func Subject(tag string) (digest string, ok bool) {
	d, ok := subject(tag)
	if !ok {
		return "", false
	}
	return d.String(), true
}

func subject(tag string) (digest, bool) {
	if !strings.HasPrefix(tag, "sha256-") && !strings.HasPrefix(tag, "sha512-") {
		return digest{}, false
	}
	stem, suffix, dotted := strings.Cut(tag, ".")
	switch {
	case !dotted, suffix == "sig", suffix == "att", suffix == "sbom":
		return parseDigest(strings.Replace(stem, "-", ":", 1))
	}
	return digest{}, false
}
