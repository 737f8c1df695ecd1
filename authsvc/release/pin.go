package release

import (
	"context"
	"errors"
	"fmt"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// Pin returns the digest of the manifest that a request names: for a tag, what it has,
// as of Options.TagTTL ago or later; "" if there is none. While the registry is
// unreachable, it is what Shown returns. schema1 says whether the manifest is one of
// Docker's schema 1, which is never guessed. An error is an outage.
func (r *Releases) Pin(ctx context.Context, request registry.Request) (digest string, schema1 bool, err error) {
	p, err := r.place(request.Repository)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	digest, schema1, err = r.pin(ctx, p, request.Reference)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return digest, schema1, err
	}
	if digest, schema1, ok := r.remembered(request); ok {
		return digest, schema1, nil
	}
	return "", false, fmt.Errorf("looking for the manifest of %s in %s: %w", request.Reference, request.Repository, err)
}

func (r *Releases) pin(ctx context.Context, p place, reference registry.Reference) (digest string, schema1 bool, err error) {
	if missing, err := r.missing(ctx, p); missing || err != nil {
		return "", false, err
	}
	d, ok := graph.ParseDigest(reference.Digest)
	if reference.Tag != "" {
		if err := r.checkTag(ctx, p, reference.Tag, r.now().Add(-r.options.TagTTL)); err != nil {
			return "", false, err
		}
		d, ok = r.store.Graph(p.key).Current(reference.Tag)
	}
	if !ok {
		return "", false, nil
	}
	schema1, known := r.store.Graph(p.key).Schema1(d)
	if !known {
		if err := r.learnManifest(ctx, p, d); err != nil {
			return "", false, err
		}
		if schema1, known = r.store.Graph(p.key).Schema1(d); !known {
			return "", false, nil // the registry does not have it
		}
	}
	return d.String(), schema1, nil
}

// remembered is Shown for a manifest of which is known what kind it is.
func (r *Releases) remembered(request registry.Request) (digest string, schema1, ok bool) {
	p, err := r.place(request.Repository)
	if err != nil {
		return "", false, false
	}
	digest, schema1, ok = r.Shown(request)
	d, _ := graph.ParseDigest(digest)
	_, read := r.store.Graph(p.key).Schema1(d)
	return digest, schema1, ok && read
}

// Shown says whether the registry had what a request asks for when it was last asked, at
// most Options.Previous ago, without asking it. digest is that of the manifest or blob:
// for a tag, what the registry showed last.
//
// It is stricter than Find: what a tag had before it was moved or deleted does not count,
// and neither does a referrer, which the registry may have lost without anybody noticing.
// A manifest that a file of an older version does not describe counts as schema1.
func (r *Releases) Shown(request registry.Request) (digest string, schema1, ok bool) {
	p, err := r.place(request.Repository)
	if err != nil {
		return "", false, false
	}
	known, since := r.store.Graph(p.key), r.now().Add(-r.options.Previous)
	d, ok := graph.ParseDigest(request.Reference.Digest)
	switch {
	case request.Reference.Tag != "":
		d, ok = known.Last(request.Reference.Tag, since)
	case ok:
		ok = known.Holds(d, since)
	}
	if !ok || request.Kind == registry.Blob {
		return d.String(), false, ok
	}
	schema1, read := known.Schema1(d)
	return d.String(), schema1 || !read, known.Fetched(d)
}
