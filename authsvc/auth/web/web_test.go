package web_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// hidden is what no error may tell: every secret and every answer has it.
const hidden = "keep-this-out-of-errors"

var ann = credential.Credential{User: "ann@acme.example", Secret: credential.NewSecret("anns-" + hidden)}

// grant is a license that package jq reads as it is.
const grant = `{"repository": "acme/appliance", "tags": "1.*", "expires": null, "license": "lic_1"}`

// A world is a web service over TLS, and a source that asks it.
type world struct {
	*httptest.Server
	auth.Made
	mu       sync.Mutex
	outcomes []string
	faults   map[string]error
}

// read makes the source that the YAML configures. SERVICE in it is the service's URL,
// DIR the folder of the file ca.pem and of those in files.
func read(t testing.TB, w *world, text string, files map[string]string) (auth.Made, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]any{"timeout": "60s"} // for busy machines
	if w != nil {
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Certificate().Raw})
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o600); err != nil {
			t.Fatal(err)
		}
		values["ca_file"] = filepath.Join(dir, "ca.pem")
		text = strings.ReplaceAll(text, "SERVICE", w.URL)
	}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, " DIR/", " "+dir+"/")), &values); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	reader := web.Kind.Keys.Section("", values)
	config := web.Kind.Read(reader)
	if err := errors.Join(reader.Problems()...); err != nil {
		return auth.Made{}, err
	}
	env := auth.Environment{}
	if w != nil {
		env.Observe = func(_ context.Context, outcome string, _ time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes = append(w.outcomes, outcome)
		}
		env.Fault = func(what string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.faults[what] = err
		}
	}
	return config.New(t.Context(), env)
}

// serve starts a service, and makes the source that the YAML configures.
func serve(t testing.TB, handler http.HandlerFunc, text string, files ...map[string]string) *world {
	t.Helper()
	w := &world{Server: httptest.NewTLSServer(handler), faults: map[string]error{}}
	t.Cleanup(w.Close)
	var err error
	if w.Made, err = read(t, w, text, slices.Concat(files, []map[string]string{nil})[0]); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return w
}

// say answers with a status and a JSON body.
func say(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, status, body) }
}

// told is an answer in one word, for tables: accepted, a refusal, or outage; the
// account's outage if it says nothing about others.
func told(t testing.TB, decision auth.Decision, err error) string {
	t.Helper()
	switch {
	case err != nil && strings.Contains(err.Error(), hidden):
		t.Errorf("the error tells too much: %v", err)
		return "leak"
	case errors.Is(err, auth.ErrUnreadable):
		return "account's outage"
	case err != nil:
		return "outage"
	case decision.Refusal == "":
		return "accepted"
	}
	return string(decision.Refusal)
}

func ask(t testing.TB, w *world, presented credential.Credential) (auth.Decision, error) {
	t.Helper()
	return w.Source.Authenticate(context.WithoutCancel(t.Context()), presented)
}

// TestAnswers: which answers accept, refuse, and are somebody else's; all others are
// outages, whatever they say.
func TestAnswers(t *testing.T) {
	const plain = "url: SERVICE/check\n"
	const formed = plain + "refused: {statuses: [401, 403], if: 'has(\"code\") and .status == $status', reason: .reason}\n"
	const byBody = plain + "accepted: {if: .ok == true}\nrefused: {statuses: 200, if: .ok == false}\n"
	tests := []struct {
		name, config, contentType string
		status                    int
		body, want                string
	}{
		{"200", plain, "text/html", 200, hidden, "accepted"},
		{"no body", plain, "", 200, "", "accepted"},
		{"401", plain, "text/html", 401, hidden, "credential"},
		{"403 is no refusal unless it is configured", plain, "", 403, "", "outage"},
		{"404 neither", plain, "", 404, "", "outage"},
		{"a redirect", plain, "", 302, "", "outage"},
		{"500", plain, "", 500, hidden, "outage"},
		{"429", plain, "", 429, hidden, "outage"},
		{"a request that it cannot read", plain, "", 400, hidden, "account's outage"},
		{"a long one", plain, "", 414, hidden, "account's outage"},
		{"not mine", plain + "not_mine: {statuses: 404}", "", 404, "", "not mine"},
		{"not mine by the body", plain + "not_mine: {statuses: 404, if: .error == \"no such user\"}", "application/json", 404, `{"error": "no such user"}`, "not mine"},
		{"not mine, another 404", plain + "not_mine: {statuses: 404, if: .error == \"no such user\"}", "application/json", 404, `{"error": "no such page"}`, "outage"},
		{"204 accepts if it may", plain + "accepted: {statuses: [200, 204]}", "", 204, "", "accepted"},
		{"its own 401", formed, "application/json", 401, `{"code": 1, "status": 401}`, "credential"},
		{"its own 403 of another type", formed, "application/problem+json; charset=utf-8", 403, `{"code": 1, "status": 403}`, "credential"},
		{"a firewall's 403", formed, "text/html", 403, "<html>" + hidden, "outage"},
		{"a firewall's 403 in JSON", formed, "application/json", 403, `{"message": "` + hidden + `"}`, "outage"},
		{"its own as HTML", formed, "text/html", 401, `{"code": 1, "status": 401}`, "outage"},
		{"another status in it", formed, "application/json", 403, `{"code": 1, "status": 401}`, "outage"},
		{"not an object", formed, "application/json", 401, `["code"]`, "outage"},
		{"two objects", formed, "application/json", 401, `{"code": 1, "status": 401}{}`, "outage"},
		{"accepted by the body, whatever its type", byBody, "text/plain", 200, `{"ok": true}`, "accepted"},
		{"refused by the body", byBody, "text/plain", 200, `{"ok": false}`, "credential"},
		{"neither", byBody, "application/json", 200, `{"ok": "true", "x": "` + hidden + `"}`, "outage"},
		{"nothing of it", byBody, "application/json", 200, `{}`, "outage"},
		{"a list", byBody, "application/json", 200, `[true]`, "outage"},
		{"HTML", byBody, "text/html", 200, `<html>` + hidden, "outage"},
		{"401 if only the body refuses", byBody, "application/json", 401, `{"ok": false}`, "outage"},
		{"a condition that gives text", plain + "accepted: {if: '.x'}", "application/json", 200, `{"x": "` + hidden + `"}`, "outage"},
		{"a condition without end", plain + "timeout: 300ms\naccepted: {if: 'def f: f; f'}", "application/json", 200, `{}`, "outage"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if test.contentType != "" {
					w.Header().Set("Content-Type", test.contentType)
				}
				w.Header().Set("Location", "https://elsewhere.example/")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}, test.config)
			decision, err := ask(t, w, ann)
			if got := told(t, decision, err); got != test.want {
				t.Errorf("%s, %v; want %s", got, err, test.want)
			}
		})
	}
}

