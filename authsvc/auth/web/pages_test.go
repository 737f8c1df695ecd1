package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// license is the i'th, as its own grant.
func license(i int) string {
	return fmt.Sprintf(`{"repository": "r%d", "tags": "*", "expires": null, "license": %d}`, i, i)
}

// TestPages: next pages by link, cursor and number, at the same origin only.
func TestPages(t *testing.T) {
	const base = "url: SERVICE/check\ngrants: .\nmax_pages: 4\nlicenses: {url: 'SERVICE/licenses?size=1', items: .items, "
	const (
		byLink   = base + "next: $link}"
		byURL    = base + "next: .next}"
		byCursor = base + "next: .next, page_parameter: cursor}"
		byNumber = base + "next: 'if $count == 1 then $page + 1 else null end', page_parameter: page, end_statuses: 404}"
	)
	page := func(i int, more string) string { return `{"items": [` + license(i) + `]` + more + `}` }
	tests := []struct {
		name, config string
		answers      map[string]string // by URI; a body, or LINK|body, or a status
		want         string
		asked        int // at /licenses
	}{
		{"one page", byURL, map[string]string{"/licenses?size=1": page(1, "")}, "r1", 1},
		{"Link", byLink, map[string]string{
			"/licenses?size=1": `</licenses?p=9>; rel="last", <SERVICE/licenses?p=2>; title="a, b"; rel="next"|` + page(1, ""),
			"/licenses?p=2":    `</licenses?p=1>; rel=prev , <?p=3>;rel=NEXT|` + page(2, ""),
			"/licenses?p=3":    `</licenses?p=1>; rel="first prev"|` + page(3, ""),
		}, "r1 r2 r3", 3},
		{"a broken Link is none", byLink, map[string]string{"/licenses?size=1": `</licenses?p=2; rel=next|` + page(1, "")}, "r1", 1},
		{"URL", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "SERVICE/licenses/2#x"`), "/licenses/2": page(2, `, "next": null`)}, "r1 r2", 2},
		{"relative URL", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "/licenses?p=2"`), "/licenses?p=2": page(2, `, "next": ""`)}, "r1 r2", 2},
		{"another host", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "ELSEWHERE/licenses"`)}, "outage", 1},
		{"another host, no scheme", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "//elsewhere.example/"`)}, "outage", 1},
		{"another scheme", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "http://HOST/licenses"`)}, "outage", 1},
		{"a user in it", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "https://u@HOST/licenses"`)}, "outage", 1},
		{"another host by Link", byLink, map[string]string{"/licenses?size=1": `<ELSEWHERE/>; rel="next"|` + page(1, "")}, "outage", 1},
		{"no URL", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "https://[`+hidden+`"`)}, "outage", 1},
		{"an object", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": {"x": "`+hidden+`"}`)}, "outage", 1},
		{"too long", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "/`+strings.Repeat("x", 4096)+`"`)}, "outage", 1},
		{"cursor", byCursor, map[string]string{"/licenses?size=1": page(1, `, "next": "a&b=c"`), "/licenses?cursor=a%26b%3Dc&size=1": page(2, "")}, "r1 r2", 2},
		{"cursor as a number", byCursor, map[string]string{"/licenses?size=1": page(1, `, "next": 20`), "/licenses?cursor=20&size=1": page(2, "")}, "r1 r2", 2},
		{"number", byNumber, map[string]string{"/licenses?size=1": page(1, ""), "/licenses?page=2&size=1": page(2, ""), "/licenses?page=3&size=1": `{"items": []}`}, "r1 r2", 3},
		{"number, until the 404", byNumber, map[string]string{"/licenses?size=1": page(1, ""), "/licenses?page=2&size=1": "404"}, "r1", 2},
		{"404 at once", byNumber, map[string]string{"/licenses?size=1": "404"}, "outage", 1},
		{"refused at the second", byNumber, map[string]string{"/licenses?size=1": page(1, ""), "/licenses?page=2&size=1": "401"}, "credential", 2},
		{"down at the second", byNumber, map[string]string{"/licenses?size=1": page(1, ""), "/licenses?page=2&size=1": "503"}, "outage", 2},
		{"without end", byURL, map[string]string{"/licenses?size=1": page(1, `, "next": "/licenses?size=1"`)}, "account's outage", 4},
		{"no items", byURL, map[string]string{"/licenses?size=1": `{"x": "` + hidden + `"}`}, "outage", 1},
		{"items of another type", byURL, map[string]string{"/licenses?size=1": `{"items": {}}`}, "outage", 1},
		{"a license without a key", byURL, map[string]string{"/licenses?size=1": `{"items": [{"repository": "` + hidden + `"}]}`}, "account's outage", 1},
		{"a license of null", byURL, map[string]string{"/licenses?size=1": `{"items": [null]}`}, "account's outage", 1},
		{"half a page", byURL, map[string]string{"/licenses?size=1": `{"items": [` + license(1)}, "outage", 1},
		{"none", byURL + "\n", map[string]string{"/licenses?size=1": `{"items": []}`}, "", 1},
		{"no licenses by status", strings.Replace(byURL, "next", "none_statuses: [404, 410], next", 1), map[string]string{"/licenses?size=1": "410"}, "", 1},
	}
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			w := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+ann.Secret.Reveal() {
					t.Errorf("Authorization %q at %s", r.Header["Authorization"], r.RequestURI)
				}
				if r.URL.Path == "/check" {
					return
				}
				asked++
				text, ok := test.answers[r.RequestURI]
				if !ok {
					t.Errorf("asked for %s", r.RequestURI)
				}
				answerPage(w, r, text, other.URL)
			}, test.config)
			decision, err := ask(t, w, ann)
			got := told(t, decision, err)
			if got == "accepted" {
				got = repositories(decision.Grants)
			}
			if got != test.want || asked != test.asked {
				t.Errorf("%s in %d requests, %v; want %s in %d", got, asked, err, test.want, test.asked)
			}
		})
	}
	if elsewhere.Load() > 0 {
		t.Errorf("%d requests elsewhere", elsewhere.Load())
	}
}

// answerPage answers with a status, or with a body after an optional Link and a bar.
func answerPage(w http.ResponseWriter, r *http.Request, text, elsewhere string) {
	if status, err := strconv.Atoi(text); err == nil {
		say(w, status, "{}")
		return
	}
	text = strings.NewReplacer("SERVICE", "https://"+r.Host, "HOST", r.Host, "ELSEWHERE", elsewhere).Replace(text)
	if link, body, ok := strings.Cut(text, "|"); ok {
		w.Header().Set("Link", link)
		text = body
	}
	say(w, 200, text)
}

func repositories(grants auth.Grants) string {
	var all []string
	for g := range grants.All() {
		all = append(all, g.Repository.String())
	}
	return strings.Join(all, " ")
}

// TestLicensesInTheFirstAnswer: one request is enough, and its pages go on with the
// same credential and method.
func TestLicensesInTheFirstAnswer(t *testing.T) {
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.FormValue("token") != ann.Secret.Reveal() {
			t.Errorf("%s with %v", r.Method, r.Form)
		}
		if r.URL.Query().Get("page") == "2" {
			say(w, 200, `{"id": 8, "licenses": [`+license(2)+`]}`)
			return
		}
		say(w, 200, `{"id": 7, "licenses": [`+license(1)+`], "next": 2}`)
	}, "url: SERVICE/check\nmethod: POST\ncredential: {as: form, secret_field: token}\naccount: {subject: .id}\n"+
		"licenses: {items: .licenses, next: .next, page_parameter: page}\ngrants: .")
	decision, err := ask(t, w, ann)
	if err != nil || decision.Subject != "7" || repositories(decision.Grants) != "r1 r2" || !w.Licensed || w.Licenses != nil {
		t.Errorf("%+v, %v", decision, err)
	}
}
