package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dockerAuth is a service for docker_auth's http_auth, as strict as its protocol:
// what it gets is one JSON object of user and password.
func dockerAuth(t *testing.T) http.HandlerFunc {
	var results map[string]json.RawMessage
	if err := json.Unmarshal(fixture(t, "docker_auth.json"), &results); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ User, Password string }
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&asked); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || asked.Password != ann.Secret.Reveal() {
			t.Errorf("%s with %+v, %v", r.Method, asked, err)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the credential is in a header too")
		}
		_, _ = w.Write(results[asked.User]) // without a Content-Type of JSON, as docker_auth allows
	}
}

// TestDockerAuth: the four results, and whatever is none of them is an outage.
func TestDockerAuth(t *testing.T) {
	w := serve(t, dockerAuth(t), "preset: docker_auth\nurl: SERVICE/auth\n"+
		"licenses: {items: '[.labels.repositories[]]'}\ngrants: '{repository: ., tags: \"*\", expires: null, license: .}'")
	for user, want := range map[string]string{
		"ann@acme.example": "accepted", "bob@acme.example": "credential", "cid@acme.example": "credential", "dan@acme.example": "not mine", "eve@acme.example": "outage",
	} {
		decision, err := ask(t, w, credential.Credential{User: user, Secret: ann.Secret})
		if got := told(t, decision, err); got != want {
			t.Errorf("%s: %s, %v; want %s", user, got, err, want)
		}
		if want == "accepted" && (decision.User != user || decision.Subject != user || repositories(decision.Grants) != "acme/appliance acme/tools") {
			t.Errorf("%+v", decision)
		}
	}
	if w.Source.Bearer() {
		t.Error("a password is taken for a bearer token")
	}
	for body, status := range map[string]int{
		`{"result": "ALLOW"}`: 200, `{"result": true}`: 200, `{"result": ["allow"]}`: 200, `{}`: 200, `"allow"`: 200, ``: 200, `allow`: 200, `null`: 200,
		`{"result": "allow"}`: 201, `{"result": "deny"}`: 403, `{"result": "failed"}`: 401, `{"result": "no_match"}`: 404,
	} {
		w := serve(t, always(status, body), "preset: docker_auth\nurl: SERVICE/auth")
		if decision, err := ask(t, w, ann); told(t, decision, err) != "outage" {
			t.Errorf("%d %s: %+v, %v; want an outage", status, body, decision, err)
		}
	}
}

// TestChain: only no_match asks the next source; a refusal and an outage do not.
func TestChain(t *testing.T) {
	first := serve(t, dockerAuth(t), "preset: docker_auth\nurl: SERVICE/auth\ngrants: 'empty'\nlicenses: {items: '[]'}")
	second := serve(t, always(200, `{"result": "allow"}`), "preset: docker_auth\nurl: SERVICE/auth\ngrants: 'empty'\nlicenses: {items: '[]'}")
	bounds := auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Minute, MaxEntries: 10, MaxRefusals: 10}
	chain := auth.Chain{{Cache: authtest.NewCache(first.Source, bounds)}, {Cache: authtest.NewCache(second.Source, bounds)}}
	asked := 0
	for _, test := range []struct {
		user, want string
		second     bool
	}{
		{"ann@acme.example", "accepted", false}, {"bob@acme.example", "credential", false}, {"dan@acme.example", "accepted", true}, {"eve@acme.example", "outage", false},
	} {
		decision, err := chain.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: test.user, Secret: ann.Secret}})
		if got := told(t, decision, err); got != test.want || (len(second.outcomes) > asked) != test.second {
			t.Errorf("%s: %s, %v; asked the second: %v", test.user, got, err, second.outcomes)
		}
		asked = len(second.outcomes)
	}
}

// clientFile is the secret of authsvc's client at an introspection endpoint, with a
// character that OAuth encodes.
const clientFile = "client/" + hidden

const introspect = "preset: introspection\nurl: SERVICE/introspect\nservice: {user: 'authsvc 1', credential_file: DIR/client}\n"

