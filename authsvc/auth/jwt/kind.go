// Package jwt is the source whose customers present a signed token (RFC 7519) as
// their password, for example one that a CI system or the vendor's portal issues.
// The token says who it is and what is licensed; nobody is asked.
//
// jwt.go decides about a token, token.go parses one, keys.go has the issuer's keys
// (RFC 7517), and remote.go fetches them.
package jwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/watch"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// Kind is how package config knows signed tokens.
var Kind = auth.Kind{Name: "jwt", Keys: keys, Read: read}

var keys = settings.Table{
	{Key: "issuer", Default: "", Usage: "the tokens' issuer (claim iss), exactly; a token of another issuer is another source's"},
	{Key: "audience", Default: "", Usage: "what must be in the tokens' audience (claim aud), such as this registry's name"},
	{Key: "algorithms", Default: "RS256 ES256 EdDSA", Usage: "signature algorithms that are accepted, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA"},
	{Key: "jwks_url", Default: "", Usage: "HTTPS URL of the issuer's public keys (a JWK set); this or jwks_file"},
	{Key: "jwks_file", Default: "", Usage: "file of the issuer's public keys (a JWK set); this or jwks_url"},
	{Key: "jwks_refresh", Default: "10m", Usage: "age at which the keys are fetched again: how long a key that the issuer has removed is still accepted"},
	{Key: "jwks_keep", Default: "24h", Usage: "how long the keys are used while they cannot be fetched again"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for jwks_url; empty for the system's"},
	{Key: "user", Default: ".sub", Usage: "jq expression on the claims that gives the user name, which must equal the typed one"},
	{Key: "subject", Default: ".sub", Usage: "jq expression on the claims that gives the account's id, for logs and grants_from"},
	{Key: "grants", Default: "", Usage: "jq expression that turns the claims into grants {repository, tags, expires, license}, optionally with withdrawn; empty if another source has the licenses (grants_from)"},
	{Key: "withdrawn_file", Default: "", Usage: "file of the ids (claim jti) of withdrawn tokens, one a line; with it, a token needs an id. Empty for none"},
}

// algorithms are all that a Config may have: signatures that a public key verifies.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Config says which tokens are accepted, and what they mean.
type Config struct {
	Issuer, Audience string
	Algorithms       []string
	// JWKSURL or JWKSFile has the keys, never both.
	JWKSURL, JWKSFile string
	// Refresh is the age at which keys are fetched again; Keep is how long they
	// are used while that fails.
	Refresh, Keep time.Duration
	CAFile        string
	// User, Subject and Grants are jq expressions; Grants may be empty.
	User, Subject, Grants string
	// WithdrawnFile may be empty.
	WithdrawnFile string
}

func read(r *settings.Reader) auth.Settings {
	c := Config{
		Issuer:   r.Text("issuer", 1, 1024),
		Audience: r.Text("audience", 1, 1024),
		Algorithms: r.List("algorithms", len(algorithms), func(s string) bool { return slices.Contains(algorithms, s) },
			"of "+strings.Join(algorithms, ", ")),
		JWKSURL:       r.Optional("jwks_url", r.URL),
		JWKSFile:      r.Optional("jwks_file", r.SecretFile),
		Refresh:       r.Duration("jwks_refresh", time.Minute, 24*time.Hour),
		Keep:          r.Duration("jwks_keep", time.Minute, 30*24*time.Hour),
		CAFile:        r.Optional("ca_file", r.Path),
		User:          r.Text("user", 1, 8192),
		Subject:       r.Text("subject", 1, 8192),
		Grants:        r.Text("grants", 0, 8192),
		WithdrawnFile: r.Optional("withdrawn_file", r.SecretFile),
	}
	if (r.Get("jwks_url") == "") == (r.Get("jwks_file") == "") {
		r.Wrong("jwks_url", "either a URL of keys, or jwks_file")
	}
	if len(c.Algorithms) == 0 {
		r.Wrong("algorithms", "at least one algorithm")
	}
	if c.Keep < c.Refresh {
		r.Wrong("jwks_keep", "at least jwks_refresh")
	}
	return c
}

// New implements auth.Settings. Keys with a URL are fetched when the first token
// comes.
func (c Config) New(ctx context.Context, env auth.Environment) (auth.Made, error) {
	s := &source{issuer: c.Issuer, audience: c.Audience}
	for _, name := range c.Algorithms {
		s.algorithms = append(s.algorithms, jose.SignatureAlgorithm(name))
	}
	if err := c.compile(s); err != nil {
		return auth.Made{}, err
	}
	if c.WithdrawnFile != "" {
		withdrawn, err := watch.Open(ctx, env, watch.Options[ids]{
			Setting: "withdrawn_file", Path: settings.SecretPath(c.WithdrawnFile), MaxSize: maxWithdrawnFile,
			Parse: parseIDs, Count: func(all ids) int { return len(all) },
		})
		if err != nil {
			return auth.Made{}, err
		}
		s.withdrawn = withdrawn
	}
	made := auth.Made{Source: s, Licensed: s.grants != nil}
	if made.Licensed {
		made.Try = s.try
	}
	if c.JWKSFile != "" {
		file, err := watch.Open(ctx, env, watch.Options[keySet]{
			Setting: "jwks_file", Path: settings.SecretPath(c.JWKSFile), MaxSize: maxKeySet,
			Parse: parseKeys, Count: func(k keySet) int { return len(k) },
		})
		s.keys = keyFile{file}
		return made, err
	}
	r, err := newRemote(ctx, c, env)
	if err != nil {
		return auth.Made{}, err
	}
	s.keys, made.Check = r, r.check
	return made, nil
}

// compile compiles the expressions.
func (c Config) compile(s *source) (err error) {
	for _, e := range []struct {
		key, text string
		to        **jq.Expression
	}{{"user", c.User, &s.user}, {"subject", c.Subject, &s.subject}, {"grants", c.Grants, &s.grants}} {
		if e.text == "" {
			continue
		}
		if *e.to, err = jq.Compile(e.text); err != nil {
			return fmt.Errorf("%s: %w", e.key, err)
		}
	}
	return nil
}

// Bounds of a file of withdrawn tokens.
const (
	maxWithdrawnFile = 16 << 20 // bytes
	maxWithdrawn     = 100_000
	maxID            = 255 // bytes
)

// ids are those of withdrawn tokens.
type ids map[string]struct{}

// parseIDs reads a file of ids, one a line. Spaces around them, empty lines, and lines
// that begin with # are skipped.
func parseIDs(content []byte) (ids, error) {
	all := ids{}
	number := 0
	for text := range bytes.Lines(content) {
		number++
		id := string(bytes.TrimSpace(text))
		switch {
		case id == "" || strings.HasPrefix(id, "#"):
			continue
		case len(id) > maxID:
			return nil, fmt.Errorf("line %d: expected an id of at most %d bytes, found %d", number, maxID, len(id))
		case len(all) == maxWithdrawn:
			return nil, fmt.Errorf("line %d: expected at most %d ids, found more; remove those of tokens that have expired", number, maxWithdrawn)
		case strings.Count(id, ".") == 2 && strings.HasPrefix(id, "eyJ"):
			return nil, fmt.Errorf("line %d: expected the id of a token (its claim jti), found a whole token", number)
		}
		all[id] = struct{}{}
	}
	return all, nil
}

var errNoKeys = errors.New("expected a JWK set with a public key for signatures (RSA of at least 2048 bits, P-256, P-384, P-521, or Ed25519), found none")
