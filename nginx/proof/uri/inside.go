package main

import (
	"fmt"
	"slices"
	"strings"
)

// What a client asks of those behind nginx: authsvc and the registries (fake.go,
// behavior.go). A trick is often one in a name, or in what authsvc makes of it.

// prefixTricks begin a repository's name, where a prefix does, or almost.
var prefixTricks = []string{
	"vendor", "vendor/", "vendor//", "vendor/./", "vendor/../prod-eu/", "vendor/../", "vendor%2f", "Vendor/", "vendor.", "vendor-/", "vendor-x/", "vendorx/", "vendor/deep/", "vendor/deep/../", "vendor/deep//", "vendor/prod-eu/",
	"prod-eu/", "prod-eu", "prod-eu/app/", "prod-eu/deep/", "prod-jp/", "acme/", "acme", "acme/deep/", "acme/deep/../", "acme/deep", "deep/", "store/", "us/", "us", "manifests/", "blobs/", "vendor/manifests/", "vendor/blobs/",
	"vendor/manifests/1.0/", "vendor/app/manifests/1.0/", "vendor|prod-eu/", "|vendor/", "vendor/|", "vendor/?", "", "/",
}

// rename changes where a name begins.
func (r random) rename(t string) string {
	rest, ok := strings.CutPrefix(t, "/v2/")
	if !ok {
		return t
	}
	for range 1 + r.IntN(3) {
		if _, after, ok := strings.Cut(rest, "/"); ok {
			rest = after
		}
	}
	return "/v2/" + pick(r, prefixTricks) + rest
}

// inside are the headers for those behind nginx: usually none.
func (r random) inside(target string) (lines []string) {
	if r.one(6) {
		lines = append(lines, r.fake(target))
	}
	if r.one(5) {
		lines = append(lines, r.behaves())
	}
	return lines
}

// failing are the behaviors that call for a stand-by.
var failing = slices.DeleteFunc(slices.Clone(behaviorNames), func(name string) bool { return !behaviors[name].fails })

// behaves is what the registries shall do.
func (r random) behaves() string {
	eu := pick(r, failing)
	if r.one(2) {
		eu = pick(r, behaviorNames)
	}
	others := ", us " + pick(r, behaviorNames) + ", jp " + pick(r, behaviorNames)
	switch r.IntN(4) {
	case 0:
		return behaviorHeader + ": eu " + eu + others
	case 1:
		return behaviorHeader + ": " + strings.TrimPrefix(others, ", ")
	}
	return behaviorHeader + ": eu " + eu
}

// fake is what authsvc shall answer about a target.
func (r random) fake(target string) string {
	var answers []string
	for range 1 + r.IntN(4)*r.IntN(2) {
		answers = append(answers, r.fakeAnswer(target))
	}
	return "User-Agent: " + fakePrefix + strings.Join(answers, " ")
}

func (r random) fakeAnswer(target string) string {
	pairs := []string{"s=" + pick(r, []string{"ready", "ready", "ready", "serves", "", "1", "READY", "ready,", "ready&s=ready"})}
	add := func(key, value string) { pairs = append(pairs, key+"="+escape(value)) }
	if !r.one(8) {
		add("p", r.fakePath(target))
		if r.one(12) {
			add("p", r.fakePath(target))
		}
	}
	if r.one(3) {
		add("r", pick(r, fakeRegistries)(r))
	}
	if r.one(6) {
		add("t", pick(r, []string{"", "|", "a|/", "a.1|/v2/", "a b", "a_1", "fake.2", "/", "a.1|" + hostOf("us") + "|a.1|/"}))
	}
	if r.one(12) {
		add("c", pick(r, []string{"201", "204", "302", "401", "403", "404", "500", "503"}))
		add("st", pick(r, []string{"200", "200|", " 200|", "404", "401|", "|", "503"}))
		add("ec", pick(r, []string{"DENIED", "", "|", "200|", "A|200|B", "denied"}))
	}
	return strings.Join(pairs, "&")
}

