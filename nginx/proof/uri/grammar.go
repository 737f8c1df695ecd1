package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A grammar generates exchanges. Number k of a seed is always the same exchange.
type grammar struct {
	seed  uint64
	world *world
	// bases are targets without a trick: what is licensed first, and as often
	// as everything else together.
	licensed, others []string
}

func newGrammar(seed uint64, w *world) *grammar {
	names := w.replacer(false)
	g := &grammar{seed: seed, world: w}
	for name, repository := range w.repositories {
		for reference, digest := range repository.digests {
			g.licensed = append(g.licensed, "/v2/"+name+"/manifests/"+reference)
			if reference == digest {
				g.licensed = append(g.licensed, "/v2/"+name+"/referrers/"+digest)
			}
		}
		for blob := range repository.blobs {
			g.licensed = append(g.licensed, "/v2/"+name+"/blobs/"+blob)
		}
		g.licensed = append(g.licensed, "/v2/"+name+"/tags/list", "/v2/"+name+"/manifests/1.9")
	}
	slices.Sort(g.licensed)
	for _, target := range []string{
		"/v2/", "/v2/_catalog", "/v2", "/", "/v2/vault/engine/manifests/1.0", "/v2/vault/engine/manifests/{forbidden-manifest}",
		"/v2/vault/engine/blobs/{forbidden-layer}", "/v2/vault/engine/blobs/{forbidden-config}", "/v2/vault/engine/referrers/{forbidden-manifest}", "/v2/vault/engine/tags/list",
		"/v2/acme/other/manifests/1.0", "/v2/acme/other/tags/list", "/v2/acme/appliance/extra/manifests/1.0", "/v2/acme/appliance/extra/tags/list",
		"/v2/acme/appliance/manifests/2.0", "/v2/acme/appliance/manifests/{unlicensed-manifest}", "/v2/acme/appliance/blobs/{unlicensed-layer}",
		"/v2/acme/appliance/blobs/{forbidden-layer}", "/v2/acme/appliance/manifests/{forbidden-manifest}", "/v2/acme/other/blobs/{layer}",
		"/_registry/authorize", "/_registry/authorize-again", "/_registry/report", "/_registry/malformed", "/@registry_again", "/_registry/authorize-standby", "/@registry_standby",
		// Names that only registries know, names that end where a prefix ends, and what is in a registry that the name does not lead to.
		"/v2/prod-eu/app/manifests/1.0", "/v2/prod-eu/app/manifests/{vendor-manifest}", "/v2/prod-eu/app/blobs/{vendor-layer}", "/v2/prod-eu/app/referrers/{vendor-manifest}", "/v2/prod-eu/app/tags/list", "/v2/prod-eu/manifests/1.0",
		"/v2/prod-jp/app/manifests/{deep-manifest}", "/v2/prod-jp/app/blobs/{deep-layer}", "/v2/vendor/manifests/1.0", "/v2/vendor/tags/list", "/v2/vendor/deep/manifests/1.0", "/v2/vendorx/app/manifests/1.0", "/v2/vendor/prod-eu/app/manifests/1.0",
		"/v2/deep/app/manifests/1.0", "/v2/app/manifests/1.0", "/v2/us/other/manifests/1.0", "/v2/us/acme/appliance/manifests/1.0",
		"/v2/vendor/app/manifests/{shadowed-manifest}", "/v2/vendor/app/blobs/{shadowed-layer}", "/v2/vendor/app/manifests/{manifest}", "/v2/vendor/app/blobs/{layer}", "/v2/acme/appliance/manifests/{vendor-manifest}", "/v2/acme/deep/app/blobs/{layer}",
		"/v2/vendor/deep/app/manifests/{vendor-manifest}", "/v2/acme/appliance/manifests/1.7", "/v2/acme/appliance/manifests/{withdrawn-manifest}", "/v2/acme/appliance/blobs/{withdrawn-layer}", "/v2/vendor/app/manifests/1.7",
	} {
		g.others = append(g.others, names(target))
	}
	return g
}

