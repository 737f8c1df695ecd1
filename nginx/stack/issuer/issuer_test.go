package issuer_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jwt"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack/issuer"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// TestToken: authsvc accepts what is signed, as Source configures it, until the key
// is replaced.
func TestToken(t *testing.T) {
	ca, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("issuer", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server, err := issuer.Start(certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	account := vendorapi.Account{Email: "ann@acme.example", Licenses: []vendorapi.License{
		{ID: "l1", Expiration: time.Now().Add(time.Hour), Releases: []vendorapi.Release{{Repository: "a", Tags: []string{"1.*", "2"}}}},
	}}
	entry := server.Source("tokens", ca.File, "")
	text := func(key string) string { return entry[key].(string) }
	c := jwt.Config{
		Issuer: text("issuer"), Audience: text("audience"), Algorithms: entry["algorithms"].([]string), JWKSURL: text("jwks_url"), CAFile: text("ca_file"),
		Refresh: time.Hour, Keep: time.Hour, User: text("user"), Subject: text("subject"), Grants: text("grants"), WithdrawnFile: text("withdrawn_file"),
	}
	ask := func(token string) auth.Decision {
		made, err := c.New(t.Context(), auth.Environment{
			Logger: slog.New(slog.DiscardHandler), Observe: func(context.Context, string, time.Duration) {}, Fault: func(string, error) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := made.Source.Authenticate(t.Context(), credential.Credential{User: account.Email, Secret: credential.NewSecret(token)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	token, err := server.Token("t-1", account, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if d := ask(token); d.Refusal != "" || d.User != account.Email || d.Grants.Len() != 2 {
		t.Errorf("%+v", d)
	}
	if err := server.Rotate(); err != nil {
		t.Fatal(err)
	}
	if d := ask(token); d.Refusal != auth.WrongCredential {
		t.Errorf("after the key was replaced: %+v", d)
	}
}
