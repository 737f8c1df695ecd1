package kloudless_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const token = "anns-token"

var ann = credential.Credential{User: "ann@acme.example", Secret: credential.NewSecret(token)}

// config is a Client's by default, for the API at url.
func config(url string) kloudless.Config {
	return kloudless.Config{
		URL: url, LicensesPath: kloudless.DefaultLicensesPath, PageSize: 2, MaxPages: 5, Timeout: 5 * time.Second,
		Grants: kloudless.DefaultGrants, Account: kloudless.Account{Path: kloudless.DefaultAccountPath, Email: kloudless.DefaultEmail},
	}
}

// client makes a Client of an API that answers by handler; change may be nil.
func client(t testing.TB, handler http.HandlerFunc, change func(*kloudless.Config)) *kloudless.Client {
	t.Helper()
	api := httptest.NewServer(handler)
	t.Cleanup(api.Close)
	c := config(api.URL + "/v1/")
	if change != nil {
		change(&c)
	}
	made, err := kloudless.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// apiError is a refusal in the form of Kloudless's API.
const apiError = `{"status_code": 401, "error_code": "unauthorized", "message": "Valid authorization must be provided.", "id": "65a856ed"}`

// refuse answers in the form of Kloudless's API.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(apiError))
}

// answers is an API that answers by path.
func answers(bodies map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body))
	}
}

func describe(d auth.Decision) string {
	var b strings.Builder
	for g := range d.Grants.All() {
		expires := "never"
		if !g.Expires.IsZero() {
			expires = g.Expires.UTC().Format(time.RFC3339)
		}
		end := "until " + expires
		if g.Withdrawn {
			end = "withdrawn"
		}
		fmt.Fprintf(&b, "%s:%s %s by %s\n", g.Repository, g.Tag, end, g.License)
	}
	return b.String()
}

func TestAssumedAnswer(t *testing.T) {
	c := client(t, answers(map[string]string{"/v1/meta/licenses": fixture(t, "licenses.json")}), func(c *kloudless.Config) { c.PageSize = 100 })
	decision, err := c.Authenticate(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	want := `acme/appliance:1.* until never by lic_1
acme/appliance:latest until never by lic_1
acme/tools:* until 2026-12-31T22:00:00Z by 42
acme/addons/*:* until 2026-12-31T22:00:00Z by 42
*:* withdrawn by lic_3
`
	if got := describe(decision); got != want || decision.Refusal != "" || decision.Subject != "" {
		t.Errorf("%+v\ngot  %s\nwant %s", decision, got, want)
	}
}

// TestOneCall: 1,000 requests with one new credential make one API call.
func TestOneCall(t *testing.T) {
	var calls atomic.Int64
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		time.Sleep(50 * time.Millisecond)
		_, _ = w.Write([]byte(fixture(t, "licenses.json")))
	}, func(c *kloudless.Config) { c.PageSize = 100 })
	cache := authtest.NewCache(c, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Second, MaxEntries: 10, MaxRefusals: 10})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if decision, err := cache.Authenticate(t.Context(), auth.Caller{Credential: ann}); err != nil || decision.Grants.Len() != 5 {
				t.Errorf("%+v, %v", decision, err)
			}
		})
	}
	all.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d API calls, want 1", n)
	}
}

// page is a list of the licenses from to to, with more keys.
func page(from, to int, more string) string {
	var objects []string
	for i := from; i < to; i++ {
		objects = append(objects, fmt.Sprintf(`{"id": "lic_%d", "active": true, "expiration": null, "docker_releases": [{"repository": "r%d", "tags": "*"}]}`, i, i))
	}
	return `{"objects": [` + strings.Join(objects, ",") + `]` + more + `}`
}