// exchange generates number k.
func (g *grammar) exchange(k uint64) exchange {
	r := random{rand.New(rand.NewPCG(g.seed, k)), g}
	x := exchange{about: fmt.Sprintf("seed %d, exchange %d", g.seed, k), http2: r.one(4)}
	for n := 1 + r.IntN(4); n > 0; n-- {
		if x.http2 {
			x.parts = append(x.parts, r.stream()...)
			x.parts = append(x.parts, part{})
		} else {
			x.parts = append(x.parts, r.request()...)
		}
	}
	if !x.http2 && r.one(12) {
		x.parts = r.damage(x.parts)
	}
	return x
}

// random makes the choices of one exchange.
type random struct {
	*rand.Rand
	*grammar
}

// one is true once in n times.
func (r random) one(n int) bool { return r.IntN(n) == 0 }

func pick[T any](r random, from []T) T { return from[r.IntN(len(from))] }

// base is a target without a trick.
func (r random) base() string {
	if r.one(2) {
		return pick(r, r.licensed)
	}
	return pick(r, r.others)
}

// target is a target with no, one, or several tricks.
func (r random) target() string {
	target := r.base()
	for target != "" && r.one(2) {
		target = pick(r, targetTricks)(r, target)
	}
	return target[:min(len(target), 20<<10)]
}

