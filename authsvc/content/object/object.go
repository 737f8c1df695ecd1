// Package object names what the content store keeps: blobs and manifests by
// their digest (object.go), where each lies in the store's folder (path.go), and
// the media type of a manifest (media.go).
package object

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// A Kind is what a digest stands for. One digest can be both: a client may ask
// for a manifest as a blob.
type Kind string

// The kinds.
const (
	Blob     Kind = "blob"
	Manifest Kind = "manifest"
)

// An algorithm is one that the Image Specification registers ("Digests").
type algorithm struct {
	digits int // of a digest in hexadecimal
	hash   func() hash.Hash
}

var algorithms = map[string]algorithm{
	"sha256": {2 * sha256.Size, sha256.New},
	"sha512": {2 * sha512.Size, sha512.New},
}

// A Digest is a valid digest. Digests can be compared.
type Digest struct{ algorithm, hex string }

// ParseDigest parses ALGORITHM:HEX: sha256 or sha512, in lower case.
func ParseDigest(s string) (Digest, bool) {
	name, digits, _ := strings.Cut(s, ":")
	return newDigest(name, digits)
}

func newDigest(name, digits string) (Digest, bool) {
	a, ok := algorithms[name]
	if !ok || len(digits) != a.digits || strings.Trim(digits, "0123456789abcdef") != "" {
		return Digest{}, false
	}
	return Digest{strings.Clone(name), strings.Clone(digits)}, true
}

// String returns ALGORITHM:HEX.
func (d Digest) String() string { return d.algorithm + ":" + d.hex }

// NewHash returns a hash of the digest's algorithm.
func (d Digest) NewHash() hash.Hash { return algorithms[d.algorithm].hash() }

// IsSum says whether the digest is the sum of what was written to h.
func (d Digest) IsSum(h hash.Hash) bool { return hex.EncodeToString(h.Sum(nil)) == d.hex }

// An ID names an object.
type ID struct {
	Kind   Kind
	Digest Digest
}

// ParseID is the reverse of String.
func ParseID(s string) (ID, bool) {
	kind, digest, _ := strings.Cut(s, " ")
	d, ok := ParseDigest(digest)
	_, known := folders[Kind(kind)]
	return ID{Kind(strings.Clone(kind)), d}, ok && known
}

// String returns KIND DIGEST.
func (id ID) String() string { return string(id.Kind) + " " + id.Digest.String() }

// NewSHA256 returns a hash for SHA256.
func NewSHA256() hash.Hash { return sha256.New() }

// SHA256 is the digest of what was written to a hash of NewSHA256.
func SHA256(h hash.Hash) Digest { return Digest{"sha256", hex.EncodeToString(h.Sum(nil))} }
