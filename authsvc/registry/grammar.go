package registry

import (
	"strings"
)

// Bounds of the grammar, in bytes.
const (
	maxName = 255
	maxTag  = 128
)

// A Reference names a manifest or a blob within a repository. Exactly one of Tag
// and Digest is set.
type Reference struct{ Tag, Digest string }

// String returns the reference as written in a request's path.
func (r Reference) String() string { return r.Tag + r.Digest }

// parseReference parses a tag (if tags are allowed here) or a digest. A colon
// tells them apart: no tag has one, every digest does.
func parseReference(s string, tags bool) (Reference, *Refusal) {
	if tags && !strings.Contains(s, ":") {
		if !validTag(s) {
			return Reference{}, malformed(TagInvalid, "the tag is not valid: letters, digits, _ . and -, 128 characters at most")
		}
		return Reference{Tag: s}, nil
	}
	if !validDigest(s) {
		return Reference{}, malformed(DigestInvalid, "the digest is not valid: sha256 or sha512 and lower case hex digits are expected")
	}
	return Reference{Digest: s}, nil
}

// ValidName checks a repository's name:
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
//
// (Distribution Specification 1.1, "Pulling manifests"), at most 255 bytes.
func ValidName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for {
		component, rest, more := strings.Cut(name, "/")
		if !validComponent(component) {
			return false
		}
		if !more {
			return true
		}
		name = rest
	}
}

// validComponent checks one component: runs of [a-z0-9] with separators
// between them.
func validComponent(s string) bool {
	separator := 0 // where the run of separators before s[i] began
	for i := range len(s) {
		if !isLowerAlnum(s[i]) {
			continue
		}
		if i > separator && (separator == 0 || !validSeparator(s[separator:i])) {
			return false
		}
		separator = i + 1
	}
	return s != "" && separator == len(s)
}

func validSeparator(s string) bool {
	return s == "." || s == "_" || s == "__" || strings.Trim(s, "-") == ""
}

// validTag checks a tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !isTagRune(r) }) < 0
}

// validDigest checks a digest of one of the two algorithms that the Image
// Specification registers ("Digests").
func validDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	switch algorithm {
	case "sha256":
		return isHex(hex, 64)
	case "sha512":
		return isHex(hex, 128)
	}
	return false
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}

func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isTagRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		r == '_' || r == '.' || r == '-'
}

// queryKeys are the parameters of the read side, and ns, the registry name that
// containerd sends to a mirror.
var queryKeys = map[string]bool{"n": true, "last": true, "artifactType": true, "ns": true}

// checkQuery accepts known parameters, each at most once, with values of letters,
// digits, and a few marks, plain or percent-encoded.
func checkQuery(query string) *Refusal {
	seen := make(map[string]bool, 4)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if !queryKeys[key] || seen[key] || !validQueryValue(value) {
			return malformed(Unsupported, "the query is not valid: n, last and artifactType are known, once each")
		}
		seen[key] = true
	}
	return nil
}

func validQueryValue(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isTagRune(rune(c)), strings.IndexByte("~:/+=,@", c) >= 0:
		case c == '%' && i+2 < len(s) && strings.IndexByte("234567", s[i+1]) >= 0 && isHexDigit(s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}
