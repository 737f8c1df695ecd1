package stack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image creates a small image for linux/amd64 with two layers. The same seed gives
// the same digests.
func Image(seed string) (v1.Image, error) { return imageFor("amd64", seed, 1<<10, 4<<10) }

// BigImage creates an image for linux/amd64 with one layer of about size
// incompressible bytes, generated while they are read.
func BigImage(seed string, size int64) (v1.Image, error) { return imageFor("amd64", seed, size) }

// Index creates a multi-architecture image. Architectures have Go's names, such as
// "amd64" and "arm64".
func Index(seed string, architectures ...string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		img, err := imageFor(arch, seed+"/"+arch, 2<<10)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

func imageFor(arch, seed string, sizes ...int64) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS:           "linux",
		Architecture: arch,
		Config:       v1.Config{Labels: map[string]string{"org.opencontainers.image.title": seed}},
		RootFS:       v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("creating an image: %w", err)
	}
	for i, size := range sizes {
		layer, err := tarball.LayerFromOpener(opener(fmt.Sprintf("%s/%d", seed, i), size),
			tarball.WithCompressionLevel(gzip.NoCompression)) // random bytes would only cost time
		if err != nil {
			return nil, fmt.Errorf("creating an image's layer: %w", err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("creating an image: %w", err)
		}
	}
	return img, nil
}

// opener returns a tar file with one file of size bytes, named after the seed.
func opener(seed string, size int64) tarball.Opener {
	return func() (io.ReadCloser, error) {
		var head bytes.Buffer
		err := tar.NewWriter(&head).WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: fmt.Sprintf("data/%x", seed), Mode: 0o644, Size: size, Format: tar.FormatPAX,
		})
		if err != nil {
			return nil, err
		}
		// tar(5): a file is filled up to 512 bytes, and two empty blocks end
		// the archive.
		const block = 512
		padding := (block-size%block)%block + 2*block
		return io.NopCloser(io.MultiReader(
			&head,
			io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(seed))), size),
			bytes.NewReader(make([]byte, padding)),
		)), nil
	}
}
