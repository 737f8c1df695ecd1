package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pullgate/pullgate/authsvc/auth"
)

const goodAnswer = `{"objects": [
  {"id": "lic_1", "active": true, "expiration": null,
   "docker_releases": [{"repository": "acme/appliance", "tags": ["1.*", "latest"]}]},
  {"id": 42, "active": false, "expiration": "2027-01-01T00:00:00Z", "docker_releases": [{"repository": "acme/*", "tags": "*"}]},
  {"id": "lic_3", "active": true, "expiration": "2020-01-31", "docker_releases": [{"repository": "acme/old", "tags": "*"}]}
]}`

// TestGrants: the expression on a saved answer, as a table, or the line at which it
// fails.
func TestGrants(t *testing.T) {
	settings := []string{"grants", "--config", "", "--kloudless.url", "https://api.example/"}
	for _, test := range []struct{ name, answer, want, wantError string }{
		{name: "table", answer: goodAnswer, want: `REPOSITORY      TAGS    EXPIRES               STATE      LICENSE
acme/appliance  1.*     never                 in force   lic_1
acme/appliance  latest  never                 in force   lic_1
acme/*          *       2027-01-01T00:00:00Z  withdrawn  42
acme/old        *       2020-02-01T00:00:00Z  expired    lic_3
`},
		{name: "nothing", answer: `{"objects": []}`, want: "(none: this account may pull nothing)\n"},
		{name: "a field is missing", answer: strings.Replace(goodAnswer, `"expiration": "2027-01-01T00:00:00Z", `, "", 1),
			wantError: "FILE:4: license 2 of the list: no field expiration; null is never"},
		{name: "a field of another type", answer: strings.Replace(goodAnswer, `"2020-01-31"`, `1893456000000`, 1),
			wantError: "FILE:5: license 3 of the list: expires: expected seconds since 1970, in the years 2000 to 2199, found another number; is it milliseconds?"},
		{name: "another form", answer: `[]`, wantError: "FILE: items: "},
		{name: "no JSON", answer: `<html>`, wantError: "FILE: expected JSON, found something else"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "answer.json")
			if err := os.WriteFile(file, []byte(test.answer), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := run(t.Context(), append(settings, "--file", file), nil, &out, io.Discard)
			if test.wantError != "" {
				if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), file, "FILE"), test.wantError) {
					t.Errorf("error %v, want %s", err, test.wantError)
				}
				return
			}
			if err != nil || !strings.HasSuffix(out.String(), test.want) {
				t.Errorf("error %v, printed\n%s\nwant\n%s", err, out.String(), test.want)
			}
		})
	}
}

// TestGrantsArguments: what is wrong with the command's own flags.
func TestGrantsArguments(t *testing.T) {
	for args, want := range map[string]string{
		"grants --config  --kloudless.url https://api.example/":                                   `required flag(s) "file" not set`,
		"grants --config  --kloudless.url https://api.example/ --file none.json":                  "open none.json: no such file",
		"grants --config  --kloudless.url https://api.example/ --file main.go --source customers": `--source: expected the name of a source (kloudless), found "customers"`,
	} {
		err := run(t.Context(), strings.Split(args, " "), nil, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

// TestGrantControlsTheTerminal: the file is the vendor's answer.
func TestGrantControlsTheTerminal(t *testing.T) {
	pattern, err := auth.NewPattern("acme/\x1bM*")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printGrants(&out, []auth.Grant{{Repository: pattern, Tag: pattern, License: "lic\x1b[2J\nacme/*  *  never  in force"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || strings.ContainsFunc(lines[1], func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%q", lines)
	}
}
