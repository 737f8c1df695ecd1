package jq_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
)

func compile(t testing.TB, source string) *jq.Expression {
	t.Helper()
	e, err := jq.Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decode(t testing.TB, text string) any {
	t.Helper()
	value, err := jq.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestErrorsQuoteNoAnswer: what an operator wrote into the expression's
// error(…) is told, and nothing of the answer, in whatever way it gets into an
// error.
func TestErrorsQuoteNoAnswer(t *testing.T) {
	const hidden = "customers-own-words"
	input := `{"a": "` + hidden + `", "list": ["` + hidden + `"]}`
	tests := []struct{ expression, want string }{
		{`error("the field x is missing")`, "the field x is missing"},
		{`if has("x") then .x else error("no x") end`, "no x"},
		{`try error(.a) catch error("caught")`, "caught"},
		{`"told" | halt_error`, "told"},
		{`error(.a)`, "fails on the answer"},
		{`error("the field is \(.a)")`, "fails on the answer"},
		{`error("the field is " + .a)`, "fails on the answer"},
		{`error({a})`, "fails on the answer"},
		{`error(null)`, "fails on the answer"},
		{`error`, "fails on the answer"},
		{`.a | halt_error`, "fails on the answer"},
		{`.a.b`, "fails on the answer"},
		{`.list.b`, "fails on the answer"},
		{`.a | tonumber`, "fails on the answer"},
		{`.a | fromjson`, "fails on the answer"},
		{`.a | test("(")`, "fails on the answer"},
		{`.list`, "found array"},
		{`{(.a): 1}`, "found object"},
		{`.a, .a`, "found more"},
		{`.list[]?.b?`, "found none"},
		{`halt`, "found none"},
		{`.a * 100`, "bytes"},
	}
	for _, test := range tests {
		text, err := compile(t, test.expression).Text(t.Context(), decode(t, input))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %q, %v; want an error with %q and without the answer's words", test.expression, text, err, test.want)
		}
	}
}

func TestID(t *testing.T) {
	tests := []struct{ input, want string }{
		{`"lic_7"`, "lic_7"}, {`" lic_7\n"`, "lic_7"}, {`7`, "7"},
		{`9007199254740993`, "9007199254740993"}, {`123456789012345678901234567890`, "123456789012345678901234567890"},
		{`"` + strings.Repeat("x", 255) + `"`, strings.Repeat("x", 255)},
		{`"` + strings.Repeat("x", 256) + `"`, ""}, {strings.Repeat("1", 256), ""},
		{`""`, ""}, {`" "`, ""}, {`null`, ""}, {`true`, ""}, {`[]`, ""}, {`{}`, ""},
	}
	for _, test := range tests {
		got, err := compile(t, ".").ID(t.Context(), decode(t, test.input))
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%.20s: %.20q, %v; want %.20q", test.input, got, err, test.want)
		}
		text, err := compile(t, ".").Text(t.Context(), decode(t, test.input))
		if isText := strings.HasPrefix(test.input, `"`); (err == nil) != (isText && test.want != "") {
			t.Errorf("as text, %.20s: %.20q, %v", test.input, text, err)
		}
	}
}

// TestReaders: each reader takes its own type, and guesses nothing.
func TestReaders(t *testing.T) {
	tests := []struct{ expression, truth, list, end, optional string }{
		{"true", "true", "", "", ""},
		{"null", "", "", "never", "none"},
		{"empty", "", "", "", "none"},
		{`""`, "", "", "", "none"},
		{"1798761600", "", "", "2027-01-01T00:00:00Z", "1798761600"},
		{`"2026-12-31"`, "", "", "2027-01-01T00:00:00Z", "2026-12-31"},
		{`"x" * 20`, "", "", "", ""},
		{`[1, 2]`, "", "2", "", ""},
		{`{}`, "", "", "", ""},
		{`1, 2`, "", "", "", ""},
		{`error("x")`, "", "", "", ""},
		{"$a == 1 and $b == null", "true", "", "", ""},
	}
	for _, test := range tests {
		e, err := jq.Compile(test.expression, "$a", "$b")
		if err != nil {
			t.Fatal(err)
		}
		e = e.With(1, nil)
		got := test
		got.truth, got.list, got.end, got.optional = "", "", "", ""
		if truth, err := e.Truth(t.Context(), nil); err == nil {
			got.truth = fmt.Sprint(truth)
		}
		if list, err := e.List(t.Context(), nil); err == nil {
			got.list = fmt.Sprint(len(list))
		}
		if end, err := e.Time(t.Context(), nil); err == nil && end.IsZero() {
			got.end = "never"
		} else if err == nil {
			got.end = end.UTC().Format(time.RFC3339)
		}
		if text, err := e.Optional(t.Context(), nil, 10); err == nil && text == "" {
			got.optional = "none"
		} else if err == nil {
			got.optional = text
		}
		if got != test {
			t.Errorf("got %+v\nwant %+v", got, test)
		}
	}
}

