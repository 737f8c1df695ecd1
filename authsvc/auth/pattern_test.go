package auth_test

import (
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
)

func TestPattern(t *testing.T) {
	tests := []struct {
		glob, matches, not string
		wantError          string
	}{
		{glob: "1.*", matches: "1.4", not: "2.0"},
		{glob: "acme/*", matches: "acme/tools", not: "acme/tools/x"},
		{glob: "[12].?", matches: "2.0", not: "3.0"},
		{glob: "[^2].*", matches: "1.0", not: "2.0"},
		{glob: "v[a!].*", matches: "v!.0", not: "vb.0"},
		{glob: "", wantError: "empty pattern"},
		{glob: "[", wantError: "syntax error"},
		{glob: strings.Repeat("x", 513), wantError: "at most 512"},
	}
	for _, test := range tests {
		p, err := auth.NewPattern(test.glob)
		if test.wantError != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("%.20q: error %v, want %s", test.glob, err, test.wantError)
			}
			continue
		}
		if err != nil || !p.Match(test.matches) || p.Match(test.not) {
			t.Errorf("%q: %v; %q matches %v, %q %v", test.glob, err, test.matches, p.Match(test.matches), test.not, p.Match(test.not))
		}
	}
	if (auth.Pattern{}).Match("") {
		t.Error("the zero Pattern matches")
	}
}

// TestBracketBangMatchesTwo: path.Match takes a shell's [!2] for a class of "!"
// and "2", so that a license for everything but 2 opened 2 alone.
func TestBracketBangMatchesTwo(t *testing.T) {
	for glob, right := range map[string]string{"[!2].*": "[^2].*", "a/[!bc]": "a/[^bc]", "[!": "[^"} {
		if p, err := auth.NewPattern(glob); err == nil || !strings.Contains(err.Error(), right) {
			t.Errorf("%s: accepted, and matches 2.0: %v; error %v, want one that suggests %s", glob, p.Match("2.0"), err, right)
		}
	}
}
