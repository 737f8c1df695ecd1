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
		u := stack.UpstreamOptions{Name: r.name, ECR: ecr.Options{Account: r.account, Region: r.region, Record: -1, Remember: true}}
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
	licensedTags = []string{"1.0", "1.1"}
	forbidden    = []string{"acme/appliance:2.0", "acme/appliance:2.0-" + mark, "acme/appliance/extra:1.0", "acme/other:1.0", "vault/engine:1.0", "vault/" + mark + ":1.0"}
)

// accept asks for a manifest as it was pushed. Without it, the registry behind the
// stand-in converts it.
const accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"

// A world knows what is in the registry, and so what a right answer is. It shares
// no code with authsvc.
type world struct {
	manifests map[string][]byte // by digest; the licensed ones
	digests   map[string]string // of licensed manifests, by tag and by digest
	blobs     map[string]bool   // the licensed ones, by digest
	names     map[string]string // what the corpus calls a value: {manifest}, {forbidden-layer}, …
}

func authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(email+":"+secret))
}

// build makes the images. They are the same in every run, and so is the corpus.
func build() (*world, map[string]v1.Image, error) {
	w := &world{manifests: map[string][]byte{}, digests: map[string]string{}, blobs: map[string]bool{}, names: map[string]string{
		"{customer}":      "Host: docker.vendor.com\r\nAuthorization: " + authorization() + "\r\n" + accept + "\r\n",
		"{anonymous}":     "Host: docker.vendor.com\r\n",
		"{authorization}": authorization(),
	}}
	images := map[string]v1.Image{}
	for _, tag := range licensedTags {
		reference := licensed + ":" + tag
		img, err := stack.Image(reference)
		if err != nil {
			return nil, nil, err
		}
		images[reference] = img
		if err := w.license(tag, img); err != nil {
			return nil, nil, err
		}
	}
	for _, reference := range forbidden {
		img, err := stack.Image(reference + " " + mark)
		if err != nil {
			return nil, nil, err
		}
		images[reference] = mutate.Annotations(img, map[string]string{"mark": mark}).(v1.Image)
	}
	return w, images, w.name(images)
}

// license notes what of an image may be served.
func (w *world) license(tag string, img v1.Image) error {
	text, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	w.manifests[digest.String()] = text
	w.digests[tag], w.digests[digest.String()] = digest.String(), digest.String()
	for _, blob := range append(manifest.Layers, manifest.Config) {
		w.blobs[blob.Digest.String()] = true
	}
	return nil
}

// name names the digests of one licensed and one forbidden image.
func (w *world) name(images map[string]v1.Image) error {
	for prefix, reference := range map[string]string{"": licensed + ":1.0", "forbidden-": "vault/engine:1.0", "unlicensed-": licensed + ":2.0"} {
		img := images[reference]
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		manifest, err := img.Manifest()
		if err != nil {
			return err
		}
		w.names["{"+prefix+"manifest}"] = digest.String()
		w.names["{"+prefix+"config}"] = manifest.Config.Digest.String()
		w.names["{"+prefix+"layer}"] = manifest.Layers[0].Digest.String()
	}
	return nil
}

// fill puts the world into a stack.
func fill(ctx context.Context, s *stack.Stack, images map[string]v1.Image) error {
	for reference, img := range images {
		if _, err := s.Push(ctx, reference, img); err != nil {
			return err
		}
	}
	s.Vendor.SetAccount(secret, vendorapi.Account{Email: email, Licenses: []vendorapi.License{
		{ID: "lic_1", Releases: []vendorapi.Release{{Repository: licensed, Tags: []string{"1.*"}}}},
	}})
	return nil
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
func (a asked) byDigest() string { return "/v2/" + a.innerName + "/" + a.kind + "/" + a.digest() + a.query }

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