// targetTricks change a request target into one that proxies and servers read in
// different ways (ingress-nginx #8644; Malcolm #1042, #1055, #1106).
var targetTricks = []func(random, string) string{
	// An encoded byte: once, twice, with a lower or upper case digit.
	func(r random, t string) string {
		i := r.IntN(len(t))
		return t[:i] + fmt.Sprintf(pick(r, []string{"%%%02x", "%%%02X", "%%25%02x", "%%u00%02x", `\x%02x`}), t[i]) + t[i+1:]
	},
	func(r random, t string) string {
		return strings.ReplaceAll(t, "/", pick(r, []string{"%2f", "%2F", "%252f", `\`, "%5c", "\xc0\xaf", "%c0%af", "∕", "//", "/./"}))
	},
	// Something between two segments, or in one.
	func(r random, t string) string {
		i := r.slash(t)
		return t[:i] + pick(r, []string{"/.", "/..", "/x/..", "/", "//", "/%2e", "/%2e%2e", "/.%2e", "/..;", "/..%2f", "/..%5c", `/..\`, "/.;x", "/;", "/ ", "/%20", "/%00", "/\x00", "/\t", "/...", "/~", "/*", "/%c0%ae%c0%ae"}) + t[i:]
	},
	func(r random, t string) string { i := r.IntN(len(t) + 1); return t[:i] + pick(r, pieces) + t[i:] },
	func(r random, t string) string { return t + pick(r, pieces) },
	random.rename,
	func(r random, t string) string { return t + pick(r, suffixes) },
	// Another form of target. https://www.rfc-editor.org/rfc/rfc9112#section-3.2
	func(r random, t string) string { return pick(r, authorities) + t },
	func(r random, _ string) string {
		return pick(r, []string{"*", "docker.vendor.com:443", "http://", "?", "#", "%2fv2%2f", "v2/", "http:/v2/", "////", ".", ";"})
	},
	// Two targets in one: what a piece of code reads may be the other.
	func(r random, t string) string {
		return t + pick(r, []string{"?", "#", ";", "%3f", "%23", "&", "%00", "\x00", " ", "%20", "\t", "%0d%0a", ","}) + r.base()
	},
	func(r random, t string) string {
		return t + strings.Repeat(pick(r, []string{"/..", "/%2e%2e", `\..`, "/..;"}), strings.Count(t, "/")) + r.base()
	},
	func(r random, t string) string {
		return "/v2/" + licensed + strings.Repeat("/..", 1+r.IntN(4)) + strings.TrimPrefix(t, "/v2")
	},
	// A look-alike: another case, or another character that is taken for the same.
	func(r random, t string) string {
		i := r.IntN(len(t))
		return t[:i] + swapCase(t[i:i+1]) + t[i+1:]
	},
	func(r random, t string) string {
		p := pick(r, []string{"aа", "eе", "oо", "pр", "cс", ".․", "/⁄", "vｖ", "sſ", "iı", "1１", "-‐", "kK", "a\xe0\x80\xe1", "/\xf0\x80\x80\xaf"})
		return strings.Replace(t, p[:1], p[1:], 1+r.IntN(2))
	},
	// Too long: for the registry, a buffer, or all buffers.
	func(r random, t string) string {
		i := r.slash(t)
		return t[:i] + strings.Repeat(pick(r, []string{"/a", "a", "/.", "/", "%2e"}), pick(r, []int{60, 130, 260, 520, 2100, 4200, 9000})/(1+r.IntN(2))) + t[i:]
	},
	func(r random, t string) string { return strings.TrimPrefix(t, "/") },
	func(r random, t string) string {
		return strings.Replace(t, "/v2/", pick(r, []string{"/V2/", "/v1/", "/v2/v2/", "/v02/", "//v2/", "/./v2/", "/x/../v2/", "/_registry/..//v2/", "/v2/%2e/", "/%762/"}), 1)
	},
}

var (
	pieces = []string{
		"/", "//", "/./", "/../", "/..;/", "%2e", "%2e%2e", "%2f", "%2F", "%5c", `\`, "%00", "%0d%0a", "%", "%zz", "%25", "%252e", ";", ";a=b", "?", "&", "#", "a", "A", "acme", "ACME",
		"appliance", "other", "v2", "manifests", "blobs", "tags", "list", "referrers", "_catalog", "1.0", "latest", ":", "@", "é", "\x80", "\xff", "\x7f", "\x01", "\x00", "\t", " ", "\r", "\n", "\r\n",
		"+", "~", "*", "|", "'", `"`, "..", ".", "-", "_", "__", "<", ">", "$", "${uri}", "$request_uri", "{", "\u200b", "\ufeff", "\u202e", "/_registry/authorize",
	}
	suffixes = []string{
		"?n=1", "?n=1&last=1.0", "?last=%2f%2e", "?", "?x", "?n=1&n=2", "??", "?#", "#", "#x", "/", "//", "/.", "/..", "%20", "%00", ";", ";.html", ".html", "?ns=docker.vendor.com", "?artifactType=a%2Fb",
		"?last=%0d%0a", "?last=%23", "?n=1#", "&n=1", "?last=/v2/vault/engine/manifests/1.0", "?n=99999999999999999999", "?n=-1", "?%6e=1", "?n%00=1", "|", "?n=1|", "?last=|", "|/v2/prod-eu/app/manifests/1.0", "?|/v2/prod-eu/app/manifests/1.0", "?n=1?n=1", "?n=1?", "/manifests/1.0", "/blobs/1.0",
	}
	authorities = []string{
		"http://docker.vendor.com", "https://docker.vendor.com", "HTTP://docker.vendor.com:80", "http://evil.example", "http://ann@docker.vendor.com", "http://[::1]", "ftp://docker.vendor.com", "x://y",
		"//docker.vendor.com", "http:///", "http://docker.vendor.com/..", "http://docker.vendor.com?", "http://docker.vendor.com#", "http://docker.vendor.com\\", "http://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
	}
)

// slash is the index of a slash, or else 0.
func (r random) slash(t string) int {
	var at []int
	for i := range len(t) {
		if t[i] == '/' {
			at = append(at, i)
		}
	}
	if at == nil {
		return 0
	}
	return pick(r, at)
}

func swapCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}

// damage changes bytes anywhere.
func (r random) damage(parts []part) []part {
	for range 1 + r.IntN(3) {
		p := &parts[r.IntN(len(parts))]
		if p.value == "" {
			continue
		}
		i := r.IntN(len(p.value))
		from, to := p.value[:i], p.value[i+1:]
		switch r.IntN(4) {
		case 0: // a byte less
			p.value = from + to
		case 1: // another byte
			p.value = from + string([]byte{byte(r.IntN(256))}) + to
		case 2: // a byte more
			p.value = from + pick(r, []string{"\x00", "\r", "\n", "\t", " ", ":", "/", "%", "\x80", "\v"}) + p.value[i:]
		case 3: // a part twice
			p.value += p.value[i:]
		}
	}
	return parts
}