func TestGrants(t *testing.T) {
	const grant = `{repository: "a", tags: "*", expires: null, license: 1}`
	tests := []struct{ expression, want, wantError string }{
		{grant, "a:* never 1", ""},
		{grant + `, ` + grant, "a:* never 1, a:* never 1", ""},
		{`empty`, "", ""},
		{`halt`, "", ""},
		{grant + ` | .tags = ["1", "2"]`, "a:1 never 1, a:2 never 1", ""},
		{grant + ` | .tags = []`, "", ""},
		{grant + ` | .withdrawn = true`, "a:* withdrawn 1", ""},
		{grant + ` | .withdrawn = false`, "a:* never 1", ""},
		{grant + ` | .expires = "2027-01-31"`, "a:* 2027-02-01T00:00:00Z 1", ""},
		{grant + ` | .expires = "2027-01-31T01:00:00+02:00"`, "a:* 2027-01-30T23:00:00Z 1", ""},
		{grant + ` | .expires = "0000-12-31"`, "", "expires: expected an RFC 3339 time"},
		{grant + ` | .expires = 946684800`, "a:* 2000-01-01T00:00:00Z 1", ""},
		{grant + ` | .expires = 7258118399.9`, "a:* 2199-12-31T23:59:59Z 1", ""},
		{grant + ` | .expires = 946684799`, "", "expires: expected seconds since 1970"},
		{grant + ` | .expires = 7258118400`, "", "milliseconds?"},
		{grant + ` | .expires = "9999-12-31"`, "a:* 9999-12-31T23:59:59Z 1", ""},
		{grant + ` | .expires = nan`, "", "expires: expected seconds since 1970"},
		{grant + ` | .expires = infinite`, "", "milliseconds?"},
		{grant + ` | .expires = true`, "", "expires: expected a time"},
		{grant + ` | .expires = "never"`, "", "expires: expected an RFC 3339 time"},
		{grant + ` | .withdrawn = null`, "", "withdrawn: expected true or false, found null"},
		{grant + ` | .withdrawn = "true"`, "", "withdrawn: expected true or false, found string"},
		{grant + ` | .withdrwan = true`, "", "found another"},
		{grant + ` | del(.expires)`, "", `the key "expires"`},
		{grant + ` | .license = ""`, "", "license: expected 1 to 255 bytes"},
		{grant + ` | .repository = "[!a]"`, "", "repository: pattern"},
		{grant + ` | .tags = null`, "", "tags: expected a pattern, found null"},
		{`"a"`, "", "expected an object that describes grants, found string"},
		{`repeat(` + grant + `)`, "", "more than 10000 grants"},
		{`error("no field active")`, "", "license 1 of the list: no field active"},
	}
	for _, test := range tests {
		grants, err := compile(t, test.expression).AppendGrants(t.Context(), nil, []any{nil})
		if got := describe(grants); test.wantError == "" && (err != nil || got != test.want) ||
			test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
			t.Errorf("%s: %s, %v; want %s%s", test.expression, describe(grants), err, test.want, test.wantError)
		}
	}
}

func describe(grants []auth.Grant) string {
	var all []string
	for _, g := range grants {
		end := "never"
		if !g.Expires.IsZero() {
			end = g.Expires.UTC().Format(time.RFC3339)
		}
		if g.Withdrawn {
			end = "withdrawn"
		}
		all = append(all, fmt.Sprintf("%s:%s %s %s", g.Repository, g.Tag, end, g.License))
	}
	return strings.Join(all, ", ")
}

// FuzzGrants: whatever an answer holds, nothing panics, and a grant has all of
// its parts.
func FuzzGrants(f *testing.F) {
	for _, seed := range []string{
		`{"repository": "a", "tags": ["1.*"], "expires": "2027-01-31", "license": 7}`,
		`{"repository": "a", "tags": "*", "expires": 1798761600000, "license": "7", "withdrawn": true}`, `null`, `[1e999]`, `"[!a]"`,
	} {
		f.Add(seed)
	}
	expression := compile(f, ".")
	f.Fuzz(func(t *testing.T, text string) {
		value, err := jq.Decode([]byte(text))
		if err != nil {
			return
		}
		grants, err := expression.AppendGrants(t.Context(), nil, []any{value})
		for _, g := range grants {
			if err == nil && (g.Repository.String() == "" || g.Tag.String() == "" || g.License == "" || g.Withdrawn && g.ValidAt(time.Time{})) {
				t.Errorf("%q gives %+v", text, g)
			}
		}
	})
}
