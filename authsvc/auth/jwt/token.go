package jwt

import (
	"errors"
	"regexp"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

// maxToken bounds a token, in bytes; credential.MaxHeader leaves room for no longer
// one.
const maxToken = 8 << 10

// compact is a JWS in compact form (RFC 7515, section 7.1). Without a signature it
// is alg none, which is refused later.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*$`)

var (
	// errNotToken: the secret is no token at all.
	errNotToken = errors.New("not a signed token")
	// errAlgorithm: it is a token, but its algorithm or its header is not
	// accepted.
	errAlgorithm = errors.New("the token's header is not accepted")
)

// A token has been parsed, but says nothing yet: its signature is not checked.
type token struct {
	jws    *jose.JSONWebSignature // nil with errAlgorithm
	header jose.Header
	claims jwt.Claims
	// input are all claims, for expressions.
	input any
}

// parse reads a token. If its algorithm is not accepted, there are claims, and the
// error is errAlgorithm.
func parse(text string, accepted []jose.SignatureAlgorithm) (token, error) {
	var t token
	if len(text) > maxToken || !compact.MatchString(text) {
		return t, errNotToken
	}
	// Any algorithm, so that the claims tell whose token it is.
	loose, err := jose.ParseSignedCompact(text, every)
	if err != nil {
		return t, errNotToken
	}
	payload := loose.UnsafePayloadWithoutVerification()
	// This decoder refuses names that are there twice; another one might read the
	// other value.
	if json.Unmarshal(payload, &t.claims) != nil {
		return t, errNotToken
	}
	if t.input, err = jq.Decode(payload); err != nil {
		return t, errNotToken
	}
	t.jws, err = jose.ParseSignedCompact(text, accepted)
	if err != nil || len(t.jws.Signatures) != 1 {
		return t, errAlgorithm
	}
	t.header = t.jws.Signatures[0].Protected
	for _, name := range []jose.HeaderKey{"crit", "b64"} { // they change what is signed
		if _, found := t.header.ExtraHeaders[name]; found {
			return t, errAlgorithm
		}
	}
	return t, nil
}

// every is the algorithms of tokens whose claims are looked at.
var every = []jose.SignatureAlgorithm{
	"none", jose.HS256, jose.HS384, jose.HS512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}
