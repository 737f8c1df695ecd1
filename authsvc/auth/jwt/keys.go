package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pullgate/pullgate/authsvc/auth/watch"
)

// Bounds of a set of keys.
const (
	maxKeySet  = 1 << 20 // bytes
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192 // one verification takes well under a millisecond
)

// A keySet has an issuer's public keys, by no order. It is immutable.
type keySet []jose.JSONWebKey

// A keyring knows the issuer's keys.
type keyring interface {
	// current returns the keys, which may be a little old.
	current(context.Context) (keySet, error)
	// fresh returns the keys as they have been since a moment, or why it cannot.
	fresh(ctx context.Context, since time.Time) (keySet, error)
	// retired says whether a key was once there and is no longer.
	retired(kid string) bool
}

// A keyFile is a keyring in a watched file: what it says is always fresh.
type keyFile struct{ *watch.File[keySet] }

func (k keyFile) current(context.Context) (keySet, error)          { return k.Current(), nil }
func (k keyFile) fresh(context.Context, time.Time) (keySet, error) { return k.Current(), nil }
func (keyFile) retired(string) bool                                { return false }

// parseKeys reads a JWK set (RFC 7517). Keys that cannot verify a signature are
// skipped, as its section 5 has it. A private or a symmetric key is an error: whoever
// can read it can make tokens.
func parseKeys(content []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, errors.New(`expected a JWK set, {"keys": […]}, found something else`)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("expected at most %d keys, found %d", maxKeys, len(set.Keys))
	}
	var keys keySet
	for i, raw := range set.Keys {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, fmt.Errorf("key %d: expected an object, found something else", i+1)
		}
		for _, secret := range []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
			if _, found := members[secret]; found {
				return nil, fmt.Errorf("key %d: expected public keys alone, found a private or a symmetric one; replace it, because others may have read it", i+1)
			}
		}
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

// usable says whether a key may verify tokens.
func usable(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok {
		return public.N.BitLen() >= minRSABits && public.N.BitLen() <= maxRSABits
	}
	return slices.ContainsFunc(algorithms, func(alg string) bool { return fits(key, alg) })
}

// fits says whether a key is of the type that an algorithm needs (RFC 7518, section
// 3.1, and RFC 8037), and not kept for another one.
func fits(key jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && key.Algorithm != alg {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] == public.Curve.Params().BitSize
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}

// knows says whether the set has a key of that id. A token without an id may be of
// any key.
func (k keySet) knows(kid string) bool {
	return kid != "" && slices.ContainsFunc(k, func(key jose.JSONWebKey) bool { return key.KeyID == kid })
}

// verifies says whether a key of the set has signed a token: one of the id in its
// header, if there is an id.
func (k keySet) verifies(t token) bool {
	return slices.ContainsFunc(k, func(key jose.JSONWebKey) bool {
		if t.header.KeyID != "" && key.KeyID != t.header.KeyID || !fits(key, t.header.Algorithm) {
			return false
		}
		_, err := t.jws.Verify(key.Key)
		return err == nil
	})
}
