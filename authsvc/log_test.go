package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// TestLog: support finds a decision by what a customer tells.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	secret := strings.Repeat("k", 32)
	hash := credential.NewKey([]byte(secret)).Hash("user", "ann@acme.example").Short()
	line := func(id, subject, more string) string {
		return fmt.Sprintf(`{"time":"2026-11-23T12:00:00Z","msg":"decision","request_id":"%s","client":"192.0.2.1","subject":"%s","kind":"ping","decision":"x"%s}`+"\n", strings.Repeat(id, 32), subject, more)
	}
	log := write("log", line("1", "ann@acme.example", "")+line("2", "user:"+hash, "")+line("3", "account-1", `,"unverified_user":"ann@acme.example"`)+
		line("4", "bob@acme.example", "")+line("5", "account-2", `,"unverified_user":"?nn"`))
	key, short, none := write("key", secret), write("short", "k"), filepath.Join(dir, "none")
	config := func(file string) []string {
		return []string{"--config", "", "--kloudless.url", "https://api.example/", "--cache.key_file", file}
	}
	ann := []string{"log", "--file", log, "--json", "--user", "Ann@acme.example"}
	for _, test := range []struct {
		name            string
		args            []string
		want            string // the first digits of the requests
		note, wantError string
	}{
		{name: "a user, with the key", args: append(ann, config(key)...), want: "123"},
		{name: "without the key", args: append(ann, config("")...), want: "13", note: "cache.key_file is not set"},
		{name: "a key that is not there", args: append(ann, config(none)...), want: "13", note: "no such file"},
		{name: "a key that is too short", args: append(ann, config(short)...), want: "13", note: "expected at least 32 bytes in " + short + ", found 1"},
		{name: "without a configuration", args: append(ann, "--config", none), want: "13", note: "no such file"},
		{name: "a user as the log shows it", args: append([]string{"log", "--file", log, "--json", "--user", "änn"}, config(key)...), want: "5"},
		{name: "a request", args: []string{"log", "--file", log, "--json", "--request", "44444444"}, want: "4"},
		{name: "nothing", args: []string{"log", "--file", log, "--request", "99999999"}, wantError: "no such decision found"},
		{name: "too old", args: []string{"log", "--file", log, "--request", "44444444", "--since", "1d"}, wantError: "no such decision found"},
		{name: "half an id", args: []string{"log", "--file", log, "--request", "4444"}, wantError: `--request: expected 8 to 32 hexadecimal digits such as 5f3a9c01, found "4444"`},
		{name: "no span", args: []string{"log", "--request", "44444444", "--since", "yesterday"}, wantError: `--since: expected a time span such as 24h or 7d, found "yesterday"`},
		{name: "a span of nothing", args: []string{"log", "--request", "44444444", "--since", "0d"}, wantError: `found "0d"`},
		{name: "a span in the future", args: []string{"log", "--request", "44444444", "--since", "-1h"}, wantError: `found "-1h"`},
		{name: "no file", args: []string{"log", "--file", none, "--request", "44444444"}, wantError: "no such file"},
		{name: "no question", args: []string{"log", "--file", log}, wantError: "at least one of the flags in the group [user request] is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, notes bytes.Buffer
			err := run(t.Context(), test.args, nil, &out, &notes)
			if test.wantError == "" && err != nil || test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
				t.Errorf("error %v, want %q", err, test.wantError)
			}
			got := ""
			for line := range strings.Lines(out.String()) {
				_, id, _ := strings.Cut(line, `"request_id":"`)
				got += id[:1]
			}
			if got != test.want {
				t.Errorf("found %q, want %q", got, test.want)
			}
			if !strings.Contains(notes.String(), test.note) || (notes.Len() > 0) != (test.note != "") {
				t.Errorf("notes %q, want %q", notes.String(), test.note)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("the command has made files: %v, %v", left, err)
	}
}

// TestLogTable: without --json it is a table.
func TestLogTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(`{"time":"2026-11-23T12:00:00Z","msg":"decision","request_id":"5f3a9c01","kind":"manifest","repository":"a/b","reference":"1","decision":"denied","reason":"license l expired"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"log", "--file", file, "--request", "5F3A9C01"}, nil, &out, &out); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Split(out.String(), "\n"); len(rows) != 3 || !strings.HasPrefix(rows[0], "TIME") || !strings.Contains(rows[1], "5f3a9c01  denied            a/b:1") || !strings.HasSuffix(rows[1], "license l expired") {
		t.Errorf("printed\n%s", out.String())
	}
}

// TestJSONControlsTheTerminal: a license's name with U+009B, which begins a command
// to a terminal as ESC [ does. JSON need not escape it.
func TestJSONControlsTheTerminal(t *testing.T) {
	const hostile = "lic\u009b2J\u202e\x7f"
	file := filepath.Join(t.TempDir(), "log")
	line := `{"time":"2026-11-23T12:00:00Z","msg":"decision",` + "\r" + `"request_id":"11111111","license":"` + hostile + `","reason":"äöü"}`
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"log", "--file", file, "--json", "--request", "11111111"}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var found struct{ License, Reason string }
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.License != hostile || found.Reason != "äöü" {
		t.Errorf("%+v, %v", found, err)
	}
	if text := strings.TrimSuffix(out.String(), "\n"); strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%q", text)
	}
}
