package decision_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const layer = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var errDown = errors.New("dial tcp 10.0.0.1: refused")

// customers have the same token, and are told apart by their names.
type customers map[string]auth.Decision

func (c customers) Authenticate(_ context.Context, caller auth.Caller) (auth.Decision, error) {
	if caller.User == "down" {
		return auth.Decision{}, errDown
	}
	d, ok := c[caller.User]
	if !ok || caller.Secret.Reveal() != "t0ken" {
		return auth.Decision{Refusal: auth.WrongCredential, Cache: auth.Miss}, nil
	}
	return d, nil
}

// releases are one repository with three tags, of which 1.4 has the layer.
type releases struct{}

func (releases) Find(_ context.Context, repository, digest string, want release.Tags) (release.Found, error) {
	if repository == "acme/down" {
		return release.Found{}, errDown
	}
	if digest == layer && want.Match("1.4") {
		return release.Found{Tag: "1.4", Stale: repository == "acme/stale"}, nil
	}
	return release.Found{}, nil
}

func (releases) Tags(_ context.Context, repository string) ([]string, bool, error) {
	return []string{"1.4", "1.5", "2.0"}, repository == "acme/stale", nil
}
func (releases) Asked(string, string) {}

func (releases) Pin(_ context.Context, r registry.Request) (registry.Pinned, error) {
	switch r.Reference.Tag {
	case "1.0":
		return registry.Pinned{}, nil
	case "1.1":
		return registry.Pinned{Digest: layer, Schema1: true}, nil
	case "1.2":
		return registry.Pinned{}, errDown
	}
	return registry.Pinned{Digest: layer}, nil
}

// Shown knows 1.4 and the layer.
func (releases) Shown(r registry.Request) (digest string, schema1, ok bool) {
	return layer, false, r.Reference.Tag == "1.4" || r.Reference.Digest == layer
}

// keys are a registry's.
type keys struct {
	host string
	err  error
}

func (k *keys) Current() (tokenfile.Token, error) {
	return tokenfile.Token{Host: cmp.Or(k.host, "registry.example"), Value: tokenfile.NewValue("QVdTOng="), FetchedAt: time.Unix(2, 0)}, k.err
}

func (k *keys) Wait(context.Context, time.Time) (tokenfile.Token, error) {
	return tokenfile.Token{}, errors.New("no other token comes")
}

// registry is one with keys.
func (k *keys) registry(name string) *upstream.Upstream {
	return upstream.New(k, upstream.Config{Name: name, Timeout: time.Second})
}

// grants are rights by pairs of patterns: of a repository, and of its tags.
func grants(t *testing.T, patterns ...string) auth.Grants {
	t.Helper()
	var all []auth.Grant
	for i := 0; i < len(patterns); i += 2 {
		repository, err := auth.NewPattern(patterns[i])
		if err != nil {
			t.Fatal(err)
		}
		tag, err := auth.NewPattern(patterns[i+1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, auth.Grant{Repository: repository, Tag: tag, License: "lic_1"})
	}
	return auth.NewGrants(all...)
}

func decider(t *testing.T, k *keys) *decision.Decider {
	t.Helper()
	pattern := func(glob string) auth.Pattern {
		p, err := auth.NewPattern(glob)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	grants := []auth.Grant{
		{Repository: pattern("acme/*"), Tag: pattern("1.*"), License: "lic_1"},
		{Repository: pattern("acme/old"), Tag: pattern("9"), License: "lic_2", Expires: time.Unix(1, 0)},
	}
	return &decision.Decider{
		Authenticator: customers{
			"ann": {Subject: "ann@acme.example", User: "ann", Grants: auth.NewGrants(grants...), Cache: auth.Hit},
			"bob": {Subject: "account-2", Cache: auth.Stale},
			"mob": {Refusal: auth.TooManyGuesses, RetryAfter: 9 * time.Second},
			"bee": {Refusal: auth.TooBusy, RetryAfter: time.Second},
			"eve": {Refusal: auth.WrongAccount, Cache: auth.Hit},
		},
		Rules: &entitlement.Rules{Releases: releases{}}, Manifests: releases{}, Routes: upstream.NewRoutes(upstream.Route{First: k.registry("main")}), Key: credential.NewKey([]byte("key")),
	}
}

func question(uri, userPass string) decision.Question {
	q := decision.Question{Method: "GET", URI: uri}
	if userPass != "" {
		q.Authorization = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(userPass))}
	}
	return q
}

