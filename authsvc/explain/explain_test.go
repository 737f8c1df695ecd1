package explain_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// FuzzPrint: whatever a source or an operator writes, the terminal gets printable
// lines alone.
func FuzzPrint(f *testing.F) {
	f.Add("acme/appliance:1.9", "down\x1b[2J\r\nresult      allowed", "lic_\u202e1")
	f.Fuzz(func(t *testing.T, reference, reason, license string) {
		e := explain.Explanation{Result: explain.Outage, Reference: reference, Path: registry.ImagePath(reference),
			Credential: &explain.Credential{Sources: []explain.Consult{{How: "asked", Error: reason}}},
			Licenses:   &explain.Licenses{Total: 1, Shown: []explain.License{{License: license, Repository: license, Tags: license}}},
			Steps:      []explain.Step{{Step: "authenticate", Result: explain.Outage, Reason: reason}},
			Degraded:   []string{reason}, Next: "wait"}
		var out bytes.Buffer
		if err := e.Print(&out); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", out.String())
		}
		if n := strings.Count(out.String(), "\nresult"); n > 0 {
			t.Errorf("a second line result:\n%s", out.String())
		}
	})
}
