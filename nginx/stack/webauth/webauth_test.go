package webauth_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
	"github.com/pullgate/pullgate/nginx/stack/webauth"
)

// start starts the service, and the source of authsvc/examples/web.yaml before it.
func start(t *testing.T) (*webauth.Server, auth.Made) {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("webauth", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := webauth.Start(webauth.Options{Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	example, err := os.ReadFile("../../../authsvc/examples/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.Source(example, ca.File, dir)
	if err != nil {
		t.Fatal(err)
	}
	delete(source, "name")
	delete(source, "kind")
	reader := web.Kind.Keys.Section("", source)
	config := web.Kind.Read(reader)
	if err := errors.Join(reader.Problems()...); err != nil {
		t.Fatal(err)
	}
	made, err := config.New(t.Context(), auth.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	return s, made
}

// TestExample: the example works as its comments say.
func TestExample(t *testing.T) {
	s, made := start(t)
	end := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetAccount("anns", vendorapi.Account{Email: "ann+x/y@acme.example", Licenses: []vendorapi.License{
		{ID: "lic_1", Releases: []vendorapi.Release{{Repository: "acme/appliance", Tags: []string{"1.*", "latest"}}, {Repository: "acme/tools", Tags: []string{"*"}}}},
		{ID: "lic_2", Inactive: true, Expiration: end, Releases: []vendorapi.Release{{Repository: "acme/addons/*", Tags: []string{"*"}}}},
	}})
	s.SetEnds("anns", end)
	s.SetAccount("bobs", vendorapi.Account{Email: "bob@acme.example"})
	s.Suspend("bobs", "invoice 7")
	tests := []struct {
		user, password string
		want           auth.Decision
	}{
		{"ann+x/y@acme.example", "wrong", auth.Decision{Refusal: auth.WrongCredential}},
		{"ann+x/y@acme.example", "bobs", auth.Decision{Refusal: auth.WrongCredential}},
		{"cid@acme.example", "anns", auth.Decision{Refusal: auth.NotMine}},
		{"bob@acme.example", "bobs", auth.Decision{Refusal: auth.WrongCredential, Reason: "account suspended: invoice 7"}},
	}
	for _, test := range tests {
		got, err := made.Source.Authenticate(t.Context(), credential.Credential{User: test.user, Secret: credential.NewSecret(test.password)})
		if err != nil || got.Refusal != test.want.Refusal || got.Reason != test.want.Reason {
			t.Errorf("%s with %s: %+v, %v; want %+v", test.user, test.password, got, err, test.want)
		}
	}
	s.Forget()
	got, err := made.Source.Authenticate(t.Context(), credential.Credential{User: "ann+x/y@acme.example", Secret: credential.NewSecret("anns")})
	if err != nil || got.Refusal != "" || got.Subject != "1" || got.User != "ann+x/y@acme.example" || !got.Ends.Equal(end) {
		t.Errorf("%+v, %v", got, err)
	}
	var grants []string
	for g := range got.Grants.All() {
		grants = append(grants, g.Repository.String()+":"+g.Tag.String())
	}
	if want := []string{"acme/appliance:1.*", "acme/appliance:latest", "acme/tools:*", "acme/addons/*:*"}; !slices.Equal(grants, want) || s.Received() != 3 {
		t.Errorf("%q in %d requests, want %q in 3", grants, s.Received(), want)
	}
	if err := made.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	s.Inject(standin.Fault{Status: http.StatusForbidden, Body: "<html>"})
	if err := made.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "firewall") {
		t.Errorf("check of a firewall: %v", err)
	}
}

// TestStrict: what is not exactly the example's request is refused as such.
func TestStrict(t *testing.T) {
	s, made := start(t)
	_, _ = made.Source.Authenticate(t.Context(), credential.Credential{User: "ann", Secret: credential.NewSecret("x")})
	if n := s.Received(); n != 1 {
		t.Fatalf("%d requests", n)
	}
	request := s.Requests()[0]
	if request.URI != "/v2/customers/ann" || request.Header.Get("X-Api-Key") != "" || !strings.HasPrefix(request.Header.Get("Authorization"), "Basic ") {
		t.Errorf("%+v", request)
	}
	s.SetAccount("anns", vendorapi.Account{Email: "ann"})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure()}}
	t.Cleanup(client.CloseIdleConnections)
	for _, test := range []struct {
		name, method, path string
		change             func(*http.Request)
		want               int
	}{
		{"the example's", "GET", "/v2/customers/ann", func(r *http.Request) { r.SetBasicAuth("ann", "anns") }, 200},
		{"no credential", "GET", "/v2/customers/ann", func(*http.Request) {}, 400},
		{"another user", "GET", "/v2/customers/ann", func(r *http.Request) { r.SetBasicAuth("bob", "anns") }, 400},
		{"the key too", "GET", "/v2/customers/ann", func(r *http.Request) { r.SetBasicAuth("ann", "anns"); r.Header.Set("X-Api-Key", webauth.Key) }, 400},
		{"POST", "POST", "/v2/customers/ann", func(r *http.Request) { r.SetBasicAuth("ann", "anns") }, 400},
		{"licenses", "GET", "/v2/accounts/1/licenses?limit=100", func(r *http.Request) { r.Header.Set("X-Api-Key", webauth.Key) }, 200},
		{"licenses of nobody", "GET", "/v2/accounts/2/licenses?limit=100", func(r *http.Request) { r.Header.Set("X-Api-Key", webauth.Key) }, 404},
		{"licenses without the key", "GET", "/v2/accounts/1/licenses?limit=100", func(*http.Request) {}, 401},
		{"licenses with a customer's secret", "GET", "/v2/accounts/1/licenses?limit=100", func(r *http.Request) { r.SetBasicAuth("ann", "anns"); r.Header.Set("X-Api-Key", webauth.Key) }, 400},
		{"elsewhere", "GET", "/v2/", func(*http.Request) {}, 404},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, s.URL()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "application/json")
		test.change(request)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != test.want {
			t.Errorf("%s: %d, %v; want %d", test.name, response.StatusCode, err, test.want)
		}
	}
}

// insecure is for requests that no secret depends on.
func insecure() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // a stand-in on loopback
}
