package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/server"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestDecisionIsLogged: one line for each decision, with everything that was found.
func TestDecisionIsLogged(t *testing.T) {
	right, blob := basic("ann@example.com:t0ken"), "/v2/acme/appliance/blobs/"+digest
	tests := []struct {
		name, method, uri, authorization string
		more                             []string
		want                             map[string]any
	}{
		{name: "tag", method: "HEAD", uri: "/v2/acme/appliance/manifests/1.4", authorization: right,
			more: []string{"User-Agent", "docker/29.0.0 go/go1.26", "Traceparent", trace},
			want: map[string]any{"level": "INFO", "msg": "decision", "request_id": "request-1", "client": "192.0.2.1", "subject": "ann@example.com",
				"license": "lic_1", "method": "HEAD", "kind": "manifest", "repository": "acme/appliance", "reference": "1.4", "tag": "1.4",
				"user_agent": "docker/29.0.0 go/go1.26", "traceparent": trace, "decision": "allow", "cache": "hit", "reason": ""}},
		{name: "digest", method: "GET", uri: blob, authorization: right,
			want: map[string]any{"reference": digest, "tag": "1.4", "license": "lic_1", "user_agent": "", "traceparent": ""}},
		{name: "refused", method: "GET", uri: blob, authorization: basic("ann@example.com:wrong"),
			want: map[string]any{"subject": hashed("ann@example.com"), "tag": "", "decision": "unauthorized", "reason": "the e-mail or the API token is wrong"}},
		{name: "hostile", method: "PUT\x00", uri: blob, more: []string{"User-Agent", "ä\"\n\x1b[31m" + strings.Repeat("x", 1000), "Traceparent", trace + "\n"},
			want: map[string]any{"method": "PUT?", "user_agent": "?\"??[31m" + strings.Repeat("x", 247), "traceparent": "", "decision": "unsupported"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.ask("/authorize", test.method, test.uri, test.authorization, test.more...)
			if lines := strings.Count(f.log.String(), "\n"); lines != 1 {
				t.Fatalf("%d log lines for one decision:\n%s", lines, f.log)
			}
			var got map[string]any
			if err := json.Unmarshal(f.log.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s: %q, want %q", name, got[name], want)
				}
			}
		})
	}
}

// TestProbesAreNotCounted: our own made-up pulls are in the log, and in no metric of
// customers.
func TestProbesAreNotCounted(t *testing.T) {
	for _, test := range []struct {
		userPass string
		probe    bool
	}{{"ann@example.com:t0ken", true}, {"ann@example.com:wrong", false}, {"eve@example.com:t0ken", false}} {
		f := newFixture(t, func(o *server.Options) {
			decider(o).Probe = func(c credential.Credential) bool { return c.User == "ann@example.com" && c.Secret.Reveal() == "t0ken" }
		})
		f.ask("/authorize", "GET", "/v2/", basic(test.userPass))
		if logged := strings.Contains(f.log.String(), `"probe":true`); logged != test.probe {
			t.Errorf("%s: %s", test.userPass, f.log)
		}
		if counted := strings.Contains(f.metrics(), "authsvc_decision_duration_seconds_count 1\n"); counted == test.probe {
			t.Errorf("%s: counted: %t", test.userPass, counted)
		}
	}
}

// TestTraceReachesTheSource: a trace that is well-formed goes on to the source.
func TestTraceReachesTheSource(t *testing.T) {
	for sent, want := range map[string]string{trace: trace, "x": "", "": ""} {
		var got string
		f := newFixture(t, func(o *server.Options) { decider(o).Authenticator = tracer{&got} })
		f.ask("/authorize", "GET", "/v2/", basic("ann@example.com:t0ken"), "Traceparent", sent)
		if got != want {
			t.Errorf("the source was asked in the trace %q for %q, want %q", got, sent, want)
		}
	}
}

// tracer notes the trace that it is asked in.
type tracer struct{ got *string }

func (v tracer) Authenticate(ctx context.Context, _ auth.Caller) (auth.Decision, error) {
	*v.got = auth.Traceparent(ctx)
	return auth.Decision{Subject: "ann"}, nil
}

var documented = regexp.MustCompile("(?s)<!-- decision fields -->\n(.*?)<!-- end -->")

// TestFieldsAreDocumented: README.md's table of a decision's fields has those that
// the program writes, in their order.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	section := documented.FindSubmatch(text)
	if section == nil {
		t.Fatal("README.md has no table of the fields of a decision")
	}
	var want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (`[@\\w.]+`|–)").FindAllSubmatch(section[1], -1) {
		want = append(want, string(row[1]))
	}
	// A decision with every field: of a made-up pull, by a user whom the source does not
	// confirm, for the content store, from a stand-by, by what a registry that fails said last.
	f := newFixture(t, func(o *server.Options) {
		decider(o).Probe = func(credential.Credential) bool { return true }
		decider(o).Routes, decider(o).Manifests = severalRegistries(slog.New(slog.DiscardHandler)), manifests{}
		decider(o).Rules.Releases = outdated{}
		decider(o).Authenticator = vendor{func(credential.Credential) (auth.Decision, error) {
			return auth.Decision{Subject: "account-1", Grants: auth.NewGrants(auth.Grant{Repository: pattern(t, "acme/*"), Tag: pattern(t, "*")})}, nil
		}}
	})
	f.ask("/fetch", "GET", "/v2/acme/appliance/manifests/"+digest, basic("ann:t0ken"), "X-Upstream-Status", "502", "X-Upstream-Token-Id", "eu.x")
	if got := fields(t, f.log.Bytes()); !slices.Equal(got, want) {
		t.Errorf("the program writes  %q\nREADME.md documents %q", got, want)
	}
}

// fields are the names in a JSON object, in their order.
func fields(t *testing.T, line []byte) (names []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(line))
	if _, err := decoder.Token(); err != nil { // the brace
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		var value any
		if err := errors.Join(err, decoder.Decode(&value)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}
