package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/explain"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// support runs a command of support, with a token on standard input unless it is
// empty, and returns what it prints and its exit status.
func (w *world) support(token string, args ...string) (out string, status int) {
	w.t.Helper()
	if token != "" {
		file := w.path("token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		stdin, err := os.Open(file)
		if err != nil {
			w.t.Fatal(err)
		}
		defer stdin.Close()
		defer func(before *os.File) { os.Stdin = before }(os.Stdin)
		os.Stdin = stdin
		args = append(args, "--token-stdin")
	}
	var printed bytes.Buffer
	err := run(w.t.Context(), append(args, "--config", w.path("authsvc.yaml")), nil, &printed, io.Discard)
	var ended program.Status
	switch {
	case errors.As(err, &ended):
		status = ended.Code
	case err != nil:
		status = 1
	}
	if err != nil {
		printed.WriteString(err.Error())
	}
	return printed.String(), status
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	w.write()
	r := w.start()
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	tests := []struct {
		name, user, token, reference string
		status                       int
		want                         []string
	}{
		{"nothing is known without the token", "ann@example.com", "", "acme/appliance:1.4", 1, []string{"unknown", "run it again with --token-stdin"}},
		{"a licensed tag", "ann@example.com", "r1ght", "acme/appliance:1.4", 0, []string{
			"result      allowed", "GET /v2/acme/appliance/manifests/1.4: manifest acme/appliance 1.4", "asked now",
			"lic_1  acme/appliance:1.*  until 2099-01-01 00:00:00 UTC    opens it", "lic_2  acme/old:*          expired 2020-01-01", "matches another repository",
			"example.com: the tag is sha256:", "for example.com, fetched", "answer      200"}},
		{"as docker has it", "ann@example.com", "r1ght", "docker.vendor.com:8443/acme/appliance:1.4", 0, []string{"manifests/1.4"}},
		{"a layer", "ann@example.com", "r1ght", blob, 0, []string{"tag         1.4", "opens it"}},
		{"an unlicensed tag", "ann@example.com", "r1ght", "acme/appliance:2.0", 3, []string{
			"matches the repository, not the tag", "answer      404 MANIFEST_UNKNOWN: acme/appliance:2.0 does not exist or is not part of your license",
			"the registry has this tag, but no license covers it", "example.com: the tag is sha256:"}},
		{"a mistyped tag", "ann@example.com", "r1ght", "acme/appliance:2.O", 3, []string{
			"404 MANIFEST_UNKNOWN: acme/appliance:2.O does not exist or is not part of your license", "no license covers this tag, and the registry does not have it", "it has no such tag"}},
		{"an unlicensed repository", "ann@example.com", "r1ght", "acme/tools:1.0", 3, []string{
			"404 NAME_UNKNOWN", "the registry has it, but no license names this repository"}},
		{"a mistyped repository", "ann@example.com", "r1ght", "acme/aplliance:1.4", 3, []string{
			"404 NAME_UNKNOWN", "no license names this repository, and the registry does not have it"}},
		{"an ended license", "ann@example.com", "r1ght", "acme/old:1", 3, []string{"opened it", "answer      403 DENIED: license lic_2 expired on 2020-01-01", "renew"}},
		{"a withdrawn license", "ann@example.com", "r1ght", "acme/ended:1", 3, []string{"withdrawn", "opened it", "403 DENIED: license lic_3 was withdrawn", "renewing it does not help"}},
		{"a tag that the registry does not have", "ann@example.com", "r1ght", "acme/appliance:1.5", 3, []string{
			"it has no such tag", "404 MANIFEST_UNKNOWN: this image does not exist: no manifest with this tag or digest", "push the tag"}},
		{"a digest that nothing leads to", "ann@example.com", "r1ght", "acme/appliance@sha256:" + strings.Repeat("0", 64), 3, []string{"no licensed tag is known to lead to this digest"}},
		{"a wrong token", "ann@example.com", "wr0ng", "acme/appliance:1.4", 3, []string{"not accepted", "refused: credential", "401 UNAUTHORIZED: the e-mail or the API token is wrong"}},
		{"a malformed reference", "ann@example.com", "r1ght", "acme/../appliance:1.4", 3, []string{"400 NAME_INVALID"}},
		{"a list", "ann@example.com", "r1ght", "/v2/acme/appliance/tags/list", 0, []string{"answer      200"}},
		{"no user", "", "", "acme/appliance:1.4", 2, []string{"--user: expected a user name"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, status := w.support(test.token, "explain", "--user", test.user, test.reference)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("expected %q, found:\n%s", want, out)
				}
			}
			if test.token != "" && strings.Contains(out, test.token) || strings.Contains(out, w.key) {
				t.Errorf("it shows a secret:\n%s", out)
			}
		})
	}
	if log := r.logged(); strings.Contains(log, "r1ght") || strings.Contains(log, w.key) {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

// TestExplainOutages: of the source, of the token, and of the registry.
func TestExplainOutages(t *testing.T) {
	w := newWorld(t)
	w.write()
	w.start()
	outage := func(step, next string) {
		t.Helper()
		out, status := w.support("r1ght", "explain", "--user", "ann@example.com", "acme/appliance:1.4")
		if status != 4 || !strings.Contains(out, "503 UNAVAILABLE: the registry is temporarily unavailable") || !strings.Contains(out, step) || !strings.Contains(out, next) {
			t.Errorf("status %d; expected %q and %q, found:\n%s", status, step, next, out)
		}
	}
	w.down.Store(true)
	outage("authenticate: outage", "the source of customers did not answer")
	w.down.Store(false)
	w.registry.Close()
	outage("no answer", "the registry did not answer authsvc")
	if out, status := w.support("r1ght", "explain", "--user", "ann@example.com", "acme/appliance:2.0"); status != 3 ||
		!strings.Contains(out, "no answer") || !strings.Contains(out, "no license covers this tag or digest") {
		t.Errorf("what is not licensed: status %d:\n%s", status, out)
	}
}

// TestExplainAnotherAccount: whose token it is, with the token and without.
func TestExplainAnotherAccount(t *testing.T) {
	w := newWorld(t)
	w.write("kloudless: {url: " + w.vendor.URL + `, account: {verify_email: true, email: '"bob@example.com"'}}`)
	r := w.start()
	for _, token := range []string{"r1ght", ""} {
		out, status := w.support(token, "explain", "--user", "ann@example.com", "acme/appliance:1.4")
		for _, want := range []string{"not accepted", "refused: account, the token belongs to bob@example.com",
			"401 UNAUTHORIZED: the API token belongs to an account with another e-mail", "next        the token belongs to bob@example.com"} {
			if status != 3 || !strings.Contains(out, want) {
				t.Errorf("with the token %q: status %d, expected %q, found:\n%s", token, status, want, out)
			}
		}
		r.ask("ann@example.com:r1ght", "/v2/") // so that it is known
	}
	if out, status := w.support("", "explain", "--user", "bob@example.com", "acme/appliance:1.4"); status != 0 || strings.Contains(out, "belongs to") {
		t.Errorf("the account's own user: status %d:\n%s", status, out)
	}
}

// TestExplainWithoutToken: what is cached for the user is explained, also after a
// restart, and a refusal too.
func TestExplainWithoutToken(t *testing.T) {
	w := newWorld(t)
	w.write("kloudless: {url: "+w.vendor.URL+"}", "cache: {file: "+w.path("customers")+", key_file: "+w.path("key")+"}")
	r := w.start()
	if _, status := w.support("", "explain", "--user", "bob@example.com", "acme/appliance:1.4"); status != 1 {
		t.Errorf("status %d before anything is known", status)
	}
	r.ask("bob@example.com:wr0ng", "/v2/")
	if out, status := w.support("", "explain", "--user", "bob@example.com", "acme/appliance:1.4"); status != 3 || !strings.Contains(out, "refused: credential") {
		t.Errorf("status %d of what is refused:\n%s", status, out)
	}
	r.ask("Ann@example.com:r1ght", "/v2/")
	r.ask("ann@example.com:0ther", "/v2/")
	asked := w.asked.Load()
	out, status := w.support("", "explain", "--user", "ann@example.com", "--json", "acme/appliance:1.4")
	var e explain.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatal(err, out)
	}
	if status != 0 || e.Result != explain.Allowed || e.Credential.TokenGiven || e.Credential.Sources[0].How != "cache" || e.Credential.Sources[0].Credentials != 2 {
		t.Errorf("status %d:\n%s", status, out)
	}
	if w.asked.Load() != asked {
		t.Error("the vendor was asked")
	}
	r.stop()
	w.start()
	if out, status := w.support("", "explain", "--user", "ann@example.com", "acme/appliance:1.4"); status != 0 || !strings.Contains(out, "not checked, because the token was not given") ||
		!strings.Contains(out, "run it again with --token-stdin to check it); if the pull still fails") {
		t.Errorf("after a restart: status %d:\n%s", status, out)
	}
}

