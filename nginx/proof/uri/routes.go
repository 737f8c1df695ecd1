package main

import (
	"regexp"
	"strings"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// A route is a prefix in authsvc's configuration: what customers see, what the registry
// has instead, and who stands by for it.
type route struct{ outer, inner, first, standby string }

// routes are one without another name, renamed ones, and ones inside another one.
var routes = []route{
	{"acme/", "acme/", "eu", "us"},
	{"vendor/", "prod-eu/", "eu", "us"},
	{"store/", unspoken, "eu", "us"},
	{"vault/", "vault/", "eu", "us"},
	{"us/", "us/", "us", ""},
	{"acme/deep/", "acme/deep/", "jp", ""},
	{"vendor/deep/", "prod-jp/", "jp", ""},
}

// unspoken is a registry's name that no request contains, so that it comes back only
// from the inside. The others are guessed.
const unspoken = "unspoken-name/"

var guessed = []string{"prod-eu", "prod-jp"}

// registries are all, in the configuration's order: three accounts or regions.
var registries = []struct {
	name            string
	account, region string
}{
	{"eu", ecr.Account, ecr.Region},
	{"us", "210987654321", "us-east-1"},
	{"jp", "345678901234", "ap-northeast-1"},
}

// hostOf is a registry's host; empty if there is no such registry.
func hostOf(registry string) string {
	for _, r := range registries {
		if r.name == registry {
			return ecr.Host(r.account, r.region)
		}
	}
	return ""
}

// upstreams is the configuration of the stack.
func upstreams() (all []stack.UpstreamOptions) {
	for _, r := range registries {
		u := stack.UpstreamOptions{Name: r.name, ECR: ecr.Options{Account: r.account, Region: r.region, Record: -1, Remember: true}, Authsvc: map[string]any{"refresh_timeout": "5001ms"}}
		for _, p := range routes {
			if p.first != r.name {
				continue
			}
			u.Standby = p.standby
			if p.outer == p.inner {
				u.Prefixes = append(u.Prefixes, p.outer)
			} else {
				u.Prefixes = append(u.Prefixes, map[string]string{p.outer: p.inner})
			}
		}
		all = append(all, u)
	}
	return all
}

// routeOf is the route with the longest prefix of a repository's name.
func routeOf(repository string) (best route, ok bool) {
	for _, r := range routes {
		if strings.HasPrefix(repository, r.outer) && len(r.outer) > len(best.outer) {
			best, ok = r, true
		}
	}
	return best, ok
}

// A repository is a licensed one.
type repository struct {
	route
	innerName string            // its name in the registry
	digests   map[string]string // of manifests, by tag and by digest
	blobs     map[string]bool
}

// A hop is what a registry may be sent.
type hop struct{ registry, path string }

// asked is a request of what is licensed.
type asked struct {
	*repository
	kind, reference string
	query           string // with its question mark; empty if nothing follows that
	uri             string // all of it, byte for byte
}

var (
	licensedTag = regexp.MustCompile(`^1\.[A-Za-z0-9._-]{0,126}$`)
	plainQuery  = regexp.MustCompile(`^[\x21-\x22\x24-\x7e]*$`)
)

// entitled says what a request asks for, if the license covers it.
func (w *world) entitled(method, uri string) (a asked, ok bool) {
	path, query, _ := strings.Cut(uri, "?")
	if method != "GET" && method != "HEAD" || !plainQuery.MatchString(query) {
		return a, false
	}
	segments := strings.Split(path, "/")
	n := len(segments)
	if n < 5 || segments[0] != "" || segments[1] != "v2" {
		return a, false
	}
	a = asked{repository: w.repositories[strings.Join(segments[2:n-2], "/")], kind: segments[n-2], reference: segments[n-1], uri: uri}
	if a.repository == nil {
		return a, false
	}
	if query != "" {
		a.query = "?" + query
	}
	switch a.kind {
	case "manifests":
		return a, licensedTag.MatchString(a.reference) || a.digests[a.reference] != "" || a.blobs[a.reference]
	case "blobs", "referrers": // a manifest's digest is a blob's too
		return a, a.blobs[a.reference] || strings.Contains(a.reference, ":") && a.digests[a.reference] != ""
	}
	return a, false
}

// digest is what the reference means in the registry itself; empty if nothing.
func (a asked) digest() string {
	if strings.Contains(a.reference, ":") {
		return a.reference
	}
	return a.digests[a.reference]
}

// byDigest is the request by the registry's name and by digest.
func (a asked) byDigest() string {
	return "/v2/" + a.innerName + "/" + a.kind + "/" + a.digest() + a.query
}

func (a asked) renamed() bool { return a.outer != a.inner }

// first is what the registry itself may be sent: exactly what the client sent, or
// exactly the same under its own name, and a tag by the digest that it has.
func (a asked) first() (h hop, ok bool) {
	if !a.renamed() {
		return hop{a.route.first, a.uri}, true
	}
	return hop{a.route.first, a.byDigest()}, a.digest() != ""
}

// standby is what the stand-by may be sent: by the digest that the registry itself has,
// and no list.
func (a asked) standby() (h hop, ok bool) {
	if a.route.standby == "" || a.kind == "referrers" || a.digest() == "" {
		return hop{}, false
	}
	if !a.renamed() && a.digest() == a.reference {
		return hop{a.route.standby, a.uri}, true
	}
	return hop{a.route.standby, a.byDigest()}, true
}
