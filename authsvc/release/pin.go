package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// Pin returns the manifest that a request names: for a tag, what it has, as of
// Options.TagTTL ago or later. While the registry is unreachable, what it said last holds
// for Options.Stale. An error is an outage.
func (r *Releases) Pin(ctx context.Context, request registry.Request) (registry.Pinned, error) {
	p, err := r.place(request.Repository)
	switch {
	case errors.Is(err, ErrNotFound):
		return registry.Pinned{}, nil
	case err != nil:
		return registry.Pinned{}, err
	}
	wait := r.options.Timeout
	if held, ok := r.failingPin(p, request); ok {
		if r.store.Graph(p.key).Failed(request.Reference.Tag, r.now().Add(-failRest)) && ctx.Err() == nil {
			r.noteStale(p, ofTag)
			return held, nil
		}
		wait = min(wait, patience)
	}
	pinning, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pinned, err := r.pin(pinning, p, request.Reference)
	if err == nil {
		return pinned, nil
	}
	if since, ok := r.heldSince(p); ok && outage(ctx, err) {
		if held, ok := r.heldManifest(p, request, since); ok {
			r.noteStale(p, ofTag)
			return held, nil
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) { // whatever else has failed meanwhile
		err = ctx.Err()
	}
	return registry.Pinned{}, fmt.Errorf("looking for the manifest of %s in %s: %w", request.Reference, request.Repository, err)
}

// failingPin returns what holds if the registry would have to be asked, and has failed.
func (r *Releases) failingPin(p place, request registry.Request) (registry.Pinned, bool) {
	tag := request.Reference.Tag
	if tag == "" || r.store.Graph(p.key).Checked(tag, r.now().Add(-r.options.TagTTL)) {
		return registry.Pinned{}, false
	}
	since, ok := r.failing(p)
	if !ok {
		return registry.Pinned{}, false
	}
	return r.heldManifest(p, request, since)
}

func (r *Releases) pin(ctx context.Context, p place, reference registry.Reference) (registry.Pinned, error) {
	if missing, err := r.missing(ctx, p); missing || err != nil {
		return registry.Pinned{}, err
	}
	d, ok := graph.ParseDigest(reference.Digest)
	if reference.Tag != "" {
		if err := r.checkTag(ctx, p, reference.Tag, r.now().Add(-r.options.TagTTL)); err != nil {
			return registry.Pinned{}, err
		}
		d, ok = r.store.Graph(p.key).Current(reference.Tag)
	}
	if !ok {
		return registry.Pinned{}, nil
	}
	schema1, known := r.store.Graph(p.key).Schema1(d)
	if !known {
		if err := r.learnManifest(ctx, p, d); err != nil {
			return registry.Pinned{}, err
		}
		if schema1, known = r.store.Graph(p.key).Schema1(d); !known {
			return registry.Pinned{}, nil // the registry does not have it
		}
	}
	return registry.Pinned{Digest: d.String(), Schema1: schema1}, nil
}

// Shown says whether the registry had what a request asks for when it was last asked, at
// most Options.Previous ago, without asking it; while it fails, for Options.Stale. digest
// is that of the manifest or blob: for a tag, what the registry showed last.
//
// It is stricter than Find: what a tag had before it was moved or deleted does not count,
// and neither does a referrer, which the registry may have lost without anybody noticing.
// A manifest that a file of an older version does not describe counts as schema1.
func (r *Releases) Shown(request registry.Request) (digest string, schema1, ok bool) {
	p, err := r.place(request.Repository)
	if err != nil {
		return "", false, false
	}
	since := r.now().Add(-r.options.Previous)
	if held, ok := r.failing(p); ok && held.Before(since) {
		since = held
	}
	return r.shown(p, request, since)
}

// shown is Shown for what the registry said after since.
func (r *Releases) shown(p place, request registry.Request, since time.Time) (digest string, schema1, ok bool) {
	known := r.store.Graph(p.key)
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
