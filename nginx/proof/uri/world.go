package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The customer, and what the license covers: tags 1.* of one repository. Everything
// else in the registry is forbidden.
const (
	email    = "ann@acme.example"
	secret   = "anns-token"
	licensed = "acme/appliance"
)

// mark is in every manifest, configuration, layer, and list of what is forbidden.
// No request contains it, so it comes back only from the registry.
const mark = "forbidden-content"

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

// entitled reports whether the license covers a request of the registry.
func (w *world) entitled(method, uri string) bool {
	path, query, _ := strings.Cut(uri, "?")
	rest, ok := strings.CutPrefix(path, "/v2/"+licensed+"/")
	kind, reference, _ := strings.Cut(rest, "/")
	if !ok || method != "GET" && method != "HEAD" || !plainQuery.MatchString(query) {
		return false
	}
	switch kind {
	case "manifests":
		return licensedTag.MatchString(reference) || w.digests[reference] != "" || w.blobs[reference]
	case "blobs", "referrers": // a manifest's digest is a blob's too
		return w.blobs[reference] || strings.Contains(reference, ":") && w.digests[reference] != ""
	}
	return false
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
	sum := sha256.Sum256(body)
	if digest := "sha256:" + hex.EncodeToString(sum[:]); !w.blobs[digest] && w.manifests[digest] == nil {
		return fmt.Errorf("a redirect leads to blob %s, which is not licensed", digest)
	}
	return nil
}
