package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Push pushes an image or an index as ref, "REPOSITORY:TAG" with the registry's own
// repository, directly to where the images are, and returns its digest.
func (u *Upstream) Push(ctx context.Context, ref string, what image) (digest string, err error) {
	return u.store.push(ctx, ref, what)
}

// Replicate copies all that has a tag in a repository to another registry, as ECR's
// replication does. Like that, it deletes nothing.
func (u *Upstream) Replicate(ctx context.Context, to *Upstream, repository string) error {
	from, err := u.store.tag(repository + ":latest")
	if err != nil {
		return fmt.Errorf("replicating %s: %w", repository, err)
	}
	tags, err := remote.List(from.Repository, u.store.options(ctx)...)
	if err != nil {
		return fmt.Errorf("replicating %s: %w", repository, err)
	}
	for _, tag := range tags {
		if err := u.replicate(ctx, to, repository+":"+tag); err != nil {
			return fmt.Errorf("replicating %s:%s: %w", repository, tag, err)
		}
	}
	return nil
}

func (u *Upstream) replicate(ctx context.Context, to *Upstream, ref string) error {
	from, err := u.store.tag(ref)
	if err != nil {
		return err
	}
	got, err := remote.Get(from, u.store.options(ctx)...)
	if err != nil {
		return err
	}
	var what image
	if got.MediaType.IsIndex() {
		what, err = got.ImageIndex()
	} else {
		what, err = got.Image()
	}
	if err != nil {
		return err
	}
	_, err = to.store.push(ctx, ref, what)
	return err
}

// Digest is the digest that a tag has; empty if there is no such tag.
func (u *Upstream) Digest(ctx context.Context, ref string) (string, error) {
	tag, err := u.store.tag(ref)
	if err != nil {
		return "", err
	}
	head, err := remote.Head(tag, u.store.options(ctx)...)
	if answer := (*transport.Error)(nil); errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("asking %s for %s: %w", u.Name, ref, err)
	}
	return head.Digest.String(), nil
}

// Delete deletes a manifest by its digest, with all tags that it has.
func (u *Upstream) Delete(ctx context.Context, repository, digest string) error {
	_, _, err := u.send(ctx, http.MethodDelete, repository, digest, http.Header{}, nil, http.StatusAccepted)
	return err
}

// schema1 is the type of an old manifest, which holds the repository's name.
// https://distribution.github.io/distribution/spec/deprecated-schema-v1/
const schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

// PushSchema1 adds an old manifest of the image that has a tag, as another tag.
func (u *Upstream) PushSchema1(ctx context.Context, repository, tag, as string) (digest string, err error) {
	_, body, err := u.send(ctx, http.MethodGet, repository, tag, http.Header{"Accept": {schema1}}, nil, http.StatusOK)
	if err != nil {
		return "", err
	}
	header, _, err := u.send(ctx, http.MethodPut, repository, as, http.Header{"Content-Type": {schema1}}, body, http.StatusCreated)
	return header.Get("Docker-Content-Digest"), err
}

// send sends a request for a manifest directly to where the images are.
func (u *Upstream) send(ctx context.Context, method, repository, reference string, header http.Header, body []byte, want int) (http.Header, []byte, error) {
	target := u.store.URL.JoinPath("v2", repository, "manifests", reference).String()
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header = header
	request.SetBasicAuth(u.store.User, u.store.Password)
	response, err := u.store.Transport.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: expected %d, found %s: %s", method, target, want, response.Status, answer)
	}
	return response.Header, answer, err
}
