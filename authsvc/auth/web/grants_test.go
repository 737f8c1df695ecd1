package web_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const forGrants = "service: {as: header, header: X-Api-Key, credential_file: DIR/key}\n" +
	"licenses: {url: 'SERVICE/v1/customers/{subject}/licenses?user={user}', credential: service, items: .items, none_statuses: 404}\ngrants: .\n"

// TestGrantsAlone: a source that is asked with the service credential about an account
// that another source has accepted.
func TestGrantsAlone(t *testing.T) {
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != "key-"+hidden:
			say(w, 401, `{}`)
		case r.RequestURI == "/v1/customers/7%2Fx/licenses?user=ann%40acme.example":
			say(w, 200, `{"items": [`+license(1)+`]}`)
		default:
			say(w, 404, `{}`)
		}
	}, forGrants, map[string]string{"key": "key-" + hidden})
	if w.Source != nil || w.Licensed || w.Licenses == nil {
		t.Fatalf("%+v", w.Made)
	}
	for account, want := range map[auth.Account]string{
		{Subject: "7/x", User: "ann@acme.example"}: "r1",
		{Subject: "8", User: "ann@acme.example"}:   "",
		{Subject: "..", User: "ann@acme.example"}:  "account's outage",
		{Subject: "7/x"}:            "account's outage",
		{User: "ann@acme.example"}:  "account's outage",
		{Subject: "7\n", User: "a"}: "account's outage",
	} {
		grants, err := w.Licenses.Grants(t.Context(), account)
		got := repositories(grants)
		if err != nil {
			got = told(t, auth.Decision{}, err)
		}
		if got != want {
			t.Errorf("%+v: %s, %v; want %s", account, got, err, want)
		}
	}
}

// TestServiceCredential: the file is read again for each request, so a new credential
// is used at once, and a file that is wrong is a fault until it is mended.
func TestServiceCredential(t *testing.T) {
	valid := "one"
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != valid {
			say(w, 401, `{}`)
			return
		}
		say(w, 200, `{"items": []}`)
	}, strings.ReplaceAll(forGrants, "DIR/key", "$CREDENTIALS_DIRECTORY/key"))
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, step := range []struct{ content, valid, want string }{
		{"", "", "outage"}, {"one\n", "one", "accepted"}, {"two\r\n", "two", "accepted"}, {"one", "two", "outage"},
		{"two\nlines-" + hidden, "", "outage"}, {"\n", "", "outage"}, {strings.Repeat("x", 4097), "", "outage"}, {strings.Repeat("x", 1<<20), "", "outage"}, {"three", "three", "accepted"},
	} {
		valid = step.valid
		if step.content != "" {
			if err := os.WriteFile(filepath.Join(dir, "key"), []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.Licenses.Grants(t.Context(), auth.Account{Subject: "7", User: "a"})
		fault := w.faults["service credential"]
		if got := told(t, auth.Decision{}, err); got != step.want || (fault != nil) != (step.valid == "") || fault != nil && strings.Contains(fault.Error(), hidden) {
			t.Errorf("%.20q: %s, %v, fault %v; want %s", step.content, got, err, fault, step.want)
		}
	}
}

// TestLicensesByConfirmedNames: what a customer typed is not looked up; what the
// service confirms is.
func TestLicensesByConfirmedNames(t *testing.T) {
	asked := ""
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/me" {
			say(w, 200, `{"email": "ann@acme.example"}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("Authorization %q", r.Header["Authorization"])
		}
		asked = r.RequestURI
		say(w, 200, `[]`)
	}, "url: SERVICE/me\naccount: {user: .email}\nservice: {credential_file: DIR/key}\nlicenses: {url: 'SERVICE/of/{user}', credential: service}\ngrants: .", map[string]string{"key": "key"})
	decision, err := ask(t, w, credential.Credential{User: "bob@acme.example", Secret: ann.Secret})
	if err != nil || decision.User != "ann@acme.example" || asked != "/of/ann@acme.example" || w.Licenses == nil || !w.Licensed {
		t.Errorf("%+v, %v, asked for %s", decision, err, asked)
	}
}
