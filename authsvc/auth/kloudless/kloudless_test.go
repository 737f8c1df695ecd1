package kloudless_test

import (
	"encoding/pem"
	"errors"
	"fmt"
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
	"github.com/pullgate/pullgate/authsvc/auth/kloudless"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const token = "ann's-token"

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
	for _, g := range d.Grants {
		expires := "never"
		if !g.Expires.IsZero() {
			expires = g.Expires.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s:%s until %s by %s\n", g.Repository, g.Tag, expires, g.License)
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
	cache := auth.NewCache(c, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Second, MaxEntries: 10, MaxRefusals: 10})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if decision, err := cache.Authenticate(t.Context(), ann); err != nil || len(decision.Grants) != 4 {
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
			if (err != nil) != (test.want < 0) || err == nil && len(decision.Grants) != test.want || calls != test.calls {
				t.Errorf("%d grants in %d calls, %v; want %d in %d", len(decision.Grants), calls, err, test.want, test.calls)
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
				w.WriteHeader(status)
				if status == 200 {
					_, _ = w.Write([]byte(page(0, 1, "")))
				}
			}, nil)
			decision, err := c.Authenticate(t.Context(), ann)
			refused := status == 401 || status == 403
			switch {
			case status == 200 && (err != nil || len(decision.Grants) != at || decision.Refusal != ""),
				refused && (err != nil || decision.Refusal != auth.WrongCredential || len(decision.Grants) != 0),
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
	if err != nil || decision.Refusal != "" || len(decision.Grants) != 0 {
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

func TestToken(t *testing.T) {
	for _, secret := range []string{token, "a:b", "ümläut", strings.Repeat("x", 6000), "a b"} {
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+secret {
				t.Errorf("Authorization %q", got)
			}
			_, _ = w.Write([]byte(page(0, 0, "")))
		}, nil)
		if _, err := c.Authenticate(t.Context(), credential.Credential{User: "ann", Secret: credential.NewSecret(secret)}); err != nil {
			t.Error(err)
		}
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
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(strings.Repeat("x", 10000)))
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
		{"not there", "", "ann@acme.example", "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bodies := map[string]string{"/v1/meta/licenses": page(0, 1, ""), "/v1/meta/developer": test.account}
			if test.account == "" {
				delete(bodies, "/v1/meta/developer")
			}
			c := client(t, answers(bodies), func(c *kloudless.Config) { c.Account.VerifyEmail = true })
			decision, err := c.Authenticate(t.Context(), credential.Credential{User: test.user, Secret: credential.NewSecret(token)})
			if (err != nil) != test.outage || decision.Refusal != test.want || test.want != "" && len(decision.Grants) > 0 {
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
		"no URL":          {func(c *kloudless.Config) { c.URL = "::" }, "url: expected"},
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
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page(0, 0, "")))
	}, func(c *kloudless.Config) {
		c.Observe = func(outcome string, _ time.Duration) { outcomes[outcome]++ }
	})
	for _, s := range []int{200, 401, 503} {
		status = s
		if _, err := c.Authenticate(t.Context(), ann); errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
	}
	if outcomes["ok"] != 1 || outcomes["refused"] != 1 || outcomes["503"] != 1 || len(outcomes) != 3 {
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
		for _, g := range decision.Grants {
			if !strings.Contains(text, g.Repository.String()) || !strings.Contains(text, g.Tag.String()) || g.License == "" {
				t.Errorf("grant %s:%s is not in %q", g.Repository, g.Tag, text)
			}
		}
	})
}
