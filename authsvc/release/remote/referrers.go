package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/pullgate/pullgate/authsvc/release"
)

// Referrers implements release.Source. go-containerregistry's own call reads
// one page alone, and takes an answer of an unexpected type for none.
func (c *Client) Referrers(ctx context.Context, repository, digest string) (digests []string, err error) {
	err = c.do(ctx, repository, func(ctx context.Context, r name.Repository, _ ...remote.Option) error {
		path := "/v2/" + repository + "/referrers/" + digest
		for range maxPages {
			page, next, err := c.referrersPage(ctx, "https://"+r.RegistryStr()+path)
			if err != nil {
				return unsupported(err)
			}
			digests = append(digests, page...)
			if next == "" {
				return nil
			}
			if len(digests) > maxTags {
				break
			}
			path = next
		}
		return fmt.Errorf("expected at most %d referrers on %d pages, found more", maxTags, maxPages)
	})
	return digests, err
}

// unsupported recognizes the answers of registries without this call.
func unsupported(err error) error {
	var answered *transport.Error
	if !errors.As(err, &answered) {
		return err
	}
	switch answered.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return release.ErrUnsupported
	}
	return err
}

// referrersPage reads one page, and where the next is: a path with a query.
func (c *Client) referrersPage(ctx context.Context, target string) (digests []string, next string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", string(types.OCIImageIndex))
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	if err := transport.CheckError(response, http.StatusOK); err != nil {
		return nil, "", err
	}
	var page struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return nil, "", fmt.Errorf("expected an index of referrers: %w", err)
	}
	for _, m := range page.Manifests {
		digests = append(digests, m.Digest)
	}
	return digests, linkPath(response.Header.Get("Link")), nil
}
