package graph

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Digest is a content's digest in binary.
type Digest struct {
	head [32]byte // sha256, or the first half of sha512
	tail [32]byte // the second half of sha512
	long bool     // sha512
}

// The algorithms' prefixes in text.
const (
	prefix256 = "sha256:"
	prefix512 = "sha512:"
)

// ParseDigest parses a digest: algorithm, colon, lower case hex digits (Image
// Specification 1.1, "Digests"). It knows sha256 and sha512.
func ParseDigest(s string) (Digest, bool) {
	var d Digest
	text, ok := strings.CutPrefix(s, prefix256)
	if ok {
		return d, len(text) == 64 && decode(d.head[:], text)
	}
	text, d.long = strings.CutPrefix(s, prefix512)
	return d, d.long && len(text) == 128 && decode(d.head[:], text[:64]) && decode(d.tail[:], text[64:])
}

// decode decodes lower case hex. Upper case would be a second name for the
// same content.
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
func (d Digest) String() string {
	if d.long {
		return prefix512 + hex.EncodeToString(d.head[:]) + hex.EncodeToString(d.tail[:])
	}
	return prefix256 + hex.EncodeToString(d.head[:])
}

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	var ok bool
	if *d, ok = ParseDigest(string(text)); !ok {
		err = fmt.Errorf("expected a digest, found %.200q", text)
	}
	return err
}

// SchemaTags returns the tags that belong to d by their names: that of the
// referrers tag schema (Distribution Specification 1.1, "Referrers tag
// schema"), and those of cosign's signature, attestation and SBOM.
func (d Digest) SchemaTags() [4]string {
	stem := strings.Replace(d.String(), ":", "-", 1)
	return [...]string{stem, stem + ".sig", stem + ".att", stem + ".sbom"}
}

// Subject returns the digest that a tag belongs to by its name, the reverse of
// SchemaTags.
func Subject(tag string) (Digest, bool) {
	if !strings.HasPrefix(tag, "sha256-") && !strings.HasPrefix(tag, "sha512-") {
		return Digest{}, false
	}
	stem, suffix, dotted := strings.Cut(tag, ".")
	switch {
	case !dotted, suffix == "sig", suffix == "att", suffix == "sbom":
		return ParseDigest(strings.Replace(stem, "-", ":", 1))
	}
	return Digest{}, false
}
