package release

import (
	"encoding/json"
)

// content is what a manifest reaches by itself. It follows from the manifest's
// bytes, so it never changes.
type content struct {
	// manifests are reached as manifests: what an index lists.
	manifests []digest
	// blobs are reached as bytes alone: configuration and layers.
	blobs []digest
	// subject is what the manifest refers to: not what it reaches, but what
	// it is reached by.
	subject digest
	refers  bool
}

// parseManifest reads what a manifest reaches: an index or a manifest list, an
// image or an artifact (also one without layers), a Docker image of schema 1.
// The fields decide, not the media type, which registries are known to get
// wrong: what a client could read out of the bytes is what they reach.
//
// Bytes that are none of these, and digests that are none, reach nothing. That
// is not an error: the manifest is what it is, for good.
//
// Foreign layers are reached like others. Where they are fetched from is
// between the client and that place; the registry may have a copy.
//
// https://github.com/opencontainers/image-spec/blob/main/manifest.md
// https://github.com/opencontainers/image-spec/blob/main/image-index.md
// https://distribution.github.io/distribution/spec/deprecated-schema-v1/
func parseManifest(body []byte) content {
	var m struct {
		Manifests []descriptor   `json:"manifests"`
		Config    descriptor     `json:"config"`
		Layers    []descriptor   `json:"layers"`
		Blobs     []descriptor   `json:"blobs"` // of the artifact manifest that OCI 1.1 had for a time
		FSLayers  []schema1Layer `json:"fsLayers"`
		Subject   descriptor     `json:"subject"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return content{}
	}
	var c content
	for _, d := range m.Manifests {
		c.manifests = appendDigest(c.manifests, d.Digest)
	}
	c.blobs = appendDigest(c.blobs, m.Config.Digest)
	for _, d := range m.Layers {
		c.blobs = appendDigest(c.blobs, d.Digest)
	}
	for _, d := range m.Blobs {
		c.blobs = appendDigest(c.blobs, d.Digest)
	}
	for _, d := range m.FSLayers {
		c.blobs = appendDigest(c.blobs, d.BlobSum)
	}
	c.subject, c.refers = parseDigest(m.Subject.Digest)
	return c
}

type descriptor struct {
	Digest string `json:"digest"`
}

type schema1Layer struct {
	BlobSum string `json:"blobSum"`
}

func appendDigest(to []digest, s string) []digest {
	if d, ok := parseDigest(s); ok {
		return append(to, d)
	}
	return to
}
