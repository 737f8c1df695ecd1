package release

import (
	"encoding/json"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// parseManifest reads the content of a manifest: an index or a manifest list,
// an image or an artifact (also one without layers), a Docker image of schema
// 1. The fields decide, not the media type, which registries are known to get
// wrong: whatever a client could read out of the bytes counts.
//
// Bytes that are none of these, and digests that are none, have no content.
// That is not an error: the manifest is what it is, for good.
//
// Foreign layers count like others, since the registry may have a copy.
//
// https://github.com/opencontainers/image-spec/blob/main/manifest.md
// https://github.com/opencontainers/image-spec/blob/main/image-index.md
// https://distribution.github.io/distribution/spec/deprecated-schema-v1/
func parseManifest(body []byte) graph.Content {
	type descriptor struct {
		Digest  string `json:"digest"`
		BlobSum string `json:"blobSum"` // of schema 1
	}
	var m struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
		Blobs         []descriptor `json:"blobs"`    // of the artifact manifest that OCI 1.1 had for a time
		FSLayers      []descriptor `json:"fsLayers"` // of schema 1
		Subject       descriptor   `json:"subject"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return graph.Content{}
	}
	var c graph.Content
	for _, d := range m.Manifests {
		c.Manifests = appendDigest(c.Manifests, d.Digest)
	}
	c.Schema1 = m.SchemaVersion == 1 || len(m.FSLayers) > 0
	c.Blobs = appendDigest(c.Blobs, m.Config.Digest)
	for _, list := range [...][]descriptor{m.Layers, m.Blobs} {
		for _, d := range list {
			c.Blobs = appendDigest(c.Blobs, d.Digest)
		}
	}
	for _, d := range m.FSLayers {
		c.Blobs = appendDigest(c.Blobs, d.BlobSum)
	}
	if d, ok := graph.ParseDigest(m.Subject.Digest); ok {
		c.Subject = &d
	}
	return c
}

func appendDigest(to []graph.Digest, s string) []graph.Digest {
	if d, ok := graph.ParseDigest(s); ok {
		return append(to, d)
	}
	return to
}
