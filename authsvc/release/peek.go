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
func (p *Peek) Find(ctx context.Context, repository, digest string, want Tags) (tag string, err error) {
	d, ok := graph.ParseDigest(digest)
	if !ok {
		return "", fmt.Errorf("expected a digest by sha256 or sha512, found %.200q", digest)
	}
	at, err := p.known.place(repository)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	if tag := p.known.store.Graph(at.key).Peek(d, want, p.known.now().Add(-p.known.options.Previous)); tag != "" {
		return tag, nil
	}
	return p.asked.Find(ctx, repository, digest, want)
}

// Tags is Releases.Tags.
func (p *Peek) Tags(ctx context.Context, repository string) ([]string, error) {
	at, err := p.known.place(repository)
	if err != nil {
		return nil, err
	}
	now := p.known.now()
	names, missing, ok := p.known.store.Names(at.key, now.Add(-p.known.options.TagTTL))
	if !ok {
		fresh, err := p.asked.Tags(ctx, repository)
		if err == nil || errors.Is(err, ErrNotFound) {
			return fresh, err
		}
		if names, missing, ok = p.known.store.Names(at.key, now.Add(-p.known.options.Previous)); !ok {
			return nil, err
		}
	}
	if missing {
		return nil, fmt.Errorf("repository %s: %w", repository, ErrNotFound)
	}
	return names, nil
}

// Asked notes nothing.
func (p *Peek) Asked(string, string) {}

// Pin is Releases.Pin. It always asks.
func (p *Peek) Pin(ctx context.Context, request registry.Request) (digest string, schema1 bool, err error) {
	digest, schema1, err = p.asked.Pin(ctx, request)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return digest, schema1, err
	}
	if digest, schema1, ok := p.known.remembered(request); ok {
		return digest, schema1, nil
	}
	return "", false, err
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
