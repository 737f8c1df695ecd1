package object_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// FuzzMediaOf: whatever is accepted is one JSON object, of which every reader sees
// the same kind: encoding/json, which ignores letter case and takes the last of
// several fields, is one.
func FuzzMediaOf(f *testing.F) {
	for _, body := range []string{
		`{"schemaVersion":2,"manifests":[]}`, `{"schemaVersion":2,"config":{},"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"x"}]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"a":[]},"layers":[{}]}`,
		`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`, `{"schemaVersion":2,"Config":{},"layers":[]}`, `[]`, ``,
	} {
		f.Add([]byte(body), "application/vnd.oci.image.index.v1+json")
		f.Add([]byte(body), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		media, err := object.MediaOf(body, header)
		if err != nil {
			if media != "" {
				t.Errorf("%q together with %v", media, err)
			}
			return
		}
		var seen struct {
			MediaType string            `json:"mediaType"`
			Config    json.RawMessage   `json:"config"`
			Layers    []json.RawMessage `json:"layers"`
			Manifests []json.RawMessage `json:"manifests"`
		}
		if err := json.Unmarshal(body, &seen); err != nil {
			t.Fatalf("%s: %v", media, err)
		}
		isIndex := strings.Contains(string(media), "index") || strings.Contains(string(media), "list")
		if isIndex != (seen.Manifests != nil) || isIndex == (seen.Layers != nil) || isIndex == (seen.Config != nil) {
			t.Errorf("%s: another reader sees manifests %v, layers %v, config %s", media, seen.Manifests, seen.Layers, seen.Config)
		}
		if seen.MediaType != "" && seen.MediaType != string(media) {
			t.Errorf("%s: another reader sees %s", media, seen.MediaType)
		}
		if header != "" && !strings.EqualFold(strings.TrimSpace(strings.Split(header, ";")[0]), string(media)) {
			t.Errorf("%s: the header is %q", media, header)
		}
		if _, err := object.Children(body, media); err != nil {
			t.Logf("children: %v", err) // a digest that is no text
		}
	})
}

// FuzzParsePath: a path is that of one object, or of none.
func FuzzParsePath(f *testing.F) {
	digest := strings.Repeat("0123456789abcdef", 4)
	for _, path := range []string{
		"blobs/sha256/" + digest[:2] + "/" + digest[2:], "manifests/sha256/" + digest[:2] + "/" + digest[2:] + ".oci-index",
		"manifests/sha256/" + digest[:2] + "/" + digest[2:], "blobs/sha256/../" + digest, "blobs//" + digest, "x",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		id, media, ok := object.ParsePath(path)
		if ok && object.Path(id, media) != path {
			t.Errorf("%q is that of %s %s, which is %q", path, id, media, object.Path(id, media))
		}
		if ok && (media != "") != (id.Kind == object.Manifest) {
			t.Errorf("%q is a %s of media type %q", path, id.Kind, media)
		}
	})
}

// FuzzParseDigest: a digest is as it was written, so that no two texts are one.
func FuzzParseDigest(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("0123456789abcdef", 4))
	f.Add("sha512:" + strings.Repeat("0123456789abcdef", 8))
	f.Add("sha256:../../etc/passwd")
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := object.ParseDigest(text)
		if ok && (d.String() != text || strings.ContainsAny(text, "/. \x00ABCDEF")) {
			t.Errorf("%q is %q", text, d)
		}
	})
}
