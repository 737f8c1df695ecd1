package release

import (
	"context"
	"errors"
	"fmt"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// A Peek answers as Releases do, and leaves no trace in them: what they do not know,
// it asks the registry for, and forgets. It is for one explanation.
type Peek struct {
	known  *Releases
	source Source
	asked  *Releases // what was learned for this explanation alone
}

// peekDigests bounds what is learned for one explanation.
const peekDigests = 100_000

// Peek returns a Peek that asks source. Close ends it.
func (r *Releases) Peek(source Source) *Peek {
	o := r.options
	o.Source, o.Metrics, o.Logger, o.MaxDigests = source, nil, nil, min(o.MaxDigests, peekDigests)
	return &Peek{known: r, source: source, asked: New(o)}
}

// Close ends what is still being asked.
func (p *Peek) Close() { p.asked.Close() }

// Find is Releases.Find.
func (p *Peek) Find(ctx context.Context, repository, digest string, want Tags) (Found, error) {
	d, ok := graph.ParseDigest(digest)
	if !ok {
		return Found{}, fmt.Errorf("expected a digest by sha256 or sha512, found %.200q", digest)
	}
	at, err := p.known.place(repository)
	switch {
	case errors.Is(err, ErrNotFound):
		return Found{}, nil
	case err != nil:
		return Found{}, err
	}
	known, since := p.known.store.Graph(at.key), p.known.now().Add(-p.known.options.Previous)
	if tag := known.Peek(d, want, since); tag != "" {
		return Found{Tag: tag}, nil
	}
	found, err := p.asked.Find(ctx, repository, digest, want)
	if err != nil && outage(ctx, err) {
		if held, ok := p.known.heldSince(at); ok {
			if tag := known.PeekHeld(d, want, since, held); tag != "" {
				return Found{tag, true}, nil
			}
		}
	}
	return found, err
}

// Tags is Releases.Tags.
func (p *Peek) Tags(ctx context.Context, repository string) (names []string, stale bool, err error) {
	at, err := p.known.place(repository)
	if err != nil {
		return nil, false, err
	}
	names, missing, ok := p.known.store.Names(at.key, p.known.now().Add(-p.known.options.TagTTL))
	switch {
	case ok && missing:
		return nil, false, fmt.Errorf("repository %s: %w", repository, ErrNotFound)
	case ok:
		return names, false, nil
	}
	names, _, err = p.asked.Tags(ctx, repository)
	if err != nil && !errors.Is(err, ErrNotFound) && outage(ctx, err) {
		if held, ok := p.known.heldTags(at); ok {
			return held, true, nil
		}
	}
	return names, false, err
}

// Asked notes nothing.
func (p *Peek) Asked(string, string) {}

// Pin is Releases.Pin. It always asks.
func (p *Peek) Pin(ctx context.Context, request registry.Request) (registry.Pinned, error) {
	pinned, err := p.asked.Pin(ctx, request)
	if err == nil || !outage(ctx, err) {
		return pinned, err
	}
	at, placeErr := p.known.place(request.Repository)
	if placeErr != nil {
		return registry.Pinned{}, placeErr
	}
	if since, ok := p.known.heldSince(at); ok {
		if held, ok := p.known.heldManifest(at, request, since); ok {
			return held, nil
		}
	}
	return registry.Pinned{}, err
}

// Shown is Releases.Shown.
func (p *Peek) Shown(request registry.Request) (digest string, schema1, ok bool) {
	return p.known.Shown(request)
}

// Resolve asks the registry for the digest that a tag has now; ErrNotFound if there
// is no such tag.
func (p *Peek) Resolve(ctx context.Context, repository, tag string) (digest string, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.known.options.Timeout)
	defer cancel()
	return p.source.Resolve(ctx, repository, tag)
}