// introspection is an endpoint of RFC 7662, section 2.1, with one active token.
func introspection(t *testing.T, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		user, secret, _ := r.BasicAuth() // RFC 6749, section 2.3.1: both form-encoded
		if user != "authsvc+1" || secret != "client%2F"+hidden {
			say(w, 401, `{"error": "invalid_client"}`)
			return
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || string(text) != "token=anns-"+hidden {
			t.Errorf("%s with %s", r.Method, text)
		}
		say(w, 200, body)
	}
}

// TestIntrospection: active true accepts, active false refuses, and anything else is
// an outage, as is a 401, which refuses authsvc's client and no customer.
func TestIntrospection(t *testing.T) {
	files := map[string]string{"client": clientFile + "\n"}
	end := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	w := serve(t, introspection(t, string(fixture(t, "introspection.json"))), introspect, files)
	decision, err := ask(t, w, ann)
	if told(t, decision, err) != "accepted" || decision.Subject != "Z5O3upPC88QrAjx00dis" || decision.User != "" || !decision.Ends.Equal(end) || !w.Source.Bearer() {
		t.Errorf("%+v, %v", decision, err)
	}
	for body, want := range map[string]string{
		`{"active": false}`:                                     "credential",
		`{"active": false, "sub": 1, "exp": "never"}`:           "credential",
		`{"active": true, "sub": "ann"}`:                        "accepted",
		`{"active": true}`:                                      "account's outage",
		`{"active": true, "sub": "a", "exp": 4102444800000}`:    "account's outage",
		`{"active": true, "sub": "a", "exp": "` + hidden + `"}`: "account's outage",
		`{"active": "true", "sub": "ann"}`:                      "outage",
		`{"active": 1, "sub": "ann"}`:                           "outage",
		`{"active": null}`:                                      "outage",
		`{"sub": "ann"}`:                                        "outage",
		`{}`:                                                    "outage",
		`[{"active": true}]`:                                    "outage",
		`true`:                                                  "outage",
		`<html>` + hidden:                                       "outage",
		``:                                                      "outage",
	} {
		w := serve(t, introspection(t, body), introspect, files)
		if decision, err := ask(t, w, ann); told(t, decision, err) != want {
			t.Errorf("%s: %+v, %v; want %s", body, decision, err, want)
		}
	}
	w = serve(t, introspection(t, "{}"), introspect, map[string]string{"client": "another"})
	if decision, err := ask(t, w, ann); told(t, decision, err) != "outage" || !strings.Contains(err.Error(), "service.credential_file") {
		t.Errorf("%+v, %v; want an outage that names the setting", decision, err)
	}
}

// TestNothingOutlivesItsEnd: the end of a token that the service named counts, even
// while the service is down.
func TestNothingOutlivesItsEnd(t *testing.T) {
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	body, err := json.Marshal(map[string]any{"active": true, "sub": "ann", "exp": end.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	w := serve(t, introspection(t, string(body)), introspect, map[string]string{"client": clientFile})
	cache := authtest.NewCache(w.Source, auth.CacheConfig{TTL: time.Hour, RefusalTTL: time.Minute, StaleTTL: time.Hour, MaxEntries: 10, MaxRefusals: 10})
	caller := auth.Caller{Credential: ann}
	if decision, err := cache.Authenticate(t.Context(), caller); time.Now().Before(end) && told(t, decision, err) != "accepted" {
		t.Fatalf("%+v, %v", decision, err)
	}
	w.Close()
	time.Sleep(time.Until(end))
	if decision, err := cache.Authenticate(t.Context(), caller); told(t, decision, err) == "accepted" {
		t.Errorf("%+v after its end", decision)
	}
}

// TestPresetsYield: a preset is defaults, and nothing more.
func TestPresetsYield(t *testing.T) {
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.FormValue("login") != ann.User {
			t.Errorf("%s %v", r.Method, r.Form)
		}
		say(w, 200, `{"result": "yes", "id": 7}`)
	}, "preset: docker_auth\nurl: SERVICE/auth\nmethod: PUT\ncredential: {as: form, user_field: login}\naccepted: {if: .result == \"yes\"}\naccount: {user: '', subject: .id}")
	if decision, err := ask(t, w, ann); told(t, decision, err) != "accepted" || decision.Subject != "7" || decision.User != "" {
		t.Errorf("%+v, %v", decision, err)
	}
}
