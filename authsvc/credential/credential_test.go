package credential_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/credential"
)

func basic(userPass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userPass))
}

func TestParseBasic(t *testing.T) {
	tests := []struct {
		name         string
		values       []string
		user, secret string
		err          error
	}{
		{name: "plain", values: []string{basic("ann@example.com:token")}, user: "ann@example.com", secret: "token"},
		{name: "colons in the password", values: []string{basic("ann:a:b::c:")}, user: "ann", secret: "a:b::c:"},
		{name: "a colon is the password", values: []string{basic("ann::")}, user: "ann", secret: ":"},
		{name: "scheme in other letter case", values: []string{"bAsIc " + basic("a:b")[6:]}, user: "a", secret: "b"},
		{name: "several spaces", values: []string{"Basic   " + basic("a:b")[6:]}, user: "a", secret: "b"},
		{name: "UTF-8", values: []string{basic("änn@exämple.com:пароль🔑")}, user: "änn@exämple.com", secret: "пароль🔑"},
		{name: "spaces inside", values: []string{basic("a b:c d")}, user: "a b", secret: "c d"},
		{name: "as long as can be", values: []string{basic("a:" + strings.Repeat("x", 6136))}, user: "a", secret: strings.Repeat("x", 6136)},
		{name: "no header", err: credential.ErrMissing},
		{name: "empty header", values: []string{""}, err: credential.ErrMissing},
		{name: "two headers", values: []string{basic("a:b"), basic("a:b")}, err: credential.ErrMalformed},
		{name: "bearer", values: []string{"Bearer abc"}, err: credential.ErrScheme},
		{name: "scheme alone", values: []string{"Basic"}, err: credential.ErrMalformed},
		{name: "scheme glued", values: []string{"Basic:" + basic("a:b")[6:]}, err: credential.ErrScheme},
		{name: "no base64", values: []string{"Basic !!!"}, err: credential.ErrMalformed},
		{name: "URL's base64", values: []string{"Basic " + base64.URLEncoding.EncodeToString([]byte("a:b\u07ff\u07ff~~~???"))}, err: credential.ErrMalformed},
		{name: "unpadded", values: []string{"Basic " + base64.RawStdEncoding.EncodeToString([]byte("ab:c"))}, err: credential.ErrMalformed},
		{name: "line break in base64", values: []string{"Basic " + basic("a:b")[6:] + "\n"}, err: credential.ErrMalformed},
		{name: "two in one", values: []string{basic("a:b") + ", " + basic("a:b")}, err: credential.ErrMalformed},
		{name: "no colon", values: []string{basic("ann")}, err: credential.ErrMalformed},
		{name: "empty user", values: []string{basic(":token")}, err: credential.ErrMalformed},
		{name: "empty password", values: []string{basic("ann:")}, err: credential.ErrMalformed},
		{name: "control character in the user", values: []string{basic("a\r\nb:c")}, err: credential.ErrMalformed},
		{name: "NUL in the user", values: []string{basic("a\x00b:c")}, err: credential.ErrMalformed},
		{name: "user is not UTF-8", values: []string{basic("a\xffb:c")}, err: credential.ErrMalformed},
		{name: "control character in the password", values: []string{basic("a:b\x00")}, err: credential.ErrMalformed},
		{name: "C1 control", values: []string{basic("a:b\u0085")}, err: credential.ErrMalformed},
		{name: "not UTF-8", values: []string{basic("a:\xff")}, err: credential.ErrMalformed},
		{name: "over-long", values: []string{"Basic " + strings.Repeat("A", credential.MaxHeader)}, err: credential.ErrTooLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := credential.ParseBasic(test.values)
			if !errors.Is(err, test.err) || got.User != test.user || got.Secret.Reveal() != test.secret {
				t.Errorf("got %q, %q, %v; want %q, %q, %v", got.User, got.Secret.Reveal(), err, test.user, test.secret, test.err)
			}
		})
	}
}

// TestSecretIsNeverPrinted tries every way of printing that the programs have.
func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "hunter2-hunter2"
	c, err := credential.ParseBasic([]string{basic("ann:" + text)})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10s", "%!"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", c.Secret)
		fmt.Fprintf(&out, verb+"\n", struct{ hidden credential.Credential }{c})
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("x", "credential", c, "secret", c.Secret, "pointer", &c, "group", map[string]any{"c": c})
	}
	if err := json.NewEncoder(&out).Encode([]any{c, c.Secret, map[string]any{"c": &c}}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { fmt.Fprintln(&out, recover()) }()
		panic(fmt.Errorf("with %w and %v", errors.New("x"), c))
	}()
	fmt.Fprintln(&out, fmt.Errorf("wrapped %v", c.Secret))
	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), base64.StdEncoding.EncodeToString([]byte(text))} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the secret was printed: %s", out.String())
		}
	}
	if !strings.Contains(out.String(), "***") {
		t.Errorf("nothing was printed in the secret's place: %s", out.String())
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add(basic("ann@example.com:token"))
	f.Add("basic  " + basic("a:b")[6:])
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, value string) {
		c, err := credential.ParseBasic([]string{value})
		if err != nil {
			if c != (credential.Credential{}) {
				t.Fatalf("an error and a credential: %v", c)
			}
			return
		}
		again, err := credential.ParseBasic([]string{basic(c.User + ":" + c.Secret.Reveal())})
		if err != nil || again.User != c.User || again.Secret.Reveal() != c.Secret.Reveal() {
			t.Fatalf("%q does not survive being sent again: %v", value, err)
		}
		if c.User == "" || c.Secret.Reveal() == "" || strings.Contains(c.User, ":") {
			t.Fatalf("%q gives user %q", value, c.User)
		}
	})
}
