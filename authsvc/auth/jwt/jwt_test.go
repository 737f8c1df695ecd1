package jwt_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jwt"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const (
	issuer   = "https://id.vendor.com"
	audience = "docker.vendor.com"
	// grants is for a claim licenses.
	grants = `.licenses[]? | {repository: .image, tags, expires: null, license: .id}`
)

// patience is how long a test waits for what will happen; no test measures it.
const patience = 30 * time.Second

// The keys of the tests. A key's id is its name.
var (
	rsaKey   = must(rsa.GenerateKey(rand.Reader, 2048))
	weakKey  = must(rsa.GenerateKey(rand.Reader, 1024)) //nolint:gosec // which must not be accepted
	ecKey    = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	otherKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edKey    = func() ed25519.PrivateKey { _, key, err := ed25519.GenerateKey(rand.Reader); return must(key, err) }()
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// set is a JWK set of the public keys, by id.
func set(keys map[string]crypto.Signer) string {
	var s jose.JSONWebKeySet
	for kid, key := range keys {
		s.Keys = append(s.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid})
	}
	return string(must(json.Marshal(s)))
}

var all = map[string]crypto.Signer{"rsa": rsaKey, "ec": ecKey, "ed": edKey}

// sign makes a token of any claims with any header.
func sign(alg jose.SignatureAlgorithm, key any, kid string, claims any, header ...string) string {
	options := &jose.SignerOptions{}
	options.WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	for i := 0; i+1 < len(header); i += 2 {
		options.WithHeader(jose.HeaderKey(header[i]), header[i+1])
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options))
	return must(must(signer.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// claims are those of a good token, with changes; nil removes one.
func claims(changes ...any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": audience, "sub": "ci@acme.example", "jti": "t-1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"licenses": []any{map[string]any{"image": "vendor/appliance", "tags": []string{"1.*", "latest"}, "id": "A-17"}},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

// A log can be read while it is written; it also has the faults.
type log struct {
	mu     sync.Mutex
	b      bytes.Buffer
	faults map[string]string
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) fault(what string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults[what]
}

func (l *log) env() auth.Environment {
	return auth.Environment{
		Logger: slog.New(slog.NewTextHandler(l, nil)), Observe: func(context.Context, string, time.Duration) {},
		Fault: func(what string, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.faults[what] = ""; err != nil {
				l.faults[what] = err.Error()
			}
		},
	}
}

// defaults are a configuration but for the keys.
func defaults() jwt.Config {
	return jwt.Config{
		Issuer: issuer, Audience: audience, Algorithms: []string{"RS256", "ES256", "EdDSA"},
		Refresh: 10 * time.Minute, Keep: time.Hour, User: ".sub", Subject: ".sub", Grants: grants,
	}
}

func file(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start makes a source of the configuration.
func start(t testing.TB, c jwt.Config) (auth.Made, *log) {
	t.Helper()
	l := &log{faults: map[string]string{}}
	made, err := c.New(t.Context(), l.env())
	if err != nil {
		t.Fatal(err)
	}
	return made, l
}

// withFile is a source with all keys in a file.
func withFile(t testing.TB, change func(*jwt.Config)) auth.Source {
	t.Helper()
	c := defaults()
	c.JWKSFile = file(t, "jwks.json", set(all))
	if change != nil {
		change(&c)
	}
	made, _ := start(t, c)
	return made.Source
}

func ask(ctx context.Context, s auth.Source, token string) (auth.Decision, error) {
	return s.Authenticate(ctx, credential.Credential{User: "ci@acme.example", Secret: credential.NewSecret(token)})
}

func TestAccepted(t *testing.T) {
	s := withFile(t, nil)
	end := time.Now().Add(time.Hour).Unix()
	for name, token := range map[string]string{
		"RS256":              sign(jose.RS256, rsaKey, "rsa", claims("exp", end)),
		"ES256":              sign(jose.ES256, ecKey, "ec", claims("exp", end)),
		"EdDSA":              sign(jose.EdDSA, edKey, "ed", claims("exp", end)),
		"no kid":             sign(jose.ES256, ecKey, "", claims("exp", end)),
		"audiences":          sign(jose.ES256, ecKey, "ec", claims("exp", end, "aud", []string{"x", audience})),
		"a clock ahead":      sign(jose.ES256, ecKey, "ec", claims("exp", end, "iat", time.Now().Add(30*time.Second).Unix(), "nbf", time.Now().Add(30*time.Second).Unix())),
		"without iat, jti":   sign(jose.ES256, ecKey, "ec", claims("exp", end, "iat", nil, "jti", nil)),
		"unknown header jku": sign(jose.ES256, ecKey, "ec", claims("exp", end), "jku", "https://evil.example/keys"),
	} {
		d, err := ask(t.Context(), s, token)
		if err != nil || d.Refusal != "" || d.User != "ci@acme.example" || d.Subject != "ci@acme.example" || d.Ends.Unix() != end || d.Grants.Len() != 2 {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	if !s.Bearer() {
		t.Error("the token names the account")
	}
}

// raw makes a token of parts that no library would sign.
func raw(header, payload, signature string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(payload)) + "." + encode([]byte(signature))
}

// withPart replaces one of a token's three parts.
func withPart(token string, part int, by string) string {
	parts := strings.Split(token, ".")
	parts[part] = base64.RawURLEncoding.EncodeToString([]byte(by))
	return strings.Join(parts, ".")
}

func TestRefused(t *testing.T) {
	s := withFile(t, func(c *jwt.Config) { c.WithdrawnFile = file(t, "withdrawn", "# stolen\nt-13\n\n  t-14 \n") })
	good := sign(jose.ES256, ecKey, "ec", claims())
	payload := string(must(json.Marshal(claims())))
	past := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).Unix()
	const wrong, not = "credential: ", "not mine: "
	for _, test := range []struct{ name, token, want string }{
		{"a password", "secret", not},
		{"nothing", "", not},
		{"dots", "..", not},
		{"two parts", "eyJh.eyJh", not},
		{"four parts", good + ".x", not},
		{"encrypted", good + ".x.y", not},
		{"a space before", " " + good, not},
		{"JSON form", `{"payload":"","signatures":[]}`, not},
		{"a huge token", sign(jose.ES256, ecKey, "ec", claims("x", strings.Repeat("x", 8<<10))), not},
		{"another issuer", sign(jose.ES256, ecKey, "ec", claims("iss", "https://other.example")), not},
		{"no issuer", sign(jose.ES256, ecKey, "ec", claims("iss", nil)), not},
		{"an issuer with a slash", sign(jose.ES256, ecKey, "ec", claims("iss", issuer+"/")), not},
		{"claims that are no object", raw(`{"alg":"ES256"}`, `[]`, "x"), not},
		{"claims twice", raw(`{"alg":"ES256"}`, `{"iss":"https://other.example","iss":"`+issuer+`"}`, "x"), not},
		{"alg none", raw(`{"alg":"none"}`, payload, ""), wrong},
		{"alg None", raw(`{"alg":"None"}`, payload, ""), not},
		{"alg none with a signature", raw(`{"alg":"none","kid":"ec"}`, payload, "x"), wrong},
		{"HMAC with the public key", sign(jose.HS256, must(json.Marshal(jose.JSONWebKey{Key: rsaKey.Public()})), "rsa", claims()), wrong},
		{"an algorithm that is not on the list", sign(jose.RS512, rsaKey, "rsa", claims()), wrong},
		{"the key of another token's kid", sign(jose.ES256, ecKey, "rsa", claims()), wrong},
		{"a stranger's key with a known kid", sign(jose.ES256, otherKey, "ec", claims()), wrong},
		{"a stranger's key", sign(jose.ES256, otherKey, "other", claims()), wrong},
		{"a stranger's key without kid", sign(jose.ES256, otherKey, "", claims()), wrong},
		{"an empty signature", withPart(good, 2, ""), wrong},
		{"another payload", withPart(good, 1, string(must(json.Marshal(claims("sub", "boss"))))), wrong},
		{"critical header", raw(`{"alg":"ES256","kid":"ec","crit":["x"],"x":1}`, payload, "x"), wrong},
		{"payload that is not encoded", raw(`{"alg":"ES256","kid":"ec","crit":["b64"],"b64":false}`, payload, "x"), wrong},
		{"expired", sign(jose.ES256, ecKey, "ec", claims("exp", past)), wrong + "the token expired on 2026-01-31"},
		{"no end", sign(jose.ES256, ecKey, "ec", claims("exp", nil)), wrong + "the token has no end (exp)"},
		{"an end that cannot be stored", sign(jose.ES256, ecKey, "ec", claims("exp", 1e15)), wrong + "the token's end (exp) is after the year 9998"},
		{"an end as text", sign(jose.ES256, ecKey, "ec", claims("exp", "tomorrow")), not},
		{"expired, of a stranger", sign(jose.ES256, otherKey, "ec", claims("exp", past)), wrong},
		{"another audience", sign(jose.ES256, ecKey, "ec", claims("aud", "x")), wrong + "the token is not for this registry (aud)"},
		{"no audience", sign(jose.ES256, ecKey, "ec", claims("aud", nil)), wrong + "the token is not for this registry (aud)"},
		{"not yet", sign(jose.ES256, ecKey, "ec", claims("nbf", time.Date(2998, 1, 31, 12, 0, 0, 0, time.UTC).Unix())), wrong + "the token is not valid before 2998-01-31"},
		{"issued in the future", sign(jose.ES256, ecKey, "ec", claims("iat", time.Now().Add(time.Hour).Unix())), wrong + "the token was issued in the future (iat)"},
		{"withdrawn", sign(jose.ES256, ecKey, "ec", claims("jti", "t-13")), wrong + "the token was withdrawn"},
		{"withdrawn too", sign(jose.ES256, ecKey, "ec", claims("jti", "t-14")), wrong + "the token was withdrawn"},
		{"cannot be withdrawn", sign(jose.ES256, ecKey, "ec", claims("jti", nil)), wrong + "the token has no id (jti)"},
	} {
		d, err := ask(t.Context(), s, test.token)
		if err != nil || string(d.Refusal)+": "+d.Reason != test.want {
			t.Errorf("%s: %+v, %v; want %s", test.name, d, err, test.want)
		}
	}
}

// TestClaims: what cannot be read out of a token is neither yes nor no.
func TestClaims(t *testing.T) {
	for name, change := range map[string]func(*jwt.Config){
		"user":    func(c *jwt.Config) { c.User = ".email" },
		"subject": func(c *jwt.Config) { c.Subject = ".account" },
		"grants":  func(c *jwt.Config) { c.Grants = ".licenses[]" },
	} {
		d, err := ask(t.Context(), withFile(t, change), sign(jose.ES256, ecKey, "ec", claims()))
		if !errors.Is(err, auth.ErrUnreadable) || !strings.Contains(err.Error(), name+" of the token's claims") || strings.Contains(err.Error(), "acme") {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	c := defaults()
	c.JWKSFile = file(t, "jwks.json", set(all))
	made, _ := start(t, c)
	if got, err := made.Try(t.Context(), must(json.Marshal(claims()))); err != nil || len(got) != 2 {
		t.Errorf("saved claims: %+v, %v", got, err)
	}
	if _, err := made.Try(t.Context(), []byte("{")); err == nil {
		t.Error("saved garbage: no error")
	}
	s := withFile(t, func(c *jwt.Config) { c.Grants, c.Subject = "", ".jti" })
	if d, err := ask(t.Context(), s, sign(jose.ES256, ecKey, "ec", claims())); err != nil || d.Subject != "t-1" || d.Grants.Len() != 0 {
		t.Errorf("without grants: %+v, %v", d, err)
	}
}

// TestSettings: what cannot be used keeps authsvc from starting.
func TestSettings(t *testing.T) {
	for _, test := range []struct {
		change func(*jwt.Config)
		want   string
	}{
		{func(c *jwt.Config) { c.User = ".(" }, "user: expected a jq expression"},
		{func(c *jwt.Config) { c.JWKSFile = "/nowhere" }, "jwks_file: /nowhere: no such file"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", "<html>") }, "expected a JWK set"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", `{"keys":[]}`) }, "with a public key for signatures"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", set(map[string]crypto.Signer{"weak": weakKey})) }, "with a public key for signatures"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) }, "key 1: expected public keys alone"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", `{"keys":[{"kty":"EC"},7]}`) }, "key 2: expected an object"},
		{func(c *jwt.Config) { c.JWKSFile = file(t, "x", `{"keys":[`+strings.Repeat(`{},`, 100)+`{}]}`) }, "at most 100 keys, found 101"},
		{func(c *jwt.Config) {
			c.JWKSFile = file(t, "x", string(must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey}}}))))
		}, "key 1: expected public keys alone"},
		{func(c *jwt.Config) { c.WithdrawnFile = file(t, "x", "a\n"+strings.Repeat("x", 300)) }, "withdrawn_file: "},
		{func(c *jwt.Config) { c.WithdrawnFile = file(t, "x", "a\n"+raw(`{"alg":"ES256"}`, "{}", "x")) }, "line 2: expected the id of a token"},
		{func(c *jwt.Config) { c.JWKSFile, c.JWKSURL, c.CAFile = "", "https://id.vendor.com/keys", "/nowhere" }, "ca_file: "},
	} {
		c := defaults()
		c.JWKSFile = file(t, "jwks.json", set(all))
		test.change(&c)
		if _, err := c.New(t.Context(), (&log{faults: map[string]string{}}).env()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// TestFilesChange: new keys and withdrawals count; a bad file does not.
func TestFilesChange(t *testing.T) {
	c := defaults()
	c.JWKSFile, c.WithdrawnFile = file(t, "jwks.json", set(map[string]crypto.Signer{"ec": ecKey})), file(t, "withdrawn", "")
	made, l := start(t, c)
	refused := func(token string) bool {
		d, err := ask(t.Context(), made.Source, token)
		if err != nil {
			t.Fatal(err)
		}
		return d.Refusal != ""
	}
	old, next := sign(jose.ES256, ecKey, "ec", claims()), sign(jose.RS256, rsaKey, "rsa", claims("jti", "t-2"))
	if refused(old) || !refused(next) {
		t.Fatal("the first keys are not in force")
	}
	rewrite(t, c.WithdrawnFile, "t-1\n")
	await(t, "the old token is withdrawn", func() bool { return refused(old) })
	rewrite(t, c.WithdrawnFile, "")
	await(t, "the old token is good again", func() bool { return !refused(old) })
	rewrite(t, c.JWKSFile, `{"keys":[`)
	await(t, "the fault", func() bool { return strings.Contains(l.fault("jwks_file"), "expected a JWK set") })
	if refused(old) {
		t.Error("a bad file has replaced the keys")
	}
	rewrite(t, c.JWKSFile, set(maps.Clone(map[string]crypto.Signer{"rsa": rsaKey})))
	await(t, "the new keys", func() bool { return refused(old) && !refused(next) && l.fault("jwks_file") == "" })
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// FuzzToken: no secret makes it panic or is accepted, but what the issuer signed.
func FuzzToken(f *testing.F) {
	good := sign(jose.ES256, ecKey, "ec", claims())
	s := withFile(f, nil)
	for _, seed := range []string{
		good, "secret", "..", withPart(good, 0, `{"alg":"none"}`), withPart(good, 1, `{"iss":"`+issuer+`","exp":1e400}`), withPart(good, 2, "x"),
		withPart(good, 0, `{"alg":"ES256","jwk":{"kty":"EC"}}`), strings.ToUpper(good), withPart(good, 0, `{"alg":"ES256","kid":7}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		d, err := ask(t.Context(), s, token)
		signed, _, _ := strings.Cut(good, "."+strings.Split(good, ".")[2])
		if err == nil && d.Refusal == "" && !strings.HasPrefix(token, signed+".") {
			t.Errorf("%q is accepted: %+v", token, d)
		}
	})
}
