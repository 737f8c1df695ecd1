package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/pullgate/pullgate/authsvc/registry"
)

const (
	// maxManifest bounds a manifest, in bytes (Distribution Specification 1.1,
	// "Pushing Manifests": registries should accept 4 MB).
	maxManifest = 4 << 20
	// firstBytes is how much of a blob is asked for.
	firstBytes = 1 << 10
	// maxIndexes bounds how deep an index of indexes is followed.
	maxIndexes = 4
)

// A step finds out whether a part of the pull works. It finds nothing if it has nothing
// to do.
type step struct {
	name Step
	do   func(*pull, context.Context) (found string, err error)
}

var steps = []step{
	{Connect, (*pull).connect},
	{Ping, (*pull).ping},
	{Manifest, (*pull).getManifest},
	{Blob, (*pull).getBlob},
	{Storage, (*pull).getStored},
}

func (p *pull) connect(ctx context.Context) (string, error) {
	conn, err := p.dial(ctx, "tcp", p.url.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	found := conn.RemoteAddr().String()
	if p.url.Scheme == "http" {
		return found, nil
	}
	end, err := p.handshake(ctx, conn)
	if err != nil {
		return "", err
	}
	return found + ", certificate valid until " + end.UTC().Format("2006-01-02"), nil
}

func (p *pull) ping(ctx context.Context) (string, error) {
	answer, err := p.ask(ctx, "/v2/", nil)
	if err != nil {
		return "", err
	}
	return found(answer, http.StatusOK)
}

// manifestTypes are the media types of images and indexes (OCI Image Specification 1.1;
// Docker Image Manifest V2, Schema 2).
var manifestTypes = http.Header{"Accept": {strings.Join([]string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
}, ", ")}}

// A manifest is what both an index and an image manifest may have.
type manifest struct {
	Manifests, Layers []descriptor
	Config            descriptor
}

type descriptor struct {
	Digest string
	Size   int64
}

// getManifest gets the image's manifest. Of an index, it gets the first image's.
func (p *pull) getManifest(ctx context.Context) (string, error) {
	path := registry.ImagePath(p.image)
	folder := path[:strings.LastIndex(path, "/manifests/")]
	for range maxIndexes {
		m, digest, err := p.readManifest(ctx, path)
		switch {
		case err != nil:
			return "", err
		case len(m.Manifests) > 0:
			path = folder + "/manifests/" + m.Manifests[0].Digest
			continue
		case len(m.Layers) > 0:
			p.blob, p.size = folder+"/blobs/"+m.Layers[0].Digest, m.Layers[0].Size
		default:
			p.blob, p.size = folder+"/blobs/"+m.Config.Digest, m.Config.Size
		}
		return digest, nil
	}
	return "", fmt.Errorf("expected an image, found %d indexes within each other", maxIndexes)
}

// readManifest reads a manifest, and checks it against its digest: the one that was
// asked for, or else the one that the registry names.
func (p *pull) readManifest(ctx context.Context, path string) (m manifest, digest string, err error) {
	answer, err := p.ask(ctx, path, manifestTypes)
	if err != nil {
		return m, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read
	if answer.StatusCode != http.StatusOK {
		return m, "", unexpected(answer, http.StatusOK)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxManifest+1))
	switch {
	case err != nil:
		return m, "", fmt.Errorf("the manifest broke off: %w", err)
	case len(body) > maxManifest:
		return m, "", fmt.Errorf("expected a manifest of at most %d bytes, found more", maxManifest)
	}
	sum := sha256.Sum256(body)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	expected := answer.Header.Get("Docker-Content-Digest")
	if asked := path[strings.LastIndexByte(path, '/')+1:]; strings.Contains(asked, ":") {
		expected = asked
	}
	if strings.HasPrefix(expected, "sha256:") && expected != digest {
		return m, "", fmt.Errorf("expected the manifest %s, found bytes with the digest %s", expected, digest)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, "", fmt.Errorf("expected a manifest, found no JSON: %w", err)
	}
	return m, digest, nil
}

// firstRange asks for the blob's first bytes. Not every registry takes a range that
// ends after the blob.
func (p *pull) firstRange() http.Header {
	return http.Header{"Range": {fmt.Sprintf("bytes=0-%d", max(min(firstBytes, p.size), 1)-1)}}
}

// getBlob asks for the first bytes of a blob.
func (p *pull) getBlob(ctx context.Context) (string, error) {
	answer, err := p.ask(ctx, p.blob, p.firstRange())
	if err != nil {
		return "", err
	}
	if location := answer.Header.Get("Location"); isRedirect(answer.StatusCode) && location != "" {
		_ = answer.Body.Close() // its text is of no interest
		// An error would show the URL, which is signed: it opens the blob for whoever
		// reads it.
		if p.storage, err = p.url.Parse(location); err != nil || p.storage.Host == "" || !strings.HasPrefix(p.storage.Scheme, "http") {
			return "", errors.New("expected a redirect to the storage, found one to something that is no URL")
		}
		return fmt.Sprintf("%d to %s", answer.StatusCode, p.storage.Host), nil
	}
	return p.readFirst(answer, unexpected)
}

func isRedirect(status int) bool {
	return status == http.StatusTemporaryRedirect || status == http.StatusFound || status == http.StatusSeeOther || status == http.StatusPermanentRedirect
}

// getStored gets the blob's first bytes from where the registry redirects to.
func (p *pull) getStored(ctx context.Context) (string, error) {
	if p.storage == nil {
		return "", nil
	}
	request, err := newRequest(ctx, p.storage.String(), p.firstRange())
	if err != nil {
		return "", errors.New("expected a redirect to the storage, found one to something that cannot be asked")
	}
	answer, err := p.outside.RoundTrip(request)
	if err != nil {
		return "", err
	}
	return p.readFirst(answer, func(answer *http.Response, _ int) error { return stored(answer) })
}

// readFirst reads a blob's first bytes. wrong says what is wrong about an answer with
// another status than expected.
func (p *pull) readFirst(answer *http.Response, wrong func(answer *http.Response, expected int) error) (string, error) {
	defer answer.Body.Close() //nolint:errcheck // it is read
	if answer.StatusCode != http.StatusPartialContent && answer.StatusCode != http.StatusOK {
		return "", wrong(answer, http.StatusPartialContent)
	}
	if size := wholeSize(answer); size >= 0 && p.size > 0 && size != p.size {
		return "", fmt.Errorf("expected a blob of %d bytes, found one of %d", p.size, size)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(answer.Body, firstBytes))
	switch {
	case err != nil:
		return "", fmt.Errorf("the blob broke off after %d bytes: %w", n, err)
	case n == 0:
		return "", errors.New("expected a blob, found no byte of it")
	}
	return fmt.Sprintf("%d, the first %d bytes", answer.StatusCode, n), nil
}

// wholeSize is the size of the blob that an answer is a part of (RFC 9110, section
// 14.4); -1 if it does not say.
func wholeSize(answer *http.Response) int64 {
	if answer.StatusCode == http.StatusOK {
		return answer.ContentLength
	}
	_, total, _ := strings.Cut(answer.Header.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return -1
	}
	return size
}
