package stack_test

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pullgate/pullgate/nginx/stack"
)

func TestImagesAreValidAndDeterministic(t *testing.T) {
	image := func(seed string, size int64) v1.Image {
		img, err := stack.BigImage(seed, size)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("image %s of %d bytes: %d layers, %v", seed, size, len(layers), err)
		}
		// This unpacks everything, and recomputes every digest and size.
		if err := validate.Layer(layers[0]); err != nil {
			t.Fatalf("layer of image %s of %d bytes: %v", seed, size, err)
		}
		return img
	}
	for _, size := range []int64{1, 511, 512, 513, 1 << 20} {
		one, again, other := image("a", size), image("a", size), image("b", size)
		if digest(t, one) != digest(t, again) {
			t.Errorf("size %d: the same seed made two digests", size)
		}
		if digest(t, one) == digest(t, other) {
			t.Errorf("size %d: two seeds made one digest", size)
		}
	}
	index, err := stack.Index("a", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range manifest.Manifests {
		got = append(got, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(got, want) {
		t.Errorf("platforms %v, want %v", got, want)
	}
}

func digest(t *testing.T, d interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}
