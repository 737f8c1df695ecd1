package web_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// TestRequests: what the service gets, for each way to send a credential, and that a
// user who is sent makes the secret a password.
func TestRequests(t *testing.T) {
	presented := credential.Credential{User: "ann+x@acme.example", Secret: credential.NewSecret("s3/c-ret=")}
	tests := []struct {
		name, config string
		want         string // method, URI, the headers Authorization and X-Api-Key, type and body
		bearer       bool
	}{
		{"bearer", "url: SERVICE/check", "GET /check [Bearer s3/c-ret=] [] ", true},
		{"basic", "url: SERVICE/check\ncredential: {as: basic}", "GET /check [Basic YW5uK3hAYWNtZS5leGFtcGxlOnMzL2MtcmV0PQ==] [] ", false},
		{"header", "url: SERVICE/check\ncredential: {as: header, header: x-api-key}", "GET /check [] [s3/c-ret=] ", true},
		{"form", "url: SERVICE/check?x=1\nmethod: POST\ncredential: {as: form, secret_field: token}",
			"POST /check?x=1 [] [] application/x-www-form-urlencoded token=s3%2Fc-ret%3D", true},
		{"form with the user", "url: SERVICE/check\nmethod: PUT\ncredential: {as: form, user_field: u, secret_field: p}",
			"PUT /check [] [] application/x-www-form-urlencoded p=s3%2Fc-ret%3D&u=ann%2Bx%40acme.example", false},
		{"JSON", "url: SERVICE/check\nmethod: POST\ncredential: {as: json, user_field: u, secret_field: p}",
			`POST /check [] [] application/json {"p":"s3/c-ret=","u":"ann+x@acme.example"}`, false},
		{"JSON without the user", "url: SERVICE/check\nmethod: POST\ncredential: {as: json, secret_field: p}",
			`POST /check [] [] application/json {"p":"s3/c-ret="}`, true},
		{"user in the path", "url: SERVICE/users/{user}/check\ncredential: {as: header, header: x-api-key}",
			"GET /users/ann+x@acme.example/check [] [s3/c-ret=] ", false},
		{"user in the query", "url: 'SERVICE/check?u={user}&x=1'\ncredential: {as: header, header: x-api-key}",
			"GET /check?u=ann%2Bx%40acme.example&x=1 [] [s3/c-ret=] ", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			w := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = strings.Join([]string{r.Method, r.RequestURI, list(r.Header["Authorization"]), list(r.Header["X-Api-Key"]), r.Header.Get("Content-Type")}, " ") + sep(body)
				say(w, 200, "{}")
			}, test.config)
			if decision, err := ask(t, w, presented); told(t, decision, err) != "accepted" {
				t.Errorf("%+v, %v", decision, err)
			}
			if got != test.want || w.Source.Bearer() != test.bearer {
				t.Errorf("got  %s, bearer: %t\nwant %s, %t", got, w.Source.Bearer(), test.want, test.bearer)
			}
		})
	}
}

func list(values []string) string { return "[" + strings.Join(values, "|") + "]" }

func sep(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	return " " + string(body)
}

// TestUnsendable: what cannot be a part of the request is refused, and the service is
// not asked.
func TestUnsendable(t *testing.T) {
	const (
		path   = "url: SERVICE/users/{user}\ncredential: {as: basic}"
		query  = "url: SERVICE/check?u={user}\ncredential: {as: basic}"
		basic  = "url: SERVICE/check\ncredential: {as: basic}"
		bearer = "url: SERVICE/check"
		header = "url: SERVICE/check\ncredential: {as: header, header: X-Api-Key}"
		form   = "url: SERVICE/check\nmethod: POST\ncredential: {as: form, user_field: u, secret_field: p}"
	)
	long := strings.Repeat("x", 256)
	tests := []struct {
		config, user, secret string
		asked                bool
	}{
		{path, "ann", "x", true}, {path, "group/ann", "x", true}, {path, "a.b", "x", true}, {path, ".ann", "x", true}, {path, "a?b#c%2e", "x", true},
		{path, "..", "x", false}, {path, ".", "x", false}, {path, "../admin", "x", false}, {path, "a/../../admin", "x", false}, {path, `..\admin`, "x", false},
		{path, "", "x", false}, {path, "a\x00", "x", false}, {path, "a\r\nHost: x", "x", false}, {path, "a\u0085", "x", false}, {path, "\xff", "x", false},
		{path, long, "x", false}, {path, long[1:], "x", true},
		{query, "..", "x", false}, {query, "a&admin=1", "x", true}, {query, "' OR 1=1 --", "x", true}, {query, "", "x", false},
		{basic, "..", "x", true}, {basic, "a:b", "x", false}, {basic, "", "x", false}, {basic, "a\n", "x", false}, {basic, long, "x", false},
		{basic, "ann", "", false}, {basic, "ann", "pass word: ü", true}, {basic, "ann", strings.Repeat("x", 4096), true}, {basic, "ann", strings.Repeat("x", 4097), false},
		{bearer, "\x00..", "x", true}, {bearer, "", "x", true}, {bearer, "ann", "two words", false}, {bearer, "ann", "", false}, {bearer, "ann", "a\nb", false},
		{header, "ann", "two words", true}, {header, "ann", " x", false}, {header, "ann", "x ", false}, {header, "ann", "ü", false}, {header, "ann", "a\r\nX: y", false}, {header, "ann", "", false},
		{form, "ann", "x&admin=1", true}, {form, "", "x", false}, {form, "ann", "", false}, {form, "\xff", "x", false},
	}
	for _, test := range tests {
		asked := 0
		w := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			if len(strings.Split(r.URL.EscapedPath(), "/")) > 3 || len(r.URL.Query()) > 1 {
				t.Errorf("%q became %s", test.user, r.RequestURI)
			}
			say(w, 200, "{}")
		}, test.config)
		decision, err := ask(t, w, credential.Credential{User: test.user, Secret: credential.NewSecret(test.secret)})
		want := auth.WrongCredential
		if test.asked {
			want = ""
		}
		if err != nil || decision.Refusal != want || (asked == 1) != test.asked {
			t.Errorf("%q with %.20q, %s: %+v, %v after %d requests", test.user, test.secret, test.config, decision, err, asked)
		}
	}
}

