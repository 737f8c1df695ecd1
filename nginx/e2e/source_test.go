package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// add adds an account to a source, and returns the secret to log in with.
func add(t *testing.T, s *stack.Stack, source, user string, licenses ...vendorapi.License) string {
	t.Helper()
	secret, err := s.Sources[source].Add(t.Context(), strings.ReplaceAll(user, "@", "-at-")+"-token", vendorapi.Account{Email: user, Licenses: licenses})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// eventually retries a request until it has a status: a source's files are read a
// moment after they change.
func eventually(t *testing.T, s *stack.Stack, r request, status int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
		a := send(t, s, r)
		if a.status == status || time.Now().After(deadline) {
			if a.status != status {
				t.Errorf("%s of %s: status %d, want %d: %s", r.uri, r.user, a.status, status, a.body)
			}
			return
		}
	}
}

// TestSource: docker logs in and pulls with the customers in each kind of source, and
// what is not licensed, has expired, or is wrong is refused.
func TestSource(t *testing.T) {
	for _, kind := range stack.SourceKinds() {
		t.Run(kind, func(t *testing.T) {
			s := start(t, stack.Options{Sources: []string{kind}, Authsvc: map[string]any{"cache.ttl": "1s", "cache.refusal_ttl": "1s"}})
			digest := push(t, s, "acme/appliance:1.0")
			push(t, s, "acme/other:1.0")
			ended := license("lic_ended", "acme/other", "*")
			ended.Expiration = time.Now().Add(-48 * time.Hour)
			password := add(t, s, kind, email, license("lic_1", "acme/appliance", "1.*"), ended)

			eventually(t, s, request{uri: manifest, user: email, password: password}, 200)
			wantPulled(t, login(t, s, email, password), s.Host+"/acme/appliance:1.0", digest)
			for _, test := range []struct {
				what string
				r    request
				want int
				text string
			}{
				{"another image", request{uri: "/v2/acme/third/manifests/1.0", user: email, password: password}, 404, "not part of your license"},
				{"a license that has expired", request{uri: "/v2/acme/other/manifests/1.0", user: email, password: password}, 403, "license lic_ended expired on"},
				{"a wrong secret", request{uri: manifest, user: email, password: "wrong"}, 401, ""},
				{"somebody unknown", request{uri: manifest, user: "eve@else.example", password: "wrong"}, 401, ""},
				{"SQL in the user's name", request{uri: manifest, user: "x' OR '1'='1", password: "wrong"}, 401, ""},
			} {
				if a := send(t, s, test.r); a.status != test.want || !strings.Contains(a.body, test.text) {
					t.Errorf("%s: status %d, want %d with %q: %s", test.what, a.status, test.want, test.text, a.body)
				}
			}
			outage(t, s, kind, request{uri: manifest, user: email, password: password})
		})
	}
}

// outage makes the source fail: known customers pull, and the others are told that it
// is temporary.
func outage(t *testing.T, s *stack.Stack, kind string, known request) {
	t.Helper()
	if kind == "file" { // the last good one stays in force
		return
	}
	mend, err := s.Sources[kind].Fail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // the cache's time to live
	if a := send(t, s, known); a.status != 200 {
		t.Errorf("a known customer in an outage: status %d: %s", a.status, a.body)
	}
	unknown := request{uri: manifest, user: "new@acme.example", password: "new-token"}
	if a := send(t, s, unknown); kind != "jwt" && a.status != 503 { // a token needs nobody but a known key
		t.Errorf("an unknown customer in an outage: status %d: %s", a.status, a.body)
	}
	if err := mend(); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, unknown, 401)
	eventually(t, s, known, 200)
}

// TestSourceChain: each customer is found in the source that has them, and an outage
// of one source is no outage of the others' known customers.
func TestSourceChain(t *testing.T) {
	kinds := []string{"jwt", "file", "sql", "web"}
	s := start(t, stack.Options{Sources: kinds, Authsvc: map[string]any{"cache.ttl": "1s"}})
	push(t, s, "acme/appliance:1.0")
	var customers []request
	for _, kind := range kinds {
		user := kind + "@acme.example"
		customers = append(customers, request{uri: manifest, user: user, password: add(t, s, kind, user, license("lic_"+kind, "acme/*", "*"))})
	}
	for _, r := range customers {
		eventually(t, s, r, 200)
	}
	if a := send(t, s, request{uri: manifest, user: "eve@else.example", password: "wrong"}); a.status != 401 {
		t.Errorf("somebody unknown: status %d: %s", a.status, a.body)
	}
	for _, subject := range []string{"jwt/jwt@acme.example", "file/file@acme.example", "sql/cus_", "web/"} {
		if !strings.Contains(s.Log("authsvc"), `"subject":"`+subject) {
			t.Errorf("no subject %s… in the log", subject)
		}
	}
	mend, err := s.Sources["sql"].Fail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	for _, r := range customers {
		if a := send(t, s, r); a.status != 200 {
			t.Errorf("%s in an outage of sql: status %d: %s", r.user, a.status, a.body)
		}
	}
	if a := send(t, s, request{uri: manifest, user: "eve@else.example", password: "other"}); a.status != 503 {
		t.Errorf("somebody unknown in an outage of sql: status %d: %s", a.status, a.body)
	}
	if err := mend(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckConfigOnline: it says what is wrong with what the configuration names.
func TestCheckConfigOnline(t *testing.T) {
	s := start(t, stack.Options{Sources: []string{"kloudless", "web", "sql"}})
	if out, err := s.CheckConfig(t.Context(), "--online"); err != nil || strings.Count(out, ": ok\n") != 5 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, kind := range []string{"kloudless", "web", "sql"} {
		mend, err := s.Sources[kind].Fail(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if out, err := s.CheckConfig(t.Context(), "--online"); err == nil || !strings.Contains(out, "source "+kind+": FAILED: ") || strings.Count(out, ": ok\n") != 4 {
			t.Errorf("%s is down: %v\n%s", kind, err, out)
		}
		if err := mend(); err != nil {
			t.Fatal(err)
		}
	}
	s.ECR.InvalidateTokens()
	if out, err := s.CheckConfig(t.Context(), "--online"); err == nil || !strings.Contains(out, "the registry rejects the token") {
		t.Errorf("the token is invalid: %v\n%s", err, out)
	}
}
