package release

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// lookTimeout bounds a look. What it has learned until then stays, so the
	// next one gets further.
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
)

// A view is what is remembered of the looks through one set of tags of one
// repository.
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

// A look goes through the tags of a view. Who waits for it is woken whenever
// it has learned something.
type look struct {
	cancel context.CancelFunc

	mu       sync.Mutex
	progress chan struct{} // closed, and replaced, when something was learned
	waiting  int           // who has not found what it waits for
	err      error         // valid when done is closed
	done     chan struct{}
	canceled bool
}

// errSuperseded is the result of a look that ended because all who waited for
// it had found what they wanted.
var errSuperseded = errors.New("the look has ended early")

// search finds what is not known: by the tags that may have changed, lapsed
// among them, then by a look through all.
func (g *Graph) search(ctx context.Context, p place, d digest, want Tags, lapsed []string) (tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	found := func() bool {
		tag, _ = g.known(p, d, want)
		return tag != ""
	}
	if changed := g.changed(p, want, lapsed); len(changed) > 0 {
		now := g.now()
		err := each(ctx, g.options.Parallel, changed, func(ctx context.Context, tag string) error {
			return g.learnTag(ctx, p, tag, now)
		})
		switch {
		case found():
			return tag, nil
		case err != nil:
			return "", err
		}
	}
	for {
		l, err := g.join(p, want)
		switch {
		case l != nil:
			err = l.wait(ctx, found)
		case found(): // it was learned since it was not known
			return tag, nil
		}
		if !errors.Is(err, errSuperseded) {
			return tag, err
		}
	}
}

// changed returns the tags to ask for again before a look: those that have
// lapsed, and those that somebody has just asked for.
func (g *Graph) changed(p place, want Tags, lapsed []string) []string {
	tags := slices.Concat(lapsed, g.store.doubtful(p.key, want, g.now()), g.learningAhead(p, want))
	slices.Sort(tags)
	return slices.Compact(tags)
}

// join returns the look under way through the wanted tags, or begins one. It
// returns nil if there is no need: the last one knows the answer, or has just
// failed.
func (g *Graph) join(p place, want Tags) (*look, error) {
	key := p.key + "\x00" + want.Key()
	generation, missed := g.store.state(p.key)
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.views[key]
	if v == nil {
		v = &view{}
		g.addView(key, v)
	}
	switch {
	case v.current != nil && v.current.add():
		return v.current, nil
	case v.generation == generation && now.Before(v.until) && missed < v.asOf.UnixNano():
		return nil, nil
	case v.failed != nil && now.Before(v.failAt.Add(failRest)):
		return nil, v.failed
	}
	ctx, cancel := context.WithTimeout(g.life, lookTimeout)
	l := &look{cancel: cancel, progress: make(chan struct{}), done: make(chan struct{}), waiting: 1}
	if !g.work(func() { g.run(ctx, l, v, p, want) }) {
		cancel()
		return nil, errClosed
	}
	v.current = l
	return l, nil
}

// addView remembers a view, in the place of another if there are too many.
func (g *Graph) addView(key string, v *view) {
	for old, other := range g.views {
		if len(g.views) < maxViews {
			break
		}
		if other.current == nil {
			delete(g.views, old)
		}
	}
	g.views[key] = v
}

// run looks, and remembers the result.
func (g *Graph) run(ctx context.Context, l *look, v *view, p place, want Tags) {
	defer l.cancel()
	g.mu.Lock()
	questions := v.questions
	g.mu.Unlock()
	began := g.now()
	generation, _ := g.store.state(p.key)
	asOf := began.Add(-g.rest(questions) / 2)
	started := time.Now()
	questions, err := g.look(ctx, p, want, asOf, l.wake)
	took, ended := time.Since(started), g.now()
	if after, _ := g.store.state(p.key); err == nil && after != generation {
		err = errFull // what was learned first may be gone
	}

	g.mu.Lock()
	if v.current == l {
		v.current = nil
	}
	switch canceled := l.finish(err); {
	case canceled:
	case err != nil:
		v.failed, v.failAt = err, ended
		g.logger.Warn("looking through releases", "repository", p.repository, "questions", questions, "duration_ms", took.Milliseconds(), "error", err)
	default:
		v.failed, v.generation, v.asOf, v.questions = nil, generation, asOf, questions
		v.until = ended.Add(g.rest(questions) / 2)
		g.logger.Debug("looked through releases", "repository", p.repository, "questions", questions, "duration_ms", took.Milliseconds())
	}
	g.mu.Unlock()
}

// rest is how old the result of a look may be that puts so many questions.
func (g *Graph) rest(questions int) time.Duration {
	return min(max(minRest, time.Duration(questions)*restPerQuestion), g.options.TagTTL)
}

// look learns all that the wanted tags reach, as of since or later. It returns
// how many tags and manifests were asked about.
func (g *Graph) look(ctx context.Context, p place, want Tags, since time.Time, learned func()) (questions int, err error) {
	names, _, err := g.list(ctx, p, since)
	if err != nil {
		return 0, err
	}
	var tags []string
	for _, name := range names {
		if want.Match(name) {
			tags = append(tags, name)
		}
	}
	g.store.inOrder(p.key, tags)
	err = each(ctx, g.options.Parallel, tags, func(ctx context.Context, tag string) error {
		err := g.learnTag(ctx, p, tag, since)
		learned()
		return err
	})
	questions = len(tags)
	done := map[digest]bool{}
	for range maxDepth {
		if err != nil {
			break
		}
		var subjects []digest
		for _, d := range g.store.manifestsOf(p.key, want, g.now().Add(-g.options.Previous)) {
			if !done[d] {
				subjects = append(subjects, d)
				done[d] = true
			}
		}
		if len(subjects) == 0 {
			break
		}
		questions += len(subjects)
		err = each(ctx, g.options.Parallel, subjects, func(ctx context.Context, d digest) error {
			err := g.learnReferrers(ctx, p, d, names, since)
			learned()
			return err
		})
	}
	return questions, err
}

// add adds somebody who waits, unless the look has ended.
func (l *look) add() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.canceled {
		return false
	}
	l.waiting++
	return true
}

// wake wakes all who wait.
func (l *look) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.progress)
	l.progress = make(chan struct{})
}

// finish ends the look, and tells whether it was canceled before its time.
func (l *look) finish(err error) (canceled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if l.canceled && err != nil {
		l.err = errSuperseded
	}
	canceled = l.canceled
	l.canceled = true // nobody joins any more
	close(l.done)
	return canceled
}

// wait waits until found says so or the look has ended, and returns how that
// went: without an error, what is not found now is not there. When all who
// waited have found what they wanted, the look ends; one who has given up is
// expected to come back, so for that one it goes on.
func (l *look) wait(ctx context.Context, found func() bool) error {
	for {
		l.mu.Lock()
		progress := l.progress
		l.mu.Unlock()
		if found() {
			l.leave()
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

// leave is called by one who has found it.
func (l *look) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting--; l.waiting == 0 && !l.canceled {
		l.canceled = true
		l.cancel()
	}
}