// TestReason: the service's own reason reaches the customer, as one clean line.
func TestReason(t *testing.T) {
	for body, want := range map[string]string{
		`{"reason": "account suspended: invoice 7"}`:      "account suspended: invoice 7",
		`{"reason": " two\nlines\u001b[31m \u202e"}`:      "two lines[31m",
		`{"reason": "` + strings.Repeat("x", 1000) + `"}`: strings.Repeat("x", 199) + "…",
		`{"reason": null}`:     "",
		`{"reason": ""}`:       "",
		`{"reason": {"x": 1}}`: "",
		`{}`:                   "",
		`<html>`:               "",
		`"text"`:               "",
		`{"reason": 7}`:        "7",
		`{"reason": "` + strings.Repeat("ü", 150) + `", "x": "` + `"}`: strings.Repeat("ü", 150),
	} {
		w := serve(t, always(403, body), "url: SERVICE/check\nrefused: {statuses: 403, reason: .reason}")
		decision, err := ask(t, w, ann)
		if err != nil || decision.Refusal != auth.WrongCredential || decision.Reason != want {
			t.Errorf("%.60s: %+v, %v; want %q", body, decision, err, want)
		}
	}
}

// TestAccount: what the account's answer must say is there, or it is an outage of this
// account alone.
func TestAccount(t *testing.T) {
	const all = "account: {subject: .id, user: .email, ends: .ends}\n"
	tests := []struct{ config, body, want, subject, user, ends string }{
		{all, `{"id": 7, "email": " ann@acme.example ", "ends": "2027-01-01T00:00:00Z"}`, "accepted", "7", "ann@acme.example", "2027-01-01T00:00:00Z"},
		{all, `{"id": "a", "email": "b", "ends": 1798761600}`, "accepted", "a", "b", "2027-01-01T00:00:00Z"},
		{all, `{"id": "a", "email": "b", "ends": "2026-12-31"}`, "accepted", "a", "b", "2027-01-01T00:00:00Z"},
		{all, `{"id": "a", "email": "b", "ends": null}`, "accepted", "a", "b", ""},
		{all, `{"id": "a", "email": "b", "ends": 1798761600000}`, "account's outage", "", "", ""},
		{all, `{"id": "a", "email": "b", "ends": "` + hidden + `"}`, "account's outage", "", "", ""},
		{all, `{"id": "a", "email": null, "ends": null}`, "account's outage", "", "", ""},
		{all, `{"id": "a", "email": ["` + hidden + `"], "ends": null}`, "account's outage", "", "", ""},
		{all, `{"id": null, "email": "b", "ends": null}`, "account's outage", "", "", ""},
		{all, `{"id": "", "email": "b", "ends": null}`, "account's outage", "", "", ""},
		{all, `[]`, "account's outage", "", "", ""},
		{all, `<html>` + hidden, "outage", "", "", ""},
		{"account: {user: .email}", `{"email": "b"}`, "accepted", "b", "b", ""},
		{"account: {user: $user}\ncredential: {as: basic}", `{}`, "accepted", "ann@acme.example", "ann@acme.example", ""},
		{"", `<html>`, "accepted", "", "", ""},
	}
	for _, test := range tests {
		w := serve(t, always(200, test.body), "url: SERVICE/check\n"+test.config)
		decision, err := ask(t, w, ann)
		ends := ""
		if !decision.Ends.IsZero() {
			ends = decision.Ends.UTC().Format(time.RFC3339)
		}
		if got := told(t, decision, err); got != test.want || decision.Subject != test.subject || decision.User != test.user || ends != test.ends {
			t.Errorf("%s with %s: %s, %+v, %v", test.body, test.config, got, decision, err)
		}
	}
}

// TestOutcomes: the words of the metric.
func TestOutcomes(t *testing.T) {
	status := 200
	w := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		say(w, status, `{"ok": true}`)
	}, "url: SERVICE/check\nnot_mine: {statuses: 404}\naccepted: {if: .ok}")
	for _, status = range []int{200, 401, 404, 503, 0} {
		_, _ = ask(t, w, ann)
	}
	if got, want := strings.Join(w.outcomes, " "), "ok refused not_mine 503 error"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
