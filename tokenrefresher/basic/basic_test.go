package basic_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/basic"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const host = "registry.example.com:5000"

func files(t *testing.T, user, password string) (userFile, passwordFile string) {
	t.Helper()
	dir := t.TempDir()
	userFile, passwordFile = filepath.Join(dir, "user"), filepath.Join(dir, "password")
	for path, content := range map[string]string{userFile: user, passwordFile: password} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return userFile, passwordFile
}

func TestFetch(t *testing.T) {
	const line = "expected one line, found more or a control character"
	tests := []struct{ name, user, password, want, wantError string }{
		{name: "plain", user: "ann", password: "secret", want: "ann:secret"},
		{name: "line ends", user: "ann\n", password: "secret\r\n", want: "ann:secret"},
		{name: "only the last line end", user: "ann", password: "secret\n\n", wantError: line},
		{name: "spaces and colons", user: "ann a", password: " a:b ", want: "ann a: a:b "},
		{name: "UTF-8", user: "änn", password: "pässwörd", want: "änn:pässwörd"},
		{name: "longest", user: "ann", password: strings.Repeat("s", 4096) + "\n", want: "ann:" + strings.Repeat("s", 4096)},
		{name: "too long", user: "ann", password: "secret" + strings.Repeat("s", 4096), wantError: "expected one line of 1 to 4096 bytes, found an empty or a longer one"},
		{name: "no user", user: "\n", password: "secret", wantError: "user: expected one line of 1 to 4096 bytes, found an empty or a longer one"},
		{name: "no password", user: "ann", password: "", wantError: "password: expected one line of 1 to 4096 bytes, found an empty or a longer one"},
		{name: "colon in the user", user: "ann:secret", password: "x", wantError: "expected a user without a colon (RFC 7617, section 2)"},
		{name: "control character", user: "ann", password: "secret\x00", wantError: line},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			user, password := files(t, test.user, test.password)
			got, err := basic.New(host, user, password).Fetch(t.Context())
			if test.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantError) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %v, want %s", err, test.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(test.want)); got.Authorization() != want {
				t.Errorf("got %s, want %s", got.Authorization(), want)
			}
			if got.Host != host || !got.ExpiresAt.IsZero() {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	user, password := files(t, "ann", "secret")
	for _, s := range []*basic.Source{basic.New(host, user, password+".none"), basic.New(host, user+".none", password)} {
		if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), ".none: no such file") {
			t.Errorf("error %v", err)
		}
	}
}

// TestReadAnew: a password that is replaced counts from the next refresh, and
// at the next start the file with the old one is not taken over.
func TestReadAnew(t *testing.T) {
	user, password := files(t, "ann", "old")
	s := basic.New(host, user, password)
	old, err := s.Fetch(t.Context())
	if err != nil || !s.Owns(old) {
		t.Fatalf("%+v, %v", old, err)
	}
	if err := os.WriteFile(password, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := s.Fetch(t.Context())
	if err != nil || next.SameCredential(old) || s.Owns(old) || !s.Owns(next) {
		t.Errorf("%+v, %v", next, err)
	}
	if s.Owns(tokenfile.Token{Host: "other.example.com", Value: next.Value}) {
		t.Error("owns another registry's token")
	}
}