// TestExplainChangesNothing: no metric, and nothing of what is remembered.
func TestExplainChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.write("kloudless: {url: "+w.vendor.URL+"}", "cache: {ttl: 1h, file: "+w.path("customers")+", key_file: "+w.path("key")+"}", "release: {tag_ttl: 1h, file: "+w.path("releases")+"}")
	r := w.start()
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	for _, token := range []string{"r1ght", "0ther", "wr0ng"} {
		r.ask("ann@example.com:"+token, "/v2/acme/appliance/manifests/1.4")
		r.ask("ann@example.com:"+token, blob)
	}
	r.stop() // what was still being learned has been
	customers, releases := w.saved("customers"), w.saved("releases")

	r = w.start()
	r.ask("ann@example.com:0ther", "/v2/")
	before := r.metrics()
	for _, token := range []string{"", "r1ght", "wr0ng", "unheard-of"} {
		for _, reference := range []string{"acme/appliance:1.4", "acme/appliance:1.5", "acme/appliance:2.0", "acme/old:1", blob,
			"/v2/acme/appliance/blobs/sha256:" + strings.Repeat("0", 64), "/v2/acme/appliance/tags/list"} {
			w.support(token, "explain", "--user", "ann@example.com", reference)
		}
		w.support(token, "licenses", "--user", "ann@example.com")
	}
	if after := r.metrics(); after != before {
		t.Errorf("metrics before:\n%s\nafter:\n%s", before, after)
	}
	w.down.Store(true)
	for range 20 { // no breaker opens
		w.support("unheard-of", "explain", "--user", "ann@example.com", "acme/appliance:1.4")
	}
	if after := r.metrics(); after != before {
		t.Errorf("metrics before the outage:\n%s\nafter:\n%s", before, after)
	}
	r.stop()
	if after := w.saved("customers"); !slices.Equal(after, customers) || len(after) != 2 {
		t.Errorf("customers before %q, after %q", customers, after)
	}
	if after := w.saved("releases"); !slices.Equal(after, releases) {
		t.Errorf("releases before:\n%q\nafter:\n%q", releases, after)
	}
}

