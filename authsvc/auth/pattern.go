package auth

import (
	"fmt"
	"path"
	"strings"
)

// maxPattern bounds a pattern's length in bytes. A repository's name has at
// most 255, a tag 128.
const maxPattern = 512

// A Pattern is a glob by the rules of path.Match: "*" matches any run of
// characters but "/", "?" one such character, "[a-z]" one of a class, "[^a-z]"
// one of the others. The zero Pattern matches nothing.
type Pattern struct{ glob string }

// NewPattern compiles a glob.
func NewPattern(glob string) (Pattern, error) {
	if glob == "" {
		return Pattern{}, fmt.Errorf("empty pattern; to match every name, write *")
	}
	if len(glob) > maxPattern {
		return Pattern{}, fmt.Errorf("pattern of %d bytes; at most %d are allowed", len(glob), maxPattern)
	}
	if strings.Contains(glob, "[!") { // which a shell takes for "none of", and path.Match for "! or"
		return Pattern{}, fmt.Errorf("pattern %q: expected [^…] for any other character, found [!…]; write %q", glob, strings.ReplaceAll(glob, "[!", "[^"))
	}
	if _, err := path.Match(glob, ""); err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", glob, err)
	}
	return Pattern{glob}, nil
}

// Match says whether the whole of name matches.
func (p Pattern) Match(name string) bool {
	ok, err := path.Match(p.glob, name)
	return err == nil && ok && p.glob != ""
}

// MarshalText implements encoding.TextMarshaler.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.glob), nil }

// String returns the glob.
func (p Pattern) String() string { return p.glob }