func TestForward(t *testing.T) {
	unknown := "user:" + credential.NewKey([]byte("key")).Hash("user", "nobody").Short()
	tests := []struct {
		name, uri, userPass string
		keys                keys
		// want is the outcome in a word, the status of a refusal, the subject
		// and the license.
		want    string
		status  int
		subject string
		license string
	}{
		{"tag", "/v2/acme/a/manifests/1.4", "ann:t0ken", keys{}, "allow", 0, "ann@acme.example", "lic_1"},
		{"digest", "/v2/acme/a/blobs/" + layer, "ann:t0ken", keys{}, "allow", 0, "ann@acme.example", "lic_1"},
		{"ping without a license", "/v2/", "bob:t0ken", keys{}, "allow", 0, "account-2 (unverified: bob)", ""},
		{"ping without a token", "/v2/", "ann:t0ken", keys{err: errDown}, "allow", 0, "ann@acme.example", ""},
		{"malformed", "/v2/acme/../a/manifests/1.4", "ann:t0ken", keys{}, "name_invalid", 400, "", ""},
		{"no credential", "/v2/acme/a/manifests/1.4", "", keys{}, "unauthorized", 401, "", ""},
		{"wrong credential", "/v2/acme/a/manifests/1.4", "nobody:x", keys{}, "unauthorized", 401, unknown, ""},
		{"wrong account", "/v2/", "eve:t0ken", keys{}, "unauthorized", 401, "user:", ""},
		{"too many guesses", "/v2/", "mob:t0ken", keys{}, "toomanyrequests", 429, "user:", ""},
		{"busy", "/v2/", "bee:t0ken", keys{}, "toomanyrequests", 429, "user:", ""},
		{"not licensed", "/v2/acme/a/manifests/2.0", "ann:t0ken", keys{}, "manifest_unknown", 404, "ann@acme.example", ""},
		{"ended", "/v2/acme/old/manifests/9", "ann:t0ken", keys{}, "denied", 403, "ann@acme.example", "lic_2"},
		{"a list is not forwarded", "/v2/acme/a/tags/list", "ann:t0ken", keys{}, "unsupported", 404, "ann@acme.example", ""},
		{"source down", "/v2/", "down:t0ken", keys{}, "unavailable", 0, "user:", ""},
		{"registry down", "/v2/acme/down/blobs/" + layer, "ann:t0ken", keys{}, "unavailable", 0, "ann@acme.example", ""},
		{"no key", "/v2/acme/a/manifests/1.4", "ann:t0ken", keys{err: errDown}, "unavailable", 0, "ann@acme.example", "lic_1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := decider(t, &test.keys).Forward(t.Context(), question(test.uri, test.userPass), nil)
			isOne(t, got)
			status := 0
			if got.Refusal != nil {
				status = got.Refusal.Status
			}
			if got.Word() != test.want || status != test.status || !strings.HasPrefix(got.Subject.String(), test.subject) || got.License != test.license {
				t.Errorf("got %s %d %s %s, want %s %d %s %s", got.Word(), status, got.Subject, got.License, test.want, test.status, test.subject, test.license)
			}
			if (got.Token.Host != "") != (got.Allowed() && got.Request.Kind != registry.Ping) {
				t.Errorf("%s with a key for %q", got.Word(), got.Token.Host)
			}
		})
	}
}

// TestStale: that the registry fails, and what it said last has decided, shows in the
// outcome, whichever step it was.
func TestStale(t *testing.T) {
	d := decider(t, &keys{})
	f := newFleet(t)
	for uri, want := range map[string]bool{
		"/v2/acme/stale/blobs/" + layer: true, "/v2/acme/a/blobs/" + layer: false, "/v2/acme/stale/manifests/1.4": false,
		"/v2/acme/stale/manifests/sha256-" + strings.TrimPrefix(layer, "sha256:") + ".sig": true,
	} {
		if o := d.Forward(t.Context(), question(uri, "ann:t0ken"), nil); !o.Allowed() || o.Stale != want {
			t.Errorf("%s: %s, stale: %t", uri, o.Word(), o.Stale)
		}
	}
	for uri, want := range map[string]bool{"/v2/acme/stale/tags/list": true, "/v2/acme/a/tags/list": false} {
		if o := d.List(t.Context(), question(uri, "ann:t0ken"), nil); !o.Allowed() || o.Stale != want {
			t.Errorf("%s: %s, stale: %t", uri, o.Word(), o.Stale)
		}
	}
	for uri, want := range map[string]bool{"/v2/acme/a/manifests/1.9": true, "/v2/acme/a/manifests/1.4": false, "/v2/acme/stale/manifests/" + layer: true} {
		if o := f.Forward(t.Context(), question(uri, "ann:t0ken"), nil); !o.Allowed() || o.Stale != want {
			t.Errorf("renamed %s: %s, stale: %t", uri, o.Word(), o.Stale)
		}
	}
}

// isOne checks that an outcome is one of three things.
func isOne(t *testing.T, o decision.Outcome) {
	t.Helper()
	if o.Refusal != nil && o.Err != nil {
		t.Errorf("a refusal %v and an outage %v", o.Refusal, o.Err)
	}
	if o.Allowed() != (o.Reason() == "") {
		t.Errorf("allowed %t with reason %q", o.Allowed(), o.Reason())
	}
}

