package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
)

// A Hash identifies a secret without revealing it.
type Hash [sha256.Size]byte

// Short is the beginning of the hash in hexadecimal, for a log.
func (h Hash) Short() string { return hex.EncodeToString(h[:6]) }

// A Key makes hashes that cannot be computed without it (HMAC-SHA256, RFC 2104).
type Key struct{ hashers sync.Pool }

// A hasher is reused, so that a hash costs no allocation.
type hasher struct {
	mac    hash.Hash
	buffer []byte
}

// NewKey makes a Key from secret bytes; from random ones if there are none.
func NewKey(secret []byte) *Key {
	if len(secret) == 0 {
		secret = make([]byte, sha256.Size)
		_, _ = rand.Read(secret) // it never fails
	}
	return &Key{sync.Pool{New: func() any { return &hasher{mac: hmac.New(sha256.New, secret)} }}}
}

// Hash hashes parts; the first states the purpose. Each part is prefixed with its
// length, so that different lists of parts never hash the same input
// (exporter-toolkit's CVE-2022-46146).
func (k *Key) Hash(parts ...string) (sum Hash) {
	h := k.hashers.Get().(*hasher)
	defer k.hashers.Put(h)
	h.buffer = h.buffer[:0]
	for _, part := range parts {
		h.buffer = binary.BigEndian.AppendUint64(h.buffer, uint64(len(part)))
		h.buffer = append(h.buffer, part...)
	}
	h.mac.Reset()
	h.mac.Write(h.buffer)
	clear(h.buffer)
	h.buffer = h.mac.Sum(h.buffer[:0])
	copy(sum[:], h.buffer)
	h.mac.Write(wipe[:]) // over the last block, which the state keeps
	return sum
}

var wipe [sha256.BlockSize]byte
