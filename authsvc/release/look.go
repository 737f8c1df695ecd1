package release

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// A look goes through the tags of a view. Its waiters wake whenever it has learned
// something. Releases.mu guards all of it.
type look struct {
	view     *view
	cancel   context.CancelFunc
	progress chan struct{} // closed, and replaced, when something was learned
	waiting  int           // who has not found what they wait for
	early    bool          // ended, since all have found what they waited for
	err      error         // valid when done is closed
	done     chan struct{}
}

// errSuperseded is the result of a look that ended because all its waiters had found
// what they wanted.
var errSuperseded = errors.New("the search ended early")

// look learns all that the wanted tags lead to, as of since or later. It
// returns the generation of the graph that has it all, and how many tags and
// manifests were asked about.
func (r *Releases) look(ctx context.Context, p place, want Tags, since time.Time, learned func()) (generation uint64, questions int, err error) {
	names, _, err := r.list(ctx, p, since)
	if err != nil {
		return 0, 0, err
	}
	known := r.store.Graph(p.key)
	tags := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !want.Match(name) })
	known.InOrder(tags)
	questions = len(tags)
	err = each(ctx, r.options.Parallel, tags, func(ctx context.Context, tag string) error {
		defer learned()
		return r.learnTag(ctx, p, tag, since)
	})
	done := map[graph.Digest]bool{}
	for range graph.MaxDepth {
		if err != nil {
			break
		}
		subjects := r.store.Graph(p.key).Manifests(want, r.now().Add(-r.options.Previous))
		subjects = slices.DeleteFunc(subjects, func(d graph.Digest) bool { return done[d] })
		if len(subjects) == 0 {
			break
		}
		for _, d := range subjects {
			done[d] = true
		}
		questions += len(subjects)
		err = each(ctx, r.options.Parallel, subjects, func(ctx context.Context, d graph.Digest) error {
			defer learned()
			return r.learnReferrers(ctx, p, d, names, since)
		})
	}
	return known.Generation(), questions, err
}

// wake wakes all who wait for a look.
func (r *Releases) wake(l *look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(l.progress)
	l.progress = make(chan struct{})
}

// wait waits until found says so or the look has ended, and returns how that
// went: without an error, what is not found now does not exist. When all who
// waited have found what they wanted, the look ends; one who has given up is
// expected to come back, so for that one it goes on.
func (r *Releases) wait(ctx context.Context, l *look, found func() bool) error {
	for {
		r.mu.Lock()
		progress := l.progress
		r.mu.Unlock()
		if found() {
			r.leave(l)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-progress:
		case <-l.done:
			if found() {
				return nil
			}
			return l.err
		}
	}
}

// leave is called by one who has found what they waited for.
func (r *Releases) leave(l *look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.waiting--; l.waiting == 0 && l.view.current == l {
		l.view.current, l.early = nil, true
		l.cancel()
	}
}