func TestPages(t *testing.T) {
	tests := []struct {
		name  string
		pages map[string]string // by the parameter page; what is missing is a 404
		want  int               // licenses; -1 for an outage
		calls int
	}{
		{"none", map[string]string{"1": page(0, 0, "")}, 0, 1},
		{"one, next_page null", map[string]string{"1": page(0, 2, `, "next_page": null`)}, 2, 1},
		{"one, neither key", map[string]string{"1": page(0, 2, "")}, 2, 1},
		{"three by next_page", map[string]string{"1": page(0, 1, `, "next_page": 2`), "2": page(1, 2, `, "page": 2, "next_page": 3`), "3": page(2, 3, `, "next_page": null`)}, 3, 3},
		{"by a cursor", map[string]string{"1": page(0, 1, `, "next_page": "abc/+"`), "abc/+": page(1, 2, `, "next_page": null`)}, 2, 2},
		{"by page, until one is not full", map[string]string{"1": page(0, 2, `, "page": 1`), "2": page(2, 3, `, "page": 2`)}, 3, 2},
		{"by page, until the 404", map[string]string{"1": page(0, 2, `, "page": 1`), "2": page(2, 4, `, "page": 2`)}, 4, 3},
		{"404 of a next_page is the end", map[string]string{"1": page(0, 2, `, "next_page": 2`)}, 2, 2},
		{"404 at once", nil, -1, 1},
		{"without end", map[string]string{
			"1": page(0, 2, `, "next_page": 2`), "2": page(0, 2, `, "next_page": 1`),
		}, -1, 5},
		{"next_page is an object", map[string]string{"1": page(0, 2, `, "next_page": {}`)}, -1, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			calls := 0
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				if got := r.URL.Query().Get("page_size"); got != "2" {
					t.Errorf("page_size %q", got)
				}
				body, ok := test.pages[r.URL.Query().Get("page")]
				if !ok {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = w.Write([]byte(body))
			}, nil)
			decision, err := c.Authenticate(t.Context(), ann)
			if (err != nil) != (test.want < 0) || err == nil && decision.Grants.Len() != test.want || calls != test.calls {
				t.Errorf("%d grants in %d calls, %v; want %d in %d", decision.Grants.Len(), calls, err, test.want, test.calls)
			}
		})
	}
}

// TestStatuses: 401 and 403 refuse the credential; everything else but 200 is
// an outage, never a refusal.
func TestStatuses(t *testing.T) {
	for status := 200; status < 600; status++ {
		for at := 1; at <= 2; at++ {
			if at == 2 && status == 404 {
				continue // the end of the list
			}
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				if at == 2 && r.URL.Query().Get("page") == "1" {
					_, _ = w.Write([]byte(page(0, 1, `, "next_page": 2`)))
					return
				}
				w.Header().Set("Location", "http://127.0.0.1:1/")
				if status != 200 {
					refuse(w, status)
					return
				}
				_, _ = w.Write([]byte(page(0, 1, "")))
			}, nil)
			decision, err := c.Authenticate(t.Context(), ann)
			refused := status == 401 || status == 403
			switch {
			case status == 200 && (err != nil || decision.Grants.Len() != at || decision.Refusal != ""),
				refused && (err != nil || decision.Refusal != auth.WrongCredential || decision.Grants.Len() != 0),
				status != 200 && !refused && err == nil:
				t.Errorf("status %d at page %d: %+v, %v", status, at, decision, err)
			}
		}
	}
}