// saved are the entries of a file of the program: the hashes of customers, in the
// order of their last use; or the sorted lines of releases.
func (w *world) saved(name string) (entries []string) {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	if name == "releases" {
		entries = strings.Split(string(text), "\n")
		slices.Sort(entries)
		return entries
	}
	_, body, _ := strings.Cut(string(text), "\n")
	var file struct {
		Entries []struct{ Hash string }
	}
	if err := json.Unmarshal([]byte(body), &file); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range file.Entries {
		entries = append(entries, e.Hash)
	}
	return entries
}

func TestLicenses(t *testing.T) {
	w := newWorld(t)
	w.write()
	w.start()
	out, status := w.support("r1ght", "licenses", "--user", "ann@example.com")
	for _, want := range []string{"lic_1  acme/appliance:1.*  until 2099-01-01", "expired 2020-01-01", "opens       acme/appliance: 1.4\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("expected %q, found:\n%s", want, out)
		}
	}
	if status != 0 {
		t.Errorf("status %d", status)
	}
	if out, status := w.support("wr0ng", "licenses", "--user", "ann@example.com"); status != 3 || !strings.Contains(out, "the e-mail or the API token is wrong") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if out, status := w.support("", "licenses", "--user", "ann@example.com"); status != 1 || !strings.Contains(out, "--token-stdin") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if _, status := w.support("", "licenses", "--user", "ann@example.com", "more"); status != 2 {
		t.Errorf("status %d of a wrong usage", status)
	}
	w.registry.Close()
	if out, status := w.support("r1ght", "licenses", "--user", "ann@example.com"); status != 4 || !strings.Contains(out, "no answer") {
		t.Errorf("status %d:\n%s", status, out)
	}
}
