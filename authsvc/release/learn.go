package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// pieceTimeout bounds one request to the Source. Callers share requests, so none
// ends with a caller's context. The Source's own timeout is shorter.
const pieceTimeout = time.Minute

// shared runs ask once for concurrent callers with the same key, and returns when it
// began. A caller whose context ends leaves without ending it.
func (r *Releases) shared(ctx context.Context, key string, ask func(context.Context) error) (began time.Time, err error) {
	result := r.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(r.life, pieceTimeout)
		defer cancel()
		began := r.now()
		return began, ask(ctx)
	})
	select {
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case done := <-result:
		return done.Val.(time.Time), done.Err
	}
}

// ask puts a question to the Source.
func ask[T any](ctx context.Context, r *Releases, kind string, p place, reference string, question func(context.Context, string, string) (T, error)) (T, error) {
	asked, start := r.now(), time.Now()
	answer, err := question(ctx, p.repository, reference)
	r.metrics.lookedUp(kind, err, start)
	r.note(p, asked, err)
	return answer, err
}

// list returns a repository's tags as of since or later.
func (r *Releases) list(ctx context.Context, p place, since time.Time) (names []string, missing bool, err error) {
	for range 3 { // a question under way may have been put before since
		if names, missing, ok := r.store.Names(p.key, since); ok {
			return names, missing, nil
		}
		if err = r.askTags(ctx, p, since); err != nil {
			return nil, false, err
		}
	}
	return nil, false, errors.New("the list of tags was evicted before it could be used")
}

func (r *Releases) askTags(ctx context.Context, p place, since time.Time) error {
	if r.store.Graph(p.key).Generation() == 0 {
		leave, err := r.enterStranger(ctx, p)
		if err != nil {
			return err
		}
		defer leave()
		if _, _, ok := r.store.Names(p.key, since); ok {
			return nil // somebody else has asked meanwhile
		}
	}
	_, err := r.shared(ctx, "tags\x00"+p.key, func(ctx context.Context) error {
		asked, start := r.now(), time.Now()
		names, err := r.options.Source.Tags(ctx, p.repository)
		r.metrics.lookedUp("tags", err, start)
		r.note(p, asked, err)
		switch {
		case errors.Is(err, ErrNotFound):
			return r.store.Missing(p.key, asked)
		case err != nil:
			return err
		}
		slices.Sort(names)
		return r.store.List(p.key, slices.Compact(names), asked)
	})
	return err
}

// checkTag learns what digest a tag has as of since or later. Of a tag that there never
// was, nothing is remembered.
func (r *Releases) checkTag(ctx context.Context, p place, tag string, since time.Time) error {
	for range 2 { // a question under way may have been put before since
		if r.store.Graph(p.key).Checked(tag, since) {
			break
		}
		began, err := r.shared(ctx, "tag\x00"+p.key+"\x00"+tag, func(ctx context.Context) error { return r.resolve(ctx, p, tag) })
		if err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
		if !began.Before(since) {
			break
		}
	}
	return nil
}

// learnTag learns what a tag has as of since or later, and all that it lists.
func (r *Releases) learnTag(ctx context.Context, p place, tag string, since time.Time) error {
	if err := r.checkTag(ctx, p, tag, since); err != nil {
		return err
	}
	root, ok := r.store.Graph(p.key).Current(tag)
	if !ok {
		return nil // the registry has no such tag
	}
	if err := r.learnBelow(ctx, p, root, since); err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	return nil
}

// resolve asks for the digest that a tag has; with the manifest at once if the
// tag is new.
func (r *Releases) resolve(ctx context.Context, p place, tag string) error {
	asked := r.now()
	if _, ok := r.store.Graph(p.key).Current(tag); !ok {
		m, err := ask(ctx, r, "manifest", p, tag, r.options.Source.Manifest)
		if err == nil {
			if err := r.bind(p, tag, m.Digest, asked); err != nil {
				return err
			}
			d, _ := graph.ParseDigest(m.Digest) // bind has checked it
			return r.store.Learn(p.key, d, parseManifest(m.Body))
		}
		if !errors.Is(err, ErrTooBig) {
			return r.noteNone(err, p, tag, asked)
		}
	}
	digest, err := ask(ctx, r, "resolve", p, tag, r.options.Source.Resolve)
	if err != nil {
		return r.noteNone(err, p, tag, asked)
	}
	return r.bind(p, tag, digest, asked)
}

