package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pieceTimeout bounds one question that callers share, and that therefore does
// not end with any caller's context. The Source's own timeout is shorter.
const pieceTimeout = time.Minute

// shared runs ask once for all who ask for the same key at a time. A caller
// whose context ends leaves alone.
func (g *Graph) shared(ctx context.Context, key string, ask func(context.Context) error) error {
	result := g.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(g.life, pieceTimeout)
		defer cancel()
		return nil, ask(ctx)
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-result:
		return r.Err
	}
}

// list returns a repository's tags as of since or later.
func (g *Graph) list(ctx context.Context, p place, since time.Time) (names []string, missing bool, err error) {
	for range 3 { // a question under way may have been put before since
		if names, missing, ok := g.store.names(p.key, since); ok {
			return names, missing, nil
		}
		err = g.shared(ctx, "tags\x00"+p.key, func(ctx context.Context) error {
			asked := g.now()
			names, err := g.source.Tags(ctx, p.repository)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			slices.Sort(names)
			return g.store.list(p.key, slices.Compact(names), err != nil, asked)
		})
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, errors.New("the list of tags was forgotten before it could be used")
}

// learnTag learns what a tag has as of since or later, and all that it lists.
func (g *Graph) learnTag(ctx context.Context, p place, tag string, since time.Time) error {
	for range 2 { // a question under way may have been put before since
		if g.store.checked(p.key, tag, since) {
			break
		}
		err := g.shared(ctx, "tag\x00"+p.key+"\x00"+tag, func(ctx context.Context) error { return g.resolve(ctx, p, tag) })
		if err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
	}
	root, ok := g.store.current(p.key, tag)
	if !ok {
		return nil // the registry has no such tag
	}
	if err := g.learnBelow(ctx, p, root, since); err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	return nil
}

// resolve asks for the digest that a tag has; with the manifest at once if the
// tag is new.
func (g *Graph) resolve(ctx context.Context, p place, tag string) error {
	asked := g.now()
	if _, ok := g.store.current(p.key, tag); !ok {
		m, err := g.source.Manifest(ctx, p.repository, tag)
		if err == nil {
			return g.bindManifest(p, tag, m, asked)
		}
		if !errors.Is(err, ErrTooBig) {
			return g.unbindIf(err, p, tag, asked)
		}
	}
	text, err := g.source.Resolve(ctx, p.repository, tag)
	if err != nil {
		return g.unbindIf(err, p, tag, asked)
	}
	d, ok := parseDigest(text)
	if !ok {
		return fmt.Errorf("expected the registry to give a digest, found %.200q", text)
	}
	return g.store.bind(p.key, tag, d, asked)
}

func (g *Graph) bindManifest(p place, tag string, m Manifest, asked time.Time) error {
	d, ok := parseDigest(m.Digest)
	if !ok {
		return fmt.Errorf("expected the registry to give a digest, found %.200q", m.Digest)
	}
	if err := g.store.bind(p.key, tag, d, asked); err != nil {
		return err
	}
	return g.store.learn(p.key, d, parseManifest(m.Body))
}

// unbindIf notes that the registry has no such tag, if that is the error.
func (g *Graph) unbindIf(err error, p place, tag string, asked time.Time) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	g.store.unbind(p.key, tag, asked)
	return nil
}

// learnBelow learns a manifest and all that it lists. What the registry did
// not have is asked for again if that was before since.
func (g *Graph) learnBelow(ctx context.Context, p place, root digest, since time.Time) error {
	for range 2 * maxDepth { // a level each time, or what was forgotten meanwhile
		missing := g.store.unlearned(p.key, root, since)
		if len(missing) == 0 {
			return nil
		}
		err := each(ctx, g.options.Parallel, missing, func(ctx context.Context, d digest) error {
			return g.shared(ctx, "manifest\x00"+p.key+"\x00"+d.String(), func(ctx context.Context) error { return g.fetch(ctx, p, d) })
		})
		if err != nil {
			return err
		}
	}
	return errFull
}

// fetch fetches a manifest and learns what it reaches.
func (g *Graph) fetch(ctx context.Context, p place, d digest) error {
	asked := g.now()
	m, err := g.source.Manifest(ctx, p.repository, d.String())
	switch {
	case errors.Is(err, ErrNotFound):
		return g.store.absent(p.key, d, asked)
	case errors.Is(err, ErrTooBig):
		g.logger.Warn("a manifest is too big to look into; it opens nothing but itself", "repository", p.repository, "digest", d.String())
		return g.store.learn(p.key, d, content{})
	case err != nil:
		return fmt.Errorf("manifest %s: %w", d, err)
	case m.Digest != d.String():
		return fmt.Errorf("manifest %s: the registry gave %.200q instead", d, m.Digest)
	}
	return g.store.learn(p.key, d, parseManifest(m.Body))
}

// learnReferrers learns what refers to a manifest as of since or later: by the
// registry's list of referrers, and by those of names, all tags, that belong
// to it.
func (g *Graph) learnReferrers(ctx context.Context, p place, subject digest, names []string, since time.Time) error {
	stem := subject.schemaTag()
	for _, suffix := range schemaSuffixes {
		if _, ok := slices.BinarySearch(names, stem+suffix); !ok {
			continue
		}
		if err := g.learnTag(ctx, p, stem+suffix, since); err != nil {
			return err
		}
	}
	if g.options.NoReferrers || g.store.referred(p.key, subject, since) {
		return g.learnAll(ctx, p, g.store.referrersOf(p.key, subject), since)
	}
	err := g.shared(ctx, "referrers\x00"+p.key+"\x00"+subject.String(), func(ctx context.Context) error {
		asked := g.now()
		found, err := g.source.Referrers(ctx, p.repository, subject.String())
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnsupported) {
			return fmt.Errorf("referrers of %s: %w", subject, err)
		}
		var from []digest
		for _, text := range found {
			from = appendDigest(from, text)
		}
		return g.store.refers(p.key, subject, from, asked)
	})
	if err != nil {
		return err
	}
	return g.learnAll(ctx, p, g.store.referrersOf(p.key, subject), since)
}

func (g *Graph) learnAll(ctx context.Context, p place, roots []digest, since time.Time) error {
	for _, root := range roots {
		if err := g.learnBelow(ctx, p, root, since); err != nil {
			return err
		}
	}
	return nil
}

// maxErrors is how many of the things to learn may fail before the others are
// not tried any more.
const maxErrors = 8

// each calls do for all of items, parallel at once, and returns the first
// error. One that fails does not keep the others from being learned.
func each[T any](ctx context.Context, parallel int, items []T, do func(context.Context, T) error) error {
	if len(items) == 1 {
		return do(ctx, items[0])
	}
	var (
		mu    sync.Mutex
		next  int
		errs  []error
		tasks sync.WaitGroup
	)
	take := func() (item T, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(items) || len(errs) >= maxErrors || ctx.Err() != nil {
			return item, false
		}
		next++
		return items[next-1], true
	}
	for range min(parallel, len(items)) {
		tasks.Go(func() {
			for item, ok := take(); ok; item, ok = take() {
				if err := do(ctx, item); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	tasks.Wait()
	if len(errs) > 0 {
		return errs[0]
	}
	return ctx.Err()
}
