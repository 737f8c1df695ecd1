package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// fakePrefix begins a User-Agent that says what authsvc answers, which nginx passes on
// to authsvc: "fake p=/v2/… r=…", and after a space what it answers when it is asked
// again. So an exchange says by itself what happens behind nginx.
const fakePrefix = "fake "

// fakeToken is the token of answers that do not say otherwise. It is no registry's, so
// that authsvc blames none.
const fakeToken = "fake.1"

// fakeHeaders are what can be said, by the keys of a query; each may come twice. A
// registry's name stands for its host, and c is a status.
var fakeHeaders = map[string]string{"p": "X-Ecr-Path", "r": "X-Ecr-Registry", "t": "X-Ecr-Token-Id", "s": "X-Ecr-Standby", "st": "X-Registry-Status", "ec": "X-Registry-Error-Code"}

// repeated stands, in a path, for many bytes.
const repeated = "{many}"

// fake replaces an answer of authsvc by what the client wants it to be.
func (o *oracle) fake(a *http.Response) {
	wanted, ok := strings.CutPrefix(a.Request.Header.Get("User-Agent"), fakePrefix)
	if !ok || a.Request.URL.Path != "/authorize" {
		return
	}
	o.failures.Add(1) // where it leads may not be there
	answers := strings.Fields(wanted)
	if len(answers) == 0 {
		answers = []string{""}
	}
	t := o.trail(a.Request.Header.Get("X-Request-Id"), func() *trail {
		s, _ := o.sender.Get(a.Request.Header.Get("X-Real-Ip"))
		return &trail{sender: s, method: a.Request.Header.Get("X-Original-Method"), uri: a.Request.Header.Get("X-Original-Uri")}
	})
	t.mu.Lock()
	said, _ := url.ParseQuery(answers[min(t.faked, len(answers)-1)]) // what can be read of it
	t.faked++
	t.mu.Unlock()
	a.StatusCode = http.StatusOK
	if _, err := fmt.Sscan(said.Get("c"), &a.StatusCode); err == nil {
		a.Status = ""
	}
	a.Header = http.Header{"Content-Length": {"0"}, "X-Ecr-Authorization": {"Basic QVdTOmZha2U="}, "X-Ecr-Registry": {hostOf("eu")}, "X-Ecr-Token-Id": {fakeToken}, "X-Auth-Subject": {email}}
	if a.StatusCode == http.StatusUnauthorized {
		a.Header.Set("Www-Authenticate", `Basic realm="x"`)
	}
	for key, name := range fakeHeaders {
		for i, value := range said[key] {
			value = strings.Trim(strings.ReplaceAll(value, repeated, strings.Repeat("a/", 7000)), " \t\r\n") // as HTTP does
			if host := hostOf(value); key == "r" && host != "" {
				value = host
			}
			if i == 0 {
				a.Header.Set(name, value)
			} else {
				a.Header.Add(name, value)
			}
		}
	}
}

// allowanceOf is what an answer allows.
func allowanceOf(a *http.Response, uri string) allowance {
	allowed := allowance{host: a.Header.Get("X-Ecr-Registry"), fake: strings.HasPrefix(a.Request.Header.Get("User-Agent"), fakePrefix)}
	allowed.path = cmp.Or(a.Header.Get("X-Ecr-Path"), uri)
	for _, r := range registries {
		if name, _, _ := strings.Cut(allowed.host, ":"); name == hostOf(r.name) {
			allowed.registry = r.name
		}
	}
	return allowed
}

// api is the grammar of what a registry may be sent, as the Distribution Specification
// has it, with the queries that authsvc knows.
var api = regexp.MustCompile(`^/v2/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*/` +
	`(?:(manifests)/([A-Za-z0-9_][A-Za-z0-9._-]{0,127})|(manifests|blobs|referrers)/(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))(?:\?([A-Za-z0-9._~:/+=,@%&-]*))?$`)

// checkFaked: whatever authsvc answers, nginx forwards only what is of the API's
// grammar, and asks for what the client asks for: exactly what it sent, or authsvc's
// path with the same operation, reference, and query, or a digest for a tag.
func checkFaked(uri string, allowed allowance, path string) error {
	got := api.FindStringSubmatch(path)
	if got == nil {
		return fmt.Errorf(", which is not of the API's grammar, for %q, when authsvc answered %q", uri, allowed.path)
	}
	if path != allowed.path {
		return fmt.Errorf(" for %q, when authsvc answered %q", uri, allowed.path)
	}
	if path == uri {
		return nil
	}
	clients, query, _ := strings.Cut(uri, "?")
	segments := strings.Split(clients, "/")
	if len(segments) < 5 || query != got[5] || segments[len(segments)-2] != got[1]+got[3] {
		return fmt.Errorf(" for %q: not its operation or query", uri)
	}
	if reference := segments[len(segments)-1]; reference != got[2]+got[4] && (got[4] == "" || got[3] != "manifests" || !tag.MatchString(reference)) {
		return fmt.Errorf(" for %q: not its reference", uri)
	}
	return nil
}

var tag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