func (r *Releases) bind(p place, tag, digest string, asked time.Time) error {
	d, ok := graph.ParseDigest(digest)
	if !ok {
		return fmt.Errorf("expected a digest from the registry, found %.200q", digest)
	}
	return r.store.Bind(p.key, tag, d, asked)
}

// noteNone notes why the registry did not tell what a tag has. That there is no such tag
// is no error.
func (r *Releases) noteNone(err error, p place, tag string, asked time.Time) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return r.store.Unbind(p.key, tag, asked)
	case errors.Is(err, ErrRefused):
		return errors.Join(err, r.store.Refuse(p.key, tag, asked))
	}
	r.store.Graph(p.key).NoteFailed(tag, r.now())
	return err
}

// learnBelow learns a manifest and all that it lists. What the registry did
// not have is asked for again if that was before since.
func (r *Releases) learnBelow(ctx context.Context, p place, root graph.Digest, since time.Time) error {
	for range 2 * graph.MaxDepth { // a level each time, or what was forgotten meanwhile
		missing := r.store.Graph(p.key).Unlearned(root, since)
		if len(missing) == 0 {
			return nil
		}
		err := each(ctx, r.options.Parallel, missing, func(ctx context.Context, d graph.Digest) error { return r.learnManifest(ctx, p, d) })
		if err != nil {
			return err
		}
	}
	return graph.ErrFull
}

// learnManifest learns the content of a manifest.
func (r *Releases) learnManifest(ctx context.Context, p place, d graph.Digest) error {
	_, err := r.shared(ctx, "manifest\x00"+p.key+"\x00"+d.String(), func(ctx context.Context) error { return r.fetch(ctx, p, d) })
	return err
}

// fetch fetches a manifest and learns its content.
func (r *Releases) fetch(ctx context.Context, p place, d graph.Digest) error {
	asked := r.now()
	m, err := ask(ctx, r, "manifest", p, d.String(), r.options.Source.Manifest)
	switch {
	case errors.Is(err, ErrNotFound):
		return r.store.Absent(p.key, d, asked)
	case errors.Is(err, ErrTooBig):
		r.logger.Warn("a manifest is too large to read; the content it lists cannot be pulled through it", "repository", p.repository, "digest", d.String())
		return r.store.Learn(p.key, d, graph.Content{})
	case err != nil:
		return fmt.Errorf("manifest %s: %w", d, err)
	case m.Digest != d.String():
		return fmt.Errorf("manifest %s: the registry returned %.200q instead", d, m.Digest)
	}
	return r.store.Learn(p.key, d, parseManifest(m.Body))
}

// learnReferrers learns the referrers of a manifest as of since or later: from
// the registry's list of them, and from those of names, all tags, that belong
// to it.
func (r *Releases) learnReferrers(ctx context.Context, p place, subject graph.Digest, names []string, since time.Time) error {
	for _, tag := range subject.SchemaTags() {
		if _, ok := slices.BinarySearch(names, tag); !ok {
			continue
		}
		if err := r.learnTag(ctx, p, tag, since); err != nil {
			return err
		}
	}
	found, asked := r.store.Graph(p.key).Referrers(subject, since)
	if !asked && !r.options.NoReferrers {
		_, err := r.shared(ctx, "referrers\x00"+p.key+"\x00"+subject.String(), func(ctx context.Context) error { return r.askReferrers(ctx, p, subject) })
		if err != nil {
			return err
		}
		found, _ = r.store.Graph(p.key).Referrers(subject, since)
	}
	for _, d := range found {
		if err := r.learnBelow(ctx, p, d, since); err != nil {
			return err
		}
	}
	return nil
}

func (r *Releases) askReferrers(ctx context.Context, p place, subject graph.Digest) error {
	asked := r.now()
	found, err := ask(ctx, r, "referrers", p, subject.String(), r.options.Source.Referrers)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("referrers of %s: %w", subject, err)
	}
	var from []graph.Digest
	for _, digest := range found {
		from = appendDigest(from, digest)
	}
	return r.store.AddReferrers(p.key, subject, from, asked)
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
