package object

import "encoding/json"

// Children are what a manifest names: the manifests of an index, or config and
// layers of an image. A layer that lies elsewhere (urls) is left out: registries
// need not have it.
func Children(body []byte, m Media) ([]ID, error) {
	type descriptor struct {
		Digest string   `json:"digest"`
		URLs   []string `json:"urls"`
	}
	var content struct {
		Manifests []descriptor `json:"manifests"`
		Config    descriptor   `json:"config"`
		Layers    []descriptor `json:"layers"`
	}
	if err := json.Unmarshal(body, &content); err != nil {
		return nil, err
	}
	kind, list := Blob, append([]descriptor{content.Config}, content.Layers...)
	if m.isIndex() {
		kind, list = Manifest, content.Manifests
	}
	var children []ID
	for _, c := range list {
		if d, ok := ParseDigest(c.Digest); ok && len(c.URLs) == 0 {
			children = append(children, ID{kind, d})
		}
	}
	return children, nil
}
