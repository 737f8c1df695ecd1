package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pullgate/pullgate/authsvc/release"
)

// A catalogue is a generated registry: tags of images for several platforms, with no
// shared layers. It is a release.Source that answers at once.
type catalogue struct {
	tags, platforms, layers int
}

// Every digest encodes its position: tag, platform (0 for the index), and layer
// (0 for the manifest).
func (c catalogue) digest(tag, platform, layer int) string {
	return fmt.Sprintf("sha256:%032x%016x%016x", tag+1, platform, layer)
}

func (c catalogue) tag(i int) string { return "1." + strconv.Itoa(i) }

// digests returns the number of digests.
func (c catalogue) digests() int { return c.tags * (1 + c.platforms*(1+c.layers)) }

// Place implements release.Source.
func (c catalogue) Place(repository string) (release.Place, error) {
	return release.Place{Registry: "main", Host: "registry.example", Repository: repository}, nil
}

// Tags implements release.Source.
func (c catalogue) Tags(context.Context, string) ([]string, error) {
	var names []string
	for i := range c.tags {
		names = append(names, c.tag(i))
	}
	return names, nil
}

// Resolve implements release.Source.
func (c catalogue) Resolve(_ context.Context, _, tag string) (string, error) {
	i, err := strconv.Atoi(strings.TrimPrefix(tag, "1."))
	if err != nil || i >= c.tags {
		return "", release.ErrNotFound
	}
	return c.digest(i, 0, 0), nil
}

// Manifest implements release.Source.
func (c catalogue) Manifest(ctx context.Context, repository, reference string) (release.Manifest, error) {
	if !strings.Contains(reference, ":") {
		digest, err := c.Resolve(ctx, repository, reference)
		if err != nil {
			return release.Manifest{}, err
		}
		reference = digest
	}
	var tag, platform, layer int
	if _, err := fmt.Sscanf(reference, "sha256:%032x%016x%016x", &tag, &platform, &layer); err != nil || layer != 0 {
		return release.Manifest{}, release.ErrNotFound
	}
	return release.Manifest{Digest: reference, Body: c.body(tag-1, platform)}, nil
}

// body returns an index of all platforms, or one platform's image.
func (c catalogue) body(tag, platform int) []byte {
	kind, digests := "layers", []string{}
	if platform == 0 {
		kind = "manifests"
		for i := range c.platforms {
			digests = append(digests, c.digest(tag, i+1, 0))
		}
	} else {
		for i := range c.layers {
			digests = append(digests, c.digest(tag, platform, i+1))
		}
	}
	return manifestOf(kind, digests)
}

// manifestOf returns a manifest with descriptors of digests under a key.
func manifestOf(kind string, digests []string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,%q:[{"digest":"%s"}]}`, kind, strings.Join(digests, `"},{"digest":"`))
}

// Referrers implements release.Source.
func (c catalogue) Referrers(context.Context, string, string) ([]string, error) { return nil, nil }
