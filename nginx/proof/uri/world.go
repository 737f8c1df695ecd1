package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The customer, and the licensed repository that has no other name in its registry.
const (
	email    = "ann@acme.example"
	secret   = "anns-token"
	licensed = "acme/appliance"
)

// mark is in every manifest, configuration, layer, and list of what is forbidden.
// No request contains it, so it comes back only from the registry.
const mark = "forbidden-content"

// licenses are the repositories whose tags 1.* are licensed, and the tags that the
// registry has.
var licenses = map[string][]string{
	licensed:               {"1.0", "1.1"},
	"acme/deep":            {"1.0"}, // it ends where a prefix ends
	"acme/deep/app":        {"1.0"},
	"vendor/app":           {"1.0", "1.1"},
	"vendor/manifests/app": {"1.0"},
	"vendor/app/blobs":     {"1.0"},
	"vendor/deep/app":      {"1.0"},
	"store/app":            {"1.0"},
	"us/app":               {"1.0"},
}

// beside are licenses for what no prefix leads to: names that only registries know, and
// prefixes without their slash. They open nothing.
var beside = []string{"prod-eu/*", "prod-jp/*", "prod-eu", "vendor", "vendorx/*", "deep/*", "app"}

// forbidden is what is in a registry, and must never come back: it is not licensed, or
// licensed under a name that leads elsewhere, or withdrawn from the registry that the
// stand-by replicates.
var forbidden = map[string][]string{
	"eu": {
		"acme/appliance:2.0", "acme/appliance:2.0-" + mark, "acme/appliance/extra:1.0", "acme/other:1.0", "vault/engine:1.0", "vault/" + mark + ":1.0",
		"vendor/app:1.0", "vendor:1.0", "prod-eu:1.0", "vendorx/app:1.0", "deep/app:1.0", "app:1.0", "acme/deep/app:1.0", "prod-eu/deep/app:1.0", "us/app:1.0", "prod-jp/app:1.0",
	},
	"us": {"acme/appliance:1.0", "acme/appliance:1.7", "prod-eu/app:1.0", "prod-eu/app:1.7", "vendor/app:1.0", "us/other:1.0", "acme/deep/app:1.0"},
	"jp": {"acme/appliance:1.0", "acme/deep:1.0", "acme/other:1.0", "prod-eu/app:1.0", "vendor/deep/app:1.0", "app:1.0"},
}

// accept asks for a manifest as it was pushed. Without it, the registry behind the
// stand-in converts it.
const accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"

// A world knows what is in the registries, and so what a right answer is. It shares
// no code with authsvc.
type world struct {
	repositories map[string]*repository // the licensed ones, by the customers' name
	manifests    map[string][]byte      // the licensed ones, by digest
	blobs        map[string]bool        // likewise
	names        map[string]string      // what the corpus calls a value: {manifest}, {forbidden-layer}, …
	pushes       []push
}

// A push is an image that a registry has.
type push struct {
	registry, reference string
	image               v1.Image
}

func authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(email+":"+secret))
}

// build makes the images. They are the same in every run, and so is the corpus.
func build() (*world, error) {
	w := &world{repositories: map[string]*repository{}, manifests: map[string][]byte{}, blobs: map[string]bool{}, names: map[string]string{
		"{customer}":      "Host: docker.vendor.com\r\nAuthorization: " + authorization() + "\r\n" + accept + "\r\n",
		"{anonymous}":     "Host: docker.vendor.com\r\n",
		"{authorization}": authorization(),
	}}
	for _, r := range registries {
		w.names["{"+r.name+"}"] = hostOf(r.name)
		for _, reference := range forbidden[r.name] {
			img, err := stack.Image(r.name + "/" + reference + " " + mark)
			if err != nil {
				return nil, err
			}
			img = mutate.Annotations(img, map[string]string{"mark": mark}).(v1.Image)
			w.pushes = append(w.pushes, push{r.name, reference, img})
		}
	}
	for name, tags := range licenses {
		for _, tag := range tags {
			if err := w.license(name, tag); err != nil {
				return nil, err
			}
		}
	}
	return w, w.name()
}

// license makes an image that may be served, for its registry and its stand-by.
func (w *world) license(name, tag string) error {
	img, err := stack.Image(name + ":" + tag)
	if err != nil {
		return err
	}
	text, err := img.RawManifest()
	if err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	r := w.repositories[name]
	if r == nil {
		r = &repository{digests: map[string]string{}, blobs: map[string]bool{}}
		r.route, _ = routeOf(name)
		r.innerName = r.inner + strings.TrimPrefix(name, r.outer)
		w.repositories[name] = r
	}
	digest := digestOf(text)
	w.manifests[digest] = text
	r.digests[tag], r.digests[digest] = digest, digest
	for _, blob := range append(manifest.Layers, manifest.Config) {
		w.blobs[blob.Digest.String()], r.blobs[blob.Digest.String()] = true, true
	}
	w.pushes = append(w.pushes, push{r.first, r.innerName + ":" + tag, img})
	if r.standby != "" { // where the tag may have moved
		w.pushes = append(w.pushes, push{r.standby, r.innerName + ":replica-of-" + tag, img})
	}
	return nil
}

// name names the digests of some images.
func (w *world) name() error {
	for prefix, of := range map[string]push{
		"": {registry: "eu", reference: licensed + ":1.0"}, "vendor-": {registry: "eu", reference: "prod-eu/app:1.0"}, "deep-": {registry: "jp", reference: "prod-jp/app:1.0"}, "store-": {registry: "eu", reference: unspoken + "app:1.0"},
		"forbidden-": {registry: "eu", reference: "vault/engine:1.0"}, "unlicensed-": {registry: "eu", reference: licensed + ":2.0"},
		"shadowed-": {registry: "eu", reference: "vendor/app:1.0"}, "withdrawn-": {registry: "us", reference: licensed + ":1.7"},
	} {
		i := slices.IndexFunc(w.pushes, func(p push) bool { return p.registry == of.registry && p.reference == of.reference })
		img := w.pushes[i].image
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
func (w *world) fill(ctx context.Context, s *stack.Stack) error {
	for _, p := range w.pushes {
		if _, err := s.Upstreams[p.registry].Push(ctx, p.reference, p.image); err != nil {
			return err
		}
	}
	account := vendorapi.Account{Email: email}
	for _, name := range append(slices.Collect(maps.Keys(licenses)), beside...) {
		account.Licenses = append(account.Licenses, vendorapi.License{ID: "lic_1", Releases: []vendorapi.Release{{Repository: name, Tags: []string{"1.*"}}}})
	}
	s.Vendor.SetAccount(secret, account)
	return nil
}

// marks are the mark's forms: in JSON, and in a layer's file names.
var marks = [][]byte{[]byte(mark), []byte(hex.EncodeToString([]byte(mark)))}

// replacer returns a replacer of the corpus's names by values, or the reverse.
func (w *world) replacer(named bool) func(string) string {
	return func(s string) string {
		for _, name := range sortedByLength(w.names) {
			from, to := name, w.names[name]
			if named {
				from, to = to, from
			}
			s = strings.ReplaceAll(s, from, to)
		}
		return s
	}
}

// checkBlob: a blob that the bucket serves is licensed.
func (w *world) checkBlob(body []byte) error {
	if digest := digestOf(body); !w.blobs[digest] && w.manifests[digest] == nil {
		return fmt.Errorf("a redirect leads to blob %s, which is not licensed", digest)
	}
	return nil
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}
