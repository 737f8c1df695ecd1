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
		want         credential.Flaw
	}{
		{name: "plain", values: []string{basic("ann@example.com:token")}, user: "ann@example.com", secret: "token"},
		{name: "colons in the password", values: []string{basic("ann:a:b::c:")}, user: "ann", secret: "a:b::c:"},
		{name: "a colon is the password", values: []string{basic("ann::")}, user: "ann", secret: ":"},
		{name: "scheme in other letter case", values: []string{"bAsIc " + basic("a:b")[6:]}, user: "a", secret: "b"},
		{name: "several spaces", values: []string{"Basic   " + basic("a:b")[6:]}, user: "a", secret: "b"},
		{name: "UTF-8", values: []string{basic("änn@exämple.com:пароль🔑")}, user: "änn@exämple.com", secret: "пароль🔑"},
		{name: "spaces inside", values: []string{basic("a b:c d")}, user: "a b", secret: "c d"},
		{name: "as long as can be", values: []string{basic("a:" + strings.Repeat("x", 6136))}, user: "a", secret: strings.Repeat("x", 6136)},
		{name: "no header", want: credential.Missing},
		{name: "empty header", values: []string{""}, want: credential.Missing},
		{name: "two headers", values: []string{basic("a:b"), basic("a:b")}, want: credential.Malformed},
		{name: "bearer", values: []string{"Bearer abc"}, want: credential.NotBasic},
		{name: "scheme alone", values: []string{"Basic"}, want: credential.Malformed},
		{name: "scheme glued", values: []string{"Basic:" + basic("a:b")[6:]}, want: credential.NotBasic},
		{name: "no base64", values: []string{"Basic !!!"}, want: credential.Malformed},
		{name: "URL's base64", values: []string{"Basic " + base64.URLEncoding.EncodeToString([]byte("a:b\u07ff\u07ff~~~???"))}, want: credential.Malformed},
		{name: "unpadded", values: []string{"Basic " + base64.RawStdEncoding.EncodeToString([]byte("ab:c"))}, want: credential.Malformed},
		{name: "line break in base64", values: []string{"Basic " + basic("a:b")[6:] + "\n"}, want: credential.Malformed},
		{name: "two in one", values: []string{basic("a:b") + ", " + basic("a:b")}, want: credential.Malformed},
		{name: "no colon", values: []string{basic("ann")}, want: credential.Malformed},
		{name: "empty user", values: []string{basic(":token")}, want: credential.Malformed},
		{name: "empty password", values: []string{basic("ann:")}, want: credential.Malformed},
		{name: "control character in the user", values: []string{basic("a\r\nb:c")}, want: credential.Malformed},
		{name: "NUL in the user", values: []string{basic("a\x00b:c")}, want: credential.Malformed},
		{name: "user is not UTF-8", values: []string{basic("a\xffb:c")}, want: credential.Malformed},
		{name: "control character in the password", values: []string{basic("a:b\x00")}, want: credential.Malformed},
		{name: "C1 control", values: []string{basic("a:b\u0085")}, want: credential.Malformed},
		{name: "not UTF-8", values: []string{basic("a:\xff")}, want: credential.Malformed},
		{name: "over-long", values: []string{"Basic " + strings.Repeat("A", credential.MaxHeader)}, want: credential.TooLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, flaw := credential.ParseBasic(test.values)
			if flaw != test.want || got.User != test.user || got.Secret.Reveal() != test.secret {
				t.Errorf("got %q, %q, %v; want %q, %q, %v", got.User, got.Secret.Reveal(), flaw, test.user, test.secret, test.want)
			}
		})
	}
}

// TestSecretIsNeverPrinted tries every way of printing that the programs have.
func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "hunter2-hunter2"
	c, flaw := credential.ParseBasic([]string{basic("ann:" + text)})
	if flaw != credential.None {
		t.Fatal(flaw)
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
		c, flaw := credential.ParseBasic([]string{value})
		if flaw != credential.None {
			if c != (credential.Credential{}) {
				t.Fatalf("an error and a credential: %v", c)
			}
			return
		}
		again, flaw := credential.ParseBasic([]string{basic(c.User + ":" + c.Secret.Reveal())})
		if flaw != credential.None || again.User != c.User || again.Secret.Reveal() != c.Secret.Reveal() {
			t.Fatalf("%q does not survive being sent again: %s", value, flaw)
		}
		if c.User == "" || c.Secret.Reveal() == "" || strings.Contains(c.User, ":") {
			t.Fatalf("%q gives user %q", value, c.User)
		}
	})
}

// TestKey: a hash depends on the key and on each part, and parts do not run
// together (exporter-toolkit's CVE-2022-46146).
func TestKey(t *testing.T) {
	key := credential.NewKey([]byte("secret"))
	seen := map[credential.Hash][]string{}
	for _, parts := range [][]string{
		{"a"}, {"b"}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"", "ab"}, {"a", "b", ""}, {strings.Repeat("x", 10_000)}, {},
		{"a\x00\x00\x00\x00\x00\x00\x00\x01b"},
	} {
		hash := key.Hash(parts...)
		if other, ok := seen[hash]; ok {
			t.Errorf("%.20q and %.20q have one hash", parts, other)
		}
		seen[hash] = parts
		if hash != key.Hash(parts...) || hash != credential.NewKey([]byte("secret")).Hash(parts...) {
			t.Errorf("%.20q has two hashes under one key", parts)
		}
		if hash == credential.NewKey(nil).Hash(parts...) {
			t.Errorf("%.20q has the same hash under another key", parts)
		}
	}
}