// escape keeps a value short: nginx passes on 255 bytes of a User-Agent.
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("%&+;", c) >= 0 {
			fmt.Fprintf(&b, "%%%02x", c)
			continue
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// fakeRegistries are hosts, and what looks like one with more of the answer behind it.
var fakeRegistries = []func(random) string{
	func(r random) string { return pick(r, registries).name },
	func(r random) string {
		return hostOf(pick(r, registries).name) + pick(r, []string{"/", "|", "|a.1|/", "|a.1|/v2/x", "|/v2/x|a.1", ":", ":0", ":1", ":99999", ":443/", "?", "#", " ", ",", ".", "_", "@", "%2f", "\\", "\t", ":443|a.1|/", "/v2/prod-eu/app/manifests/1.0?"})
	},
	func(r random) string {
		return pick(r, []string{"", "|", "a|", "/", ".", "-", "127.0.0.1:1", "[::1]:1", "unix:/x", "registry_authsvc", "authsvc", "a@b", "a b", "x/../y", "|a.1|/", "nowhere.example", "nowhere.example|a.1|/"}) + pick(r, []string{"", "", hostOf("us")})
	},
	func(random) string { return strings.ToUpper(hostOf("eu")) },
	func(random) string { return "eu&r=us" },
}

var (
	fakeNames = []string{
		"prod-eu/app", "prod-eu/app", "prod-jp/app", "x", "a-b.c__d/e--f", "manifests/x", "x/manifests/1.0", "x/blobs", "vendor/app", "X", "x/X", "a..b", "a/", "a//b", "/a", "a/../b", "a/.", "-a", "a-", "a_", "a___b", "a.-b", "_",
		"%70rod", "a b", "a|b", "a?b", "a#b", "", ".", "..", "é", "a\tb", repeated + "x", "x/" + repeated,
	}
	fakeOperations = []string{"manifests", "blobs", "referrers", "tags", "uploads", "Manifests", "", "manifests/x", "blobs/uploads"}
	fakeReferences = []string{
		"{manifest}", "{vendor-manifest}", "{vendor-layer}", "sha512:" + strings.Repeat("0", 128), "sha256:" + strings.Repeat("0", 63), "sha256:" + strings.Repeat("A", 64), "sha1:00", "sha256:", ":", "1.0", "2.0", "latest", "list", "..", ".x", "-x", "",
		"%31.0", "1.0%20", "1.0/", "1.0;", "1.0|", "{manifest}/", "{manifest}x", "1.0@{manifest}", repeated,
	}
	fakeQueries = []string{"", "", "?", "?n=1", "?n=2", "?x", "??", "?|", "?n=1|", "?n=1?", "?n=1&n=2", "#", "#x", "?last=a b", "?artifactType=x", "|", "?n=" + repeated}
)

// fakePath is a path in place of the client's: one that nginx may take, or almost.
func (r random) fakePath(target string) string {
	names := r.world.replacer(false)
	path, query, ok := strings.Cut(target, "?")
	if ok {
		query = "?" + query
	}
	segments := strings.Split(path, "/")
	for len(segments) < 5 {
		segments = strings.Split(r.base(), "/")
	}
	operation, reference := segments[len(segments)-2], segments[len(segments)-1]
	name := pick(r, fakeNames[:4])
	change := 1 << r.IntN(6)
	if r.one(4) {
		change |= 1 << r.IntN(6)
	}
	if change&1 != 0 {
		name = pick(r, fakeNames)
	}
	if change&2 != 0 {
		operation = pick(r, fakeOperations)
	}
	if change&4 != 0 {
		reference = pick(r, fakeReferences)
	}
	if change&8 != 0 {
		query = pick(r, fakeQueries)
	}
	right := names("/v2/" + name + "/" + operation + "/" + reference + query)
	if change&16 == 0 {
		return right
	}
	switch r.IntN(6) {
	case 0:
		return "|" + right
	case 1:
		return right + "|" + target
	case 2:
		return pick(r, []string{"|" + target, target, "/" + right, " " + right, right + " ", right + "," + right, "https://" + hostOf("us") + right, "@" + right, "/v2/../" + right})
	case 3:
		return r.base()
	}
	if right == "" {
		return right
	}
	return pick(r, targetTricks)(r, right)
}
