package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// maxManifest bounds a manifest that is read to find its digest.
const maxManifest = 4 << 20

// Resolve asks a registry what a tag is: path is /v2/NAME/manifests/TAG. The digest
// is that of the answer's body, whatever its header says.
func (c *Client) Resolve(ctx context.Context, upstream, path, authorization string) (object.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Header)
	defer cancel()
	q, err := c.registry(Request{ID: object.ID{Kind: object.Manifest}, Upstream: upstream, Path: path, Authorization: authorization}, http.MethodGet, "")
	if err != nil {
		return object.Digest{}, err
	}
	response, err := c.ask(ctx, q)
	if err != nil {
		return object.Digest{}, err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is of no use
	if response.StatusCode != http.StatusOK {
		return object.Digest{}, registryError(response)
	}
	h := object.NewSHA256()
	switch n, err := io.Copy(h, io.LimitReader(response.Body, maxManifest+1)); {
	case err != nil:
		return object.Digest{}, fmt.Errorf("reading the manifest: %w", err)
	case n > maxManifest:
		return object.Digest{}, errors.New("the manifest is too large")
	}
	return object.SHA256(h), nil
}

// Named finds the upstream with a host.
func (c *Client) Named(host string) (upstream string, ok bool) {
	for _, u := range c.o.Upstreams {
		if withPort(u.Host) == withPort(host) {
			return u.Name, true
		}
	}
	return "", false
}
