package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
)

const (
	// lookTimeout bounds a look. What it learned until then stays, so the next
	// look gets further.
	lookTimeout = 2 * time.Minute
	// minRest and restPerQuestion are how long the result of a look stands
	// before there may be another for the same tags: long enough that guesses
	// cause no more than a hundred questions a second to the registry, and
	// never longer than a tag is believed.
	minRest         = time.Second
	restPerQuestion = 10 * time.Millisecond
	// failRest is the same for a look that failed.
	failRest = time.Second
	// maxViews bounds the sets of tags of which looks are remembered.
	maxViews = 10_000
	// recently is how long after a customer was let through to a tag the
	// registry may be giving it what is not known yet.
	recently = time.Minute
)

// A viewKey tells a repository and a set of tags from others: the SHA-256 of
// both, since patterns may be many and long.
type viewKey [sha256.Size]byte

// A view holds the results of the looks through one set of tags of one repository.
type view struct {
	current *look // the one under way, nil if there is none

	// Of the last one that asked for everything: it knows all that there was
	// at asOf, and stands until then.
	asOf, until time.Time
	generation  uint64
	questions   int

	// Of the last one, if it failed.
	failed error
	failAt time.Time
}

// search finds what is not known: by the tags that may have changed, lapsed
// among them, then by a look through all.
func (r *Releases) search(ctx context.Context, p place, d graph.Digest, want Tags, lapsed []string) (tag string, err error) {
	found := func() bool {
		tag, _, _ = r.known(p, d, want)
		return tag != ""
	}
	key := viewKey(sha256.Sum256([]byte(p.key + "\x00" + want.Key())))
	if asked, err := r.askChanged(ctx, p, key, want, lapsed); asked {
		switch {
		case found():
			return tag, nil
		case err != nil:
			return "", err
		}
	}
	if missing, err := r.missing(ctx, p); missing || err != nil {
		return "", err
	}
	for {
		l, err := r.join(p, key, want)
		switch {
		case l != nil:
			err = r.wait(ctx, l, found)
		case found(): // it was learned since it was not known
			return tag, nil
		}
		if !errors.Is(err, errSuperseded) {
			return tag, err
		}
	}
}

// missing says whether there is no such repository, so that names that
// somebody invents take no place among the views. That is believed for as long
// as a list of tags.
func (r *Releases) missing(ctx context.Context, p place) (bool, error) {
	if r.store.Graph(p.key).Generation() != 0 {
		return false, nil
	}
	_, missing, err := r.list(ctx, p, r.now().Add(-r.options.TagTTL))
	return missing, err
}

// askChanged asks for the tags that the answer may depend on and that may have
// changed. It says whether there were any.
//
// Tags that a customer was let through to since they were last asked for are
// asked for at once, and those that are being learned ahead are waited for. All
// others, those that have lapsed and those that somebody was let through to
// recently, rest in between, like a look.
func (r *Releases) askChanged(ctx context.Context, p place, key viewKey, want Tags, lapsed []string) (asked bool, err error) {
	now := r.now()
	known := r.store.Graph(p.key)
	urgent, recent := known.Doubtful(want, now.Add(-recently))
	since := map[string]time.Time{}
	if !r.hasFailed(key, now) {
		for _, tag := range lapsed {
			since[tag] = now.Add(-r.options.TagTTL)
		}
		for _, tag := range recent {
			since[tag] = now.Add(-r.rest(len(recent)))
		}
		maps.DeleteFunc(since, func(tag string, at time.Time) bool { return known.Checked(tag, at) })
	}
	rested := len(since) > 0
	for _, tag := range r.learningAhead(p, want) {
		since[tag] = now.Add(-r.options.TagTTL)
	}
	for _, tag := range urgent {
		since[tag] = now
	}
	if len(since) == 0 {
		return false, nil
	}
	err = each(ctx, r.options.Parallel, slices.Sorted(maps.Keys(since)), func(ctx context.Context, tag string) error {
		return r.learnTag(ctx, p, tag, since[tag])
	})
	if err != nil && rested && ctx.Err() == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		v := r.view(key)
		v.failed, v.failAt = err, r.now()
	}
	return true, err
}

// hasFailed says whether the registry has just failed to answer for a view.
func (r *Releases) hasFailed(key viewKey, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.views[key]
	return v != nil && v.fails(now)
}

func (v *view) fails(now time.Time) bool {
	return v.failed != nil && now.Before(v.failAt.Add(failRest))
}

// learningAhead returns the wanted tags that are being learned ahead.
func (r *Releases) learningAhead(p place, want Tags) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.learning {
		if t.place == p && want.Match(t.tag) {
			found = append(found, t.tag)
		}
	}
	return found
}

// join returns the look under way through the wanted tags, or begins one. It
// returns nil if there is no need: the last one knows the answer, or has just
// failed.
func (r *Releases) join(p place, key viewKey, want Tags) (*look, error) {
	known := r.store.Graph(p.key)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.view(key)
	switch {
	case v.current != nil:
		v.current.waiting++
		return v.current, nil
	case v.fails(now):
		return nil, v.failed
	case v.generation == known.Generation() && now.Before(v.until) && !known.Missed(v.asOf):
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(r.life, lookTimeout)
	l := &look{view: v, cancel: cancel, progress: make(chan struct{}), done: make(chan struct{}), waiting: 1}
	asOf := now.Add(-r.rest(v.questions) / 2)
	if !r.work(func() { r.run(ctx, l, p, want, asOf) }) {
		cancel()
		return nil, errClosed
	}
	v.current = l
	return l, nil
}

// view returns a view, a new one in the place of another if there are too many.
// It needs r.mu.
func (r *Releases) view(key viewKey) *view {
	v := r.views[key]
	if v != nil {
		return v
	}
	for old, other := range r.views {
		if len(r.views) < maxViews {
			break
		}
		if other.current == nil {
			delete(r.views, old)
		}
	}
	v = &view{}
	r.views[key] = v
	return v
}

// run looks, and remembers the result.
func (r *Releases) run(ctx context.Context, l *look, p place, want Tags, asOf time.Time) {
	defer l.cancel()
	started := time.Now()
	generation, questions, err := r.look(ctx, p, want, asOf, func() { r.wake(l) })
	took, ended := time.Since(started), r.now()
	if err == nil && generation != r.store.Graph(p.key).Generation() {
		err = graph.ErrFull // what was learned first may be gone
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(l.done)
	v := l.view
	if v.current == l {
		v.current = nil
	}
	l.err = err
	switch {
	case l.early: // even without an error: nobody waited, and by now it may be old
		l.err = errSuperseded
	case err != nil:
		v.failed, v.failAt = err, ended
		r.logger.Warn("searching releases failed", "repository", p.repository, "questions", questions, "duration_ms", took.Milliseconds(), "error", err)
	default:
		v.failed, v.generation, v.asOf, v.questions = nil, generation, asOf, questions
		v.until = ended.Add(r.rest(questions) / 2)
		r.logger.Debug("searched releases", "repository", p.repository, "questions", questions, "duration_ms", took.Milliseconds())
	}
}

// rest is how old the result of a look may be that asked so many questions.
func (r *Releases) rest(questions int) time.Duration {
	return min(max(minRest, time.Duration(questions)*restPerQuestion), r.options.TagTTL)
}