// TestUnsendableIsAnotherSources: what cannot be a user or a token of the service may be
// one of the next source in the list. A password of staff with an exclamation mark is no
// Bearer token of the service before; refusing it would shut them out for good. A source
// without not_mine never passes a credential on.
func TestUnsendableIsAnotherSources(t *testing.T) {
	const (
		bearer = "url: SERVICE/check\nnot_mine: {statuses: 404}"
		basic  = bearer + "\ncredential: {as: basic}"
		path   = "url: SERVICE/users/{user}\nnot_mine: {statuses: 404}"
	)
	for _, test := range []struct {
		config, user, secret string
		want                 auth.Refusal
	}{
		{bearer, "ann", "pass word!", auth.NotMine},
		{bearer, "ann", strings.Repeat("x", 4097), auth.NotMine},
		{basic, strings.Repeat("x", 256), "x", auth.NotMine},
		{path, "a..b@acme.example", "x", auth.NotMine},
		{basic, "ann", strings.Repeat("x", 4097), auth.WrongCredential}, // the user may be the service's
		{"url: SERVICE/check", "ann", "pass word!", auth.WrongCredential},
	} {
		w := serve(t, always(200, "{}"), test.config)
		decision, err := ask(t, w, credential.Credential{User: test.user, Secret: credential.NewSecret(test.secret)})
		if err != nil || decision.Refusal != test.want {
			t.Errorf("%.20q with %.20q, %s: %+v, %v; want %q", test.user, test.secret, test.config, decision, err, test.want)
		}
	}
}

// FuzzURL: whatever a customer types, the request stays at its place of the service,
// and the service reads there what was typed.
func FuzzURL(f *testing.F) {
	for _, user := range []string{"ann@acme.example", "group/ann", "..", "%2e%2e", "a/../b", "a?b", "a#b", "a&u=b", "a;b", "@evil.example", "//evil.example/", "\\", "{subject}", "{user}", "+", " ", "ü", "\u202e"} {
		f.Add(user)
	}
	var seen *url.URL
	w := serve(f, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.RequestURI, "/a/") {
			seen = r.URL
		}
		say(w, 200, "{}")
	}, "url: SERVICE/a/{user}/z?u={user}&v=1\ncredential: {as: header, header: X-Key}")
	f.Fuzz(func(t *testing.T, user string) {
		seen = nil
		decision, err := ask(t, w, credential.Credential{User: user, Secret: credential.NewSecret("x")})
		if err != nil {
			t.Fatalf("%q: %v", user, err)
		}
		if decision.Refusal != "" {
			if user != "" && !strings.ContainsAny(user, ".\x00") && len(user) < 20 && isPlain(user) {
				t.Errorf("%q is refused", user)
			}
			return
		}
		segments := strings.Split(seen.EscapedPath(), "/")
		if len(segments) != 4 || segments[3] != "z" || strings.Contains(user, "..") {
			t.Fatalf("%q became the path %s", user, seen.EscapedPath())
		}
		if inPath, err := url.PathUnescape(segments[2]); err != nil || inPath != user {
			t.Errorf("%q became %q in the path", user, inPath)
		}
		if query := seen.Query(); len(query) != 2 || query.Get("u") != user || query.Get("v") != "1" {
			t.Errorf("%q became the query %s", user, seen.RawQuery)
		}
	})
}

func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