// TestGarbage is an outage, whatever it is, and no error tells of the answer
// or of the token.
func TestGarbage(t *testing.T) {
	const hidden = "customers-own-words"
	license := func(fields string) string { return `{"objects": [{` + fields + `}]}` }
	tests := map[string]string{
		"nothing": "", "HTML": "<html>" + hidden, "a number": "1", "null": "null", "a list": "[]", "half": `{"objects": [`,
		"more behind it": `{"objects": []} ` + hidden, "no objects": `{"x": "` + hidden + `"}`, "objects is null": `{"objects": null}`,
		"objects is an object": `{"objects": {}}`, "a license is a text": `{"objects": ["` + hidden + `"]}`, "a license is null": `{"objects": [null, 1]}`,
		"no releases":        license(`"id": "1", "active": true, "expiration": null`),
		"releases is a text": license(`"id": "1", "active": true, "expiration": null, "docker_releases": "` + hidden + `"`),
		"no repository":      license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"tags": "*"}]`),
		"repository empty":   license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"repository": "", "tags": "*"}]`),
		"repository a list":  license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"repository": ["a"], "tags": "*"}]`),
		"tags null":          license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"repository": "a", "tags": null}]`),
		"tags of numbers":    license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"repository": "a", "tags": [1.4]}]`),
		"bad pattern":        license(`"id": "1", "active": true, "expiration": null, "docker_releases": [{"repository": "a", "tags": "["}]`),
		"no id":              license(`"active": true, "expiration": null, "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"id is an object":    license(`"id": {}, "active": true, "expiration": null, "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"date of words":      license(`"id": "1", "active": true, "expiration": "` + hidden + `", "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"date impossible":    license(`"id": "1", "active": true, "expiration": "2026-02-30", "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"date empty":         license(`"id": "1", "active": true, "expiration": "", "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"date true":          license(`"id": "1", "active": true, "expiration": true, "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"date negative":      license(`"id": "1", "active": true, "expiration": -1, "docker_releases": [{"repository": "a", "tags": "*"}]`),
		"too big":            `{"objects": []}` + strings.Repeat(" ", 5<<20),
		"too deep":           strings.Repeat("[", 20000),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }, nil)
			decision, err := c.Authenticate(t.Context(), ann)
			if err == nil {
				t.Fatalf("accepted: %+v", decision)
			}
			if strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), token) {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

// TestNoLicensesNoRights: distr let everything pass where there was no license
// at all.
func TestNoLicensesNoRights(t *testing.T) {
	c := client(t, answers(map[string]string{"/v1/meta/licenses": `{"objects": []}`}), nil)
	decision, err := c.Authenticate(t.Context(), ann)
	if err != nil || decision.Refusal != "" || decision.Grants.Len() != 0 {
		t.Errorf("%+v, %v; want an accepted customer without rights", decision, err)
	}
}

func TestTransportFailures(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	tests := map[string]func(*kloudless.Config) http.HandlerFunc{
		"refused": func(c *kloudless.Config) http.HandlerFunc { c.URL = closed.URL; return nil },
		"timeout": func(c *kloudless.Config) http.HandlerFunc {
			c.Timeout = 100 * time.Millisecond
			return func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-hanging:
				case <-r.Context().Done():
				}
			}
		},
		"cut": func(*kloudless.Config) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte(`{"objects": []}`))
			}
		},
		"an expression without end": func(c *kloudless.Config) http.HandlerFunc {
			c.Timeout, c.Grants = 200*time.Millisecond, "def f: f; f"
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page(0, 1, ""))) }
		},
		"an expression that gives without end": func(c *kloudless.Config) http.HandlerFunc {
			c.Grants = `repeat({repository: "a", tags: "*", expires: null, license: "1"})`
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page(0, 1, ""))) }
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var handler http.HandlerFunc
			c := client(t, func(w http.ResponseWriter, r *http.Request) { handler(w, r) }, func(c *kloudless.Config) { handler = test(c) })
			decision, err := c.Authenticate(t.Context(), ann)
			if err == nil || strings.Contains(err.Error(), token) {
				t.Errorf("%+v, %v", decision, err)
			}
		})
	}
}

// TestRedirect: the customer's token goes nowhere else.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	c := client(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, nil)
	if decision, err := c.Authenticate(t.Context(), ann); err == nil || elsewhere.Load() != 0 {
		t.Errorf("%+v, %v; %d requests elsewhere", decision, err, elsewhere.Load())
	}
}

// TestStrangersSpendTheVendorsAPI: what no Bearer token could be (RFC 6750,
// section 2.1) is refused without a call.
func TestStrangersSpendTheVendorsAPI(t *testing.T) {
	tests := map[string]bool{
		token: true, "x": true, "AZaz09-._~+/": true, "padded==": true, strings.Repeat("x", 4096): true,
		"": false, "=": false, "a=b": false, "a b": false, "a:b": false, "ümläut": false, "a'b": false, "a,b": false,
		"hunter2!": false, "a\"b": false, "a\x00": false, "a\n": false, "\xff": false, strings.Repeat("x", 4097): false,
	}
	for secret, asked := range tests {
		calls := 0
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			calls++
			if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+secret {
				t.Errorf("Authorization %q", got)
			}
			_, _ = w.Write([]byte(page(0, 0, "")))
		}, func(c *kloudless.Config) { c.Account.VerifyEmail = false })
		decision, err := c.Authenticate(t.Context(), credential.Credential{User: "ann", Secret: credential.NewSecret(secret)})
		if err != nil || (calls == 1) != asked || (decision.Refusal == "") != asked || !asked && decision.Refusal != auth.WrongCredential {
			t.Errorf("%.20q: %+v, %v after %d calls", secret, decision, err, calls)
		}
	}
}

// TestBlanketRefusal: a 401 or 403 that is not in the API's own form comes from
// something in front of it, and does not end a customer.
func TestBlanketRefusal(t *testing.T) {
	const hidden = "whatever it says"
	tests := []struct {
		name, contentType, body string
		refused                 bool
	}{
		{"the API's", "application/json", apiError, true},
		{"the API's of 2014", "application/json; charset=utf-8", `{"error_code": "unauthorized", "message": "x", "id": "1"}`, true},
		{"a status alone", "application/json", `{"status_code": STATUS}`, true},
		{"a status as text", "Application/JSON", `{"status_code": "STATUS", "message": "x"}`, true},
		{"a type of its own", "application/vnd.kloudless+json", apiError, true},
		{"no body", "", "", false},
		{"HTML", "text/html", "<html>" + hidden, false},
		{"HTML as JSON", "application/json", "<html>" + hidden, false},
		{"JSON as HTML", "text/html", apiError, false},
		{"no type", "", apiError, false},
		{"a broken type", "application/json; =", apiError, false},
		{"AWS's", "application/json", `{"message": "Forbidden"}`, false},
		{"Cloudflare's", "application/json", `{"success": false, "errors": [{"code": 1020}], "error_code": 1020}`, false},
		{"an OAuth proxy's", "application/json", `{"error": "invalid_token"}`, false},
		{"an empty code", "application/json", `{"error_code": ""}`, false},
		{"another status", "application/json", `{"status_code": 500}`, false},
		{"a status null", "application/json", `{"status_code": null}`, false},
		{"a text", "application/json", `"error_code"`, false},
		{"a list", "application/json", `[` + apiError + `]`, false},
		{"two objects", "application/json", apiError + apiError, false},
	}
	for _, test := range tests {
		for _, status := range []int{401, 403} {
			for _, path := range []string{"/v1/meta/developer", "/v1/meta/licenses"} {
				c := client(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != path {
						_, _ = w.Write([]byte(fixture(t, "developer.json")))
						return
					}
					w.Header()["Content-Type"] = nil
					if test.contentType != "" {
						w.Header().Set("Content-Type", test.contentType)
					}
					w.WriteHeader(status)
					_, _ = w.Write([]byte(strings.ReplaceAll(test.body, "STATUS", fmt.Sprint(status))))
				}, func(c *kloudless.Config) { c.Account.VerifyEmail = true })
				decision, err := c.Authenticate(t.Context(), ann)
				switch {
				case test.refused && (err != nil || decision.Refusal != auth.WrongCredential):
					t.Errorf("%s, %d at %s: %+v, %v; want a refusal", test.name, status, path, decision, err)
				case !test.refused && (err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || !strings.Contains(err.Error(), "error_code")):
					t.Errorf("%s, %d at %s: %+v, %v; want an outage that names the status and the form", test.name, status, path, decision, err)
				case err != nil && strings.Contains(err.Error(), hidden):
					t.Errorf("the error tells too much: %v", err)
				}
			}
		}
	}
}

// TestExpiryIsNeverGuessed: a license whose expiry is missing or renamed never
// ended, one with active: "false" was active, and one that ended in
// milliseconds ended in the year 57,000.
func TestExpiryIsNeverGuessed(t *testing.T) {
	const releases = `"docker_releases": [{"repository": "a", "tags": "*"}]`
	tests := []struct{ name, license, want string }{
		{"never", `{"id": "1", "active": true, "expiration": null, ` + releases + `}`, "a:* until never by 1\n"},
		{"seconds", `{"id": "1", "active": true, "expiration": 1798761600, ` + releases + `}`, "a:* until 2027-01-01T00:00:00Z by 1\n"},
		{"seconds with a fraction", `{"id": "1", "active": true, "expiration": 1798761600.5, ` + releases + `}`, "a:* until 2027-01-01T00:00:00Z by 1\n"},
		{"withdrawn", `{"id": "1", "active": false, "expiration": null, ` + releases + `}`, "a:* withdrawn by 1\n"},
		{"withdrawn, with an end", `{"id": "1", "active": false, "expiration": "2027-01-01T00:00:00Z", ` + releases + `}`, "a:* withdrawn by 1\n"},
		{"no expiry", `{"id": "1", "active": true, ` + releases + `}`, "expiration"},
		{"renamed", `{"id": "1", "active": true, "expires_at": "2020-01-01", ` + releases + `}`, "expiration"},
		{"withdrawn without expiry", `{"id": "1", "active": false, ` + releases + `}`, "expiration"},
		{"active is a text", `{"id": "1", "active": "false", "expiration": null, ` + releases + `}`, "active"},
		{"active is a number", `{"id": "1", "active": 0, "expiration": null, ` + releases + `}`, "active"},
		{"active is null", `{"id": "1", "active": null, "expiration": null, ` + releases + `}`, "active"},
		{"no active", `{"id": "1", "expiration": null, ` + releases + `}`, "active"},
		{"milliseconds", `{"id": "1", "active": true, "expiration": 1798761600000, ` + releases + `}`, "milliseconds"},
		{"milliseconds with a fraction", `{"id": "1", "active": true, "expiration": 1798761600000.5, ` + releases + `}`, "milliseconds"},
		{"a count of days", `{"id": "1", "active": true, "expiration": 365, ` + releases + `}`, "expires"},
		{"zero", `{"id": "1", "active": true, "expiration": 0, ` + releases + `}`, "expires"},
		{"beyond any number", `{"id": "1", "active": true, "expiration": 1e999, ` + releases + `}`, "expires"},
		{"releases are an object", `{"id": "1", "active": true, "expiration": null, "docker_releases": {"repository": "a", "tags": "*"}}`, "docker_releases"},
		{"no releases", `{"id": "1", "active": true, "expiration": null}`, "docker_releases"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := client(t, answers(map[string]string{"/v1/meta/licenses": `{"objects": [` + test.license + `]}`}), nil)
			decision, err := c.Authenticate(t.Context(), ann)
			if strings.HasSuffix(test.want, "\n") {
				if got := describe(decision); err != nil || got != test.want {
					t.Errorf("got %s, %v; want %s", got, err, test.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %v; want an error that names %s", describe(decision), err, test.want)
			}
		})
	}
}

func TestOneConnection(t *testing.T) {
	remotes := map[string]bool{}
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		if r.URL.Query().Get("page") == "1" {
			_, _ = w.Write([]byte(page(0, 1, `, "next_page": 2`)))
			return
		}
		refuse(w, http.StatusUnauthorized)
	}, nil)
	for range 20 {
		if _, err := c.Authenticate(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections for 40 requests, want 1", len(remotes))
	}
}

func TestTLS(t *testing.T) {
	api := httptest.NewTLSServer(answers(map[string]string{"/meta/licenses": page(0, 1, "")}))
	t.Cleanup(api.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{authority: true, "": false} {
		settings := config(api.URL)
		settings.CAFile = file
		c, err := kloudless.New(settings)
		if err != nil {
			t.Fatal(err)
		}
		if decision, err := c.Authenticate(t.Context(), ann); (err == nil) != want {
			t.Errorf("CA %q: %+v, %v", file, decision, err)
		}
	}
}

func TestVerifyEmail(t *testing.T) {
	tests := []struct {
		name, account, user string
		want                auth.Refusal
		outage              bool
	}{
		{"the same", fixture(t, "developer.json"), "ann@acme.example", "", false},
		{"another", fixture(t, "developer.json"), "bob@acme.example", auth.WrongAccount, false},
		{"longer", fixture(t, "developer.json"), "ann@acme.example.org", auth.WrongAccount, false},
		{"none", `{"id": 1}`, "ann@acme.example", "", true},
		{"a list", `{"email": ["ann@acme.example"]}`, "ann@acme.example", "", true},
		{"spaces around", `{"email": " ann@acme.example "}`, " ANN@acme.example", "", false},
		{"a number", `{"email": 1}`, "1", "", true},
		{"empty", `{"email": ""}`, "", "", true},
		{"spaces alone", `{"email": "  "}`, " ", "", true},
		{"not there", "", "ann@acme.example", "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bodies := map[string]string{"/v1/meta/licenses": page(0, 1, ""), "/v1/meta/developer": test.account}
			if test.account == "" {
				delete(bodies, "/v1/meta/developer")
			}
			c := client(t, answers(bodies), func(c *kloudless.Config) { c.Account.VerifyEmail = true })
			cache := authtest.NewCache(c, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Second, MaxEntries: 10, MaxRefusals: 10})
			decision, err := cache.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: test.user, Secret: credential.NewSecret(token)}})
			if (err != nil) != test.outage || decision.Refusal != test.want || test.want != "" && decision.Grants.Len() > 0 {
				t.Errorf("%+v, %v", decision, err)
			}
		})
	}
}

// TestSubject: the subject is what the account says of itself, never what was
// typed, and the account's object is asked for only if something needs it.
func TestSubject(t *testing.T) {
	tests := []struct {
		name, id            string
		verify              bool
		account             string
		wantSubject, wantBy string
		outage              bool
	}{
		{name: "neither", account: "", wantSubject: ""},
		{name: "the id", id: ".id", account: `{"id": 7}`, wantSubject: "7"},
		{name: "a large id", id: ".id", account: `{"id": 900719925474099}`, wantSubject: "900719925474099"},
		{name: "a part of it", id: ".company.name", account: `{"company": {"name": "acme"}}`, wantSubject: "acme"},
		{name: "the e-mail", verify: true, account: `{"email": "ANN@acme.example"}`, wantSubject: "ANN@acme.example", wantBy: "ANN@acme.example"},
		{name: "both", id: ".id", verify: true, account: `{"id": 7, "email": "ann@acme.example"}`, wantSubject: "7", wantBy: "ann@acme.example"},
		{name: "no id", id: ".id", account: `{}`, outage: true},
		{name: "an empty id", id: ".id", account: `{"id": ""}`, outage: true},
		{name: "two ids", id: ".id, .id", account: `{"id": 7}`, outage: true},
		{name: "no account", id: ".id", outage: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bodies := map[string]string{"/v1/meta/licenses": page(0, 1, "")}
			if test.account != "" {
				bodies["/v1/meta/developer"] = test.account
			}
			c := client(t, answers(bodies), func(c *kloudless.Config) { c.Account.ID, c.Account.VerifyEmail = test.id, test.verify })
			decision, err := c.Authenticate(t.Context(), ann)
			if (err != nil) != test.outage || decision.Refusal != "" || decision.Subject != test.wantSubject || decision.User != test.wantBy {
				t.Errorf("%+v, %v; want subject %q, user %q", decision, err, test.wantSubject, test.wantBy)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	tests := map[string]struct {
		change func(*kloudless.Config)
		want   string
	}{
		"plain HTTP":      {func(c *kloudless.Config) { c.URL = "http://api.example/" }, "expected https"},
		"no URL":          {func(c *kloudless.Config) { c.URL = "" }, "url: expected"},
		"no base":         {func(c *kloudless.Config) { c.URL = "::" }, "url: expected"},
		"no host":         {func(c *kloudless.Config) { c.URL = "https:///v1/" }, "with a host"},
		"user":            {func(c *kloudless.Config) { c.URL = "https://u:p@api.example/" }, "without user"},
		"another host":    {func(c *kloudless.Config) { c.LicensesPath = "https://evil.example/" }, "licenses_path: expected a path below"},
		"another host 2":  {func(c *kloudless.Config) { c.LicensesPath = "//evil.example/v1/x" }, "licenses_path: expected a path below"},
		"above the base":  {func(c *kloudless.Config) { c.LicensesPath = "../x" }, "licenses_path: expected a path below"},
		"no jq":           {func(c *kloudless.Config) { c.Grants = ".[" }, "grants: expected a jq expression"},
		"unknown jq":      {func(c *kloudless.Config) { c.Grants = "nothing" }, "grants: expected a jq expression"},
		"jq of files":     {func(c *kloudless.Config) { c.Grants = `import "a" as a; .` }, "grants: expected a jq expression"},
		"no CA file":      {func(c *kloudless.Config) { c.CAFile = "/does/not/exist" }, "ca_file: open /does/not/exist"},
		"empty CA file":   {func(c *kloudless.Config) { c.CAFile = "/dev/null" }, "expected PEM certificates"},
		"account's id":    {func(c *kloudless.Config) { c.Account.ID = "]" }, "account.id"},
		"account's path":  {func(c *kloudless.Config) { c.Account.VerifyEmail, c.Account.Path = true, "//evil" }, "account.path"},
		"account's email": {func(c *kloudless.Config) { c.Account.VerifyEmail, c.Account.Email = true, "]" }, "account.email"},
	}
	for name, test := range tests {
		c := config("https://api.example/v1/")
		test.change(&c)
		if _, err := kloudless.New(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", name, err, test.want)
		}
	}
}

func TestObserve(t *testing.T) {
	outcomes := map[string]int{}
	status := 200
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		if status == 401 {
			refuse(w, status)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page(0, 0, "")))
	}, func(c *kloudless.Config) {
		c.Observe = func(_ context.Context, outcome string, _ time.Duration) { outcomes[outcome]++ }
	})
	for _, s := range []int{200, 401, 403, 503} {
		status = s
		if _, err := c.Authenticate(t.Context(), ann); errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
	}
	if outcomes["ok"] != 1 || outcomes["refused"] != 1 || outcomes["403"] != 1 || outcomes["503"] != 1 || len(outcomes) != 4 {
		t.Errorf("%v", outcomes)
	}
}

// FuzzGrants: whatever the API answers, nothing panics, nothing hangs, and no
// grant names what the answer does not.
func FuzzGrants(f *testing.F) {
	for _, seed := range []string{fixture(f, "licenses.json"), page(0, 2, `, "next_page": 2`), "{}", "null", `{"objects": [{}]}`} {
		f.Add(seed)
	}
	var body atomic.Value
	body.Store("")
	c := client(f, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") != "1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body.Load().(string)))
	}, nil)
	f.Fuzz(func(t *testing.T, text string) {
		body.Store(text)
		decision, err := c.Authenticate(t.Context(), ann)
		if err != nil || strings.Contains(text, `\`) || !utf8.ValidString(text) { // spelled otherwise in the answer
			return
		}
		for g := range decision.Grants.All() {
			if !strings.Contains(text, g.Repository.String()) || !strings.Contains(text, g.Tag.String()) || g.License == "" {
				t.Errorf("grant %s:%s is not in %q", g.Repository, g.Tag, text)
			}
		}
	})
}

// FuzzRefusal: whatever comes with a 401, it is a refusal only as a JSON object
// that names the API's error.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []string{apiError, "<html>", "null", `{"status_code": 401}`, `{"message": "Forbidden"}`, `{"error_code": {"x": 1}}`} {
		f.Add("application/json", seed)
	}
	f.Add("text/html; charset=utf-8", apiError)
	var contentType, body atomic.Value
	c := client(f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType.Load().(string)}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(body.Load().(string)))
	}, nil)
	f.Fuzz(func(t *testing.T, kind, text string) {
		contentType.Store(kind)
		body.Store(text)
		decision, err := c.Authenticate(t.Context(), ann)
		if err != nil {
			if decision.Refusal != "" {
				t.Errorf("an outage that refuses: %+v, %v", decision, err)
			}
			return
		}
		var object map[string]any
		if decision.Refusal != auth.WrongCredential || !strings.Contains(strings.ToLower(kind), "json") ||
			json.Unmarshal([]byte(text), &object) != nil || object["error_code"] == nil && object["status_code"] == nil {
			t.Errorf("%+v for %q: %q", decision, kind, text)
		}
	})
}

// TestUnreadableLicenseIsOneAccountsFault: a license that cannot be read says
// nothing of other accounts; a page that is not the API's says that it is down.
func TestUnreadableLicenseIsOneAccountsFault(t *testing.T) {
	for body, want := range map[string]bool{
		`{"objects": [{"id": "lic_1"}]}`: true,
		`<html>please wait</html>`:       false,
		`{"error": "busy"}`:              false,
	} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }, nil)
		if _, err := c.Authenticate(t.Context(), ann); err == nil || errors.Is(err, auth.ErrUnreadable) != want {
			t.Errorf("%s: %v, want the account's fault: %t", body, err, want)
		}
	}
}