func TestRetryRenews(t *testing.T) {
	k := &keys{}
	q := question("/v2/acme/a/manifests/1.4", "ann:t0ken")
	q.Retry, q.TokenID = true, "main.old"
	got := decider(t, k).Forward(t.Context(), q, nil)
	if !got.Allowed() || !got.Token.FetchedAt.Equal(time.Unix(2, 0)) {
		t.Errorf("%v with a token of %v", got.Word(), got.Token.FetchedAt)
	}
	q.TokenID = got.Upstream.TokenID(got.Token)
	if got := decider(t, k).Forward(t.Context(), q, nil); got.Err == nil {
		t.Errorf("the rejected token again: %v", got.Word())
	}
}

func TestList(t *testing.T) {
	tests := []struct {
		uri, userPass string
		want          []string
		next, word    string
	}{
		{"/v2/acme/a/tags/list", "ann:t0ken", []string{"1.4", "1.5"}, "", "allow"},
		{"/v2/acme/a/tags/list?n=1", "ann:t0ken", []string{"1.4"}, "/v2/acme/a/tags/list?last=1.4&n=1", "allow"},
		{"/v2/acme/a/tags/list?last=1.5", "ann:t0ken", []string{}, "", "allow"},
		{"/v2/_catalog", "bob:t0ken", []string{}, "", "allow"},
		{"/v2/acme/a/tags/list?n=x", "ann:t0ken", nil, "", "pagination_number_invalid"},
		{"/v2/acme/a/tags/list", "bob:t0ken", nil, "", "name_unknown"},
		{"/v2/acme/a/manifests/1.4", "ann:t0ken", nil, "", "unsupported"},
		{"/v2/acme/a/tags/list", "", nil, "", "unauthorized"},
	}
	for _, test := range tests {
		got := decider(t, &keys{err: errDown}).List(t.Context(), question(test.uri, test.userPass), nil)
		isOne(t, got)
		if !slices.Equal(got.Page, test.want) || (got.Page == nil) != (test.want == nil) || got.Next != test.next || got.Word() != test.word {
			t.Errorf("%s: got %q, %q, %s; want %q, %q, %s", test.uri, got.Page, got.Next, got.Word(), test.want, test.next, test.word)
		}
	}
}

// TestTrace: each step tells what it has found, and no secret.
func TestTrace(t *testing.T) {
	tests := []struct {
		uri, userPass string
		want          []string
	}{
		{"/v2/acme/a/manifests/1.4", "ann:t0ken", []string{"parse: manifest acme/a 1.4", "authenticate: ann@acme.example hit, 2 grants",
			"entitle: lic_1 by tag 1.4", "route: main", "key: registry.example"}},
		{"/v2/acme/a/blobs/" + layer, "ann:t0ken", []string{"parse: blob acme/a " + layer, "authenticate: ann@acme.example hit, 2 grants",
			"entitle: lic_1 by tag 1.4", "route: main", "key: registry.example"}},
		{"/v2/", "bob:t0ken", []string{"parse: ping  ", "authenticate: account-2 (unverified: bob) stale, 0 grants", "entitle:  by tag ", "route: ", "key: "}},
		{"/v2/", "ann:wr0ng", []string{"parse: ping  ", "authenticate: the e-mail or the API token is wrong"}},
		{"/v2/", "down:t0ken", []string{"parse: ping  ", "authenticate: dial tcp 10.0.0.1: refused"}},
	}
	for _, test := range tests {
		var got []string
		d := decider(t, &keys{})
		traced := d.Forward(t.Context(), question(test.uri, test.userPass), func(f decision.Finding) {
			if f.Took < 0 {
				t.Errorf("%s took %v", f.Step, f.Took)
			}
			got = append(got, string(f.Step)+": "+found(f))
		})
		if !slices.Equal(got, test.want) {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
		plain := d.Forward(t.Context(), question(test.uri, test.userPass), nil)
		traced.Duration, plain.Duration = 0, 0
		if fmt.Sprint(traced) != fmt.Sprint(plain) {
			t.Errorf("traced %v\nplain  %v", traced, plain)
		}
	}
}

func name(u *upstream.Upstream) string {
	if u == nil {
		return ""
	}
	return u.Name()
}

// found shows what a step has found.
func found(f decision.Finding) string {
	o := f.Outcome
	if !o.Allowed() {
		return o.Reason()
	}
	return map[decision.Step]string{
		decision.Parse:        fmt.Sprintf("%s %s %s", o.Request.Kind, o.Request.Repository, o.Request.Reference),
		decision.Authenticate: fmt.Sprintf("%s %s, %d grants", o.Subject, o.Cache, o.Grants.Len()),
		decision.Entitle:      o.License + " by tag " + o.Tag,
		decision.Route:        name(o.Upstream),
		decision.Key:          o.Token.Host,
	}[f.Step]
}
