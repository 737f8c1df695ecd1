package object

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// A Media is the media type of a manifest.
type Media string

// The media types that the store keeps. Others go the plain way.
const (
	OCIIndex       Media = "application/vnd.oci.image.index.v1+json"
	OCIManifest    Media = "application/vnd.oci.image.manifest.v1+json"
	DockerList     Media = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerManifest Media = "application/vnd.docker.distribution.manifest.v2+json"
)

// OctetStream is the media type of every blob.
const OctetStream = "application/octet-stream"

// extensions are the file name extensions that nginx turns into a Content-Type.
var extensions = map[Media]string{
	OCIIndex:       "oci-index",
	OCIManifest:    "oci-manifest",
	DockerList:     "docker-list",
	DockerManifest: "docker-manifest",
}

func mediaOfExtension(extension string) Media {
	for media, e := range extensions {
		if e == extension {
			return media
		}
	}
	return ""
}

// Accept is what to ask a registry for a manifest.
var Accept = strings.Join([]string{string(OCIIndex), string(OCIManifest), string(DockerList), string(DockerManifest)}, ", ")

// isIndex says whether a media type lists manifests, instead of layers.
func (m Media) isIndex() bool { return m == OCIIndex || m == DockerList }

// MediaOf finds the media type of a manifest in its body. contentType is the
// header that came with it; empty for none.
//
// It refuses what two readers could take for two things (CVE-2021-41190): a body
// with layers and manifests, a mediaType that contradicts either, a header that
// contradicts the body, and a field that is there twice, or once more in other
// letter case, since readers differ in which one they take.
//
// https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh
func MediaOf(body []byte, contentType string) (Media, error) {
	fields, err := readFields(body)
	if err != nil {
		return "", fmt.Errorf("reading the manifest: %w", err)
	}
	media, err := fields.media()
	if err != nil {
		return "", fmt.Errorf("the manifest is ambiguous: %w", err)
	}
	if contentType == "" {
		return media, nil
	}
	header, _, err := mime.ParseMediaType(contentType)
	if err != nil || Media(header) != media {
		return "", fmt.Errorf("expected the Content-Type %s of the manifest's body, found %.100q", media, contentType)
	}
	return media, nil
}

// A fields value has the fields of a manifest that decide what it is.
type fields map[string]json.RawMessage

// deciding are the names of these fields.
var deciding = []string{"schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", "blobs"}

// readFields reads the one JSON object of body.
func readFields(body []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("expected a JSON object")
	}
	found := fields{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if err := found.add(token.(string), value); err != nil { //nolint:errcheck,forcetypeassert // a key is a string
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one JSON object, found more after it")
	}
	return found, nil
}

func (f fields) add(key string, value json.RawMessage) error {
	for _, name := range deciding {
		if !strings.EqualFold(key, name) {
			continue
		}
		if key != name {
			return fmt.Errorf("expected the field %s, found %.50q", name, key)
		}
		if _, twice := f[name]; twice {
			return fmt.Errorf("expected the field %s once, found it twice", name)
		}
		f[name] = value
	}
	return nil
}

// media decides.
func (f fields) media() (Media, error) {
	if string(f["schemaVersion"]) != "2" {
		return "", fmt.Errorf("expected schemaVersion 2, found %.20q", f["schemaVersion"])
	}
	index, err := f.isIndex()
	if err != nil {
		return "", err
	}
	if f["mediaType"] == nil {
		if index {
			return OCIIndex, nil
		}
		return OCIManifest, nil
	}
	var media Media
	if err := json.Unmarshal(f["mediaType"], &media); err != nil || extensions[media] == "" {
		return "", fmt.Errorf("expected the mediaType of an image or an index, found %.100q", f["mediaType"])
	}
	if media.isIndex() != index {
		return "", fmt.Errorf("the mediaType %s contradicts the fields", media)
	}
	return media, nil
}

// isIndex tells an index (manifests) from an image (config and layers).
func (f fields) isIndex() (bool, error) {
	array := func(name string) bool { return bytes.HasPrefix(f[name], []byte("[")) }
	has := func(name string) bool { return f[name] != nil }
	switch {
	case has("fsLayers"), has("blobs"):
		return false, errors.New("expected an image or an index, found another kind of manifest")
	case array("manifests") && !has("config") && !has("layers"):
		return true, nil
	case array("layers") && bytes.HasPrefix(f["config"], []byte("{")) && !has("manifests"):
		return false, nil
	}
	return false, errors.New("expected either a list of manifests, or a config and a list of layers")
}
