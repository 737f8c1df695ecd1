// Package release answers which tags reach a digest: as manifest, through an
// index or an index in it, as configuration or layer, as signature, SBOM or
// attestation. It learns that from the registry itself.
//
// What a manifest reaches follows from its bytes, which its digest names, so
// it is fetched once and true for good. What can change is asked for again:
// the digest that a tag has, the tags of a repository, what refers to a
// manifest. All of it is known for each repository on its own; a digest that a
// release has in one repository opens nothing in another.
//
// What is known is answered at once and asks nobody. What is not leads to a
// look through the tags that the customer may pull. The look is shared by all
// who wait for the same tags, and remembered, so that a stranger's guesses do
// not cause one each; it ends in an answer only if all of it could be asked.
// Else it ends in an error: not "no", and never "yes".
//
// A tag reaches what it has, and for a while what it had before, so that a
// pull under way survives a tag that moves or goes. It does not reach what it
// refers to: whoever may pull a signature may not for that pull the image.
package release

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Options are what a Graph is made of. Only Source must be given.
type Options struct {
	Source Source
	// TagTTL is how long the digest of a tag, and the tags of a repository,
	// are believed before they are asked for again; 30 s if zero.
	TagTTL time.Duration
	// Previous is how long a tag still reaches a digest after it was last seen
	// to have it; TagTTL if that is longer.
	Previous time.Duration
	// Timeout is how long a caller of Find and Tags waits for what has to be
	// learned; 5 s if zero. The learning itself goes on.
	Timeout time.Duration
	// MaxDigests bounds what is remembered; 1,000,000 if zero.
	MaxDigests int
	// Parallel is how many questions are put to the Source at once for one
	// look; 16 if zero.
	Parallel int
	// NoReferrers leaves out the question what refers to a manifest, for a
	// registry that does not know it. Tags of the referrers tag schema and of
	// cosign count nevertheless.
	NoReferrers bool
	// Logger gets what went wrong; nil for none.
	Logger *slog.Logger
	// Observe is told of every question to the Source (tags, resolve,
	// manifest, referrers), its outcome (ok, unknown, error) and how long it
	// took; of every search (kind search) and its outcome (known, found,
	// unknown, error). It must not block. Nil for none.
	Observe func(kind, outcome string, took time.Duration)
	// Now is the clock; nil for the real one.
	Now func() time.Time
}

// A Graph knows which tags reach a digest. Its methods may be called at once.
type Graph struct {
	options Options
	source  Source
	store   *store
	now     func() time.Time
	logger  *slog.Logger

	flights    singleflight.Group
	background chan struct{} // a slot for each tag that is learned ahead

	mu    sync.Mutex
	views map[string]*view
	ahead map[place]map[string]int // tags that are being learned ahead

	life    context.Context // of all learning
	end     context.CancelFunc
	gate    sync.Mutex // before working grows
	working sync.WaitGroup
}

var errClosed = errors.New("the program is stopping")

// maxBackground bounds the tags that are learned ahead at once.
const maxBackground = 64

// New makes a Graph. It asks nothing yet. Close ends it.
func New(o Options) *Graph {
	setDefault(&o.TagTTL, 30*time.Second)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.MaxDigests, 1_000_000)
	setDefault(&o.Parallel, 16)
	o.Previous = max(o.Previous, o.TagTTL)
	if o.Now == nil {
		// Without leaps: a clock that is put back must not make what was asked
		// for an hour ago look new for an hour.
		start := time.Now()
		o.Now = func() time.Time { return start.Add(time.Since(start)) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	life, end := context.WithCancel(context.Background())
	return &Graph{
		options: o, source: &observed{o.Source, o.Observe}, store: newStore(o.MaxDigests), now: o.Now, logger: o.Logger,
		background: make(chan struct{}, maxBackground), views: map[string]*view{}, ahead: map[place]map[string]int{}, life: life, end: end,
	}
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// Close ends all learning and waits for it.
func (g *Graph) Close() {
	g.gate.Lock()
	g.end()
	g.gate.Unlock()
	g.working.Wait()
}

// work does something that Close waits for; false if it has been called.
func (g *Graph) work(do func()) bool {
	g.gate.Lock()
	defer g.gate.Unlock()
	if g.life.Err() != nil {
		return false
	}
	g.working.Go(do)
	return true
}

// A place is a repository in the registry in force.
type place struct{ key, repository string }

func (g *Graph) place(repository string) (place, error) {
	host, err := g.source.Host()
	if err != nil {
		return place{}, fmt.Errorf("looking at the releases of %s: %w", repository, err)
	}
	return place{host + "/" + repository, repository}, nil
}

// Find returns a tag of want that reaches a digest in a repository; "" if none
// does. What is not known is asked for, for as long as Options.Timeout; an
// error means that it could not be found out.
func (g *Graph) Find(ctx context.Context, repository, digest string, want Tags) (tag string, err error) {
	d, ok := parseDigest(digest)
	if !ok {
		return "", fmt.Errorf("expected a digest by sha256 or sha512, found %.200q", digest)
	}
	p, err := g.place(repository)
	if err != nil {
		return "", err
	}
	tag, lapsed := g.known(p, d, want)
	if tag != "" {
		g.options.Observe("search", "known", 0)
		return tag, nil
	}
	start := time.Now()
	tag, err = g.search(ctx, p, d, want, lapsed)
	outcome := "unknown"
	switch {
	case err != nil:
		outcome = "error"
		err = fmt.Errorf("looking for %s in %s: %w", digest, repository, err)
	case tag != "":
		outcome = "found"
	}
	g.options.Observe("search", outcome, time.Since(start))
	return tag, err
}

// known is Find without asking.
func (g *Graph) known(p place, d digest, want Tags) (tag string, lapsed []string) {
	now := g.now()
	return g.store.reached(p.key, d, want, now, now.Add(-g.options.Previous))
}

// Tags returns the tags of a repository, sorted; ErrNotFound if there is no
// such repository. The slice is shared and must not be changed. While the
// registry cannot be asked, the last known ones are returned.
func (g *Graph) Tags(ctx context.Context, repository string) ([]string, error) {
	p, err := g.place(repository)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	names, missing, err := g.list(ctx, p, g.now().Add(-g.options.TagTTL))
	if err != nil {
		now := g.now()
		if names, _, ok := g.store.names(p.key, now.Add(-g.options.Previous)); ok && !errors.Is(ctx.Err(), context.Canceled) {
			return names, nil
		}
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	if missing {
		return nil, fmt.Errorf("repository %s: %w", repository, ErrNotFound)
	}
	return names, nil
}

// Asked notes that a customer is let through to a tag. What the tag has is
// learned ahead, since its digests are asked for next; and if it was learned
// before, it is no longer believed to have only what it had.
func (g *Graph) Asked(repository, tag string) {
	p, err := g.place(repository)
	if err != nil {
		return // the customer is told elsewhere
	}
	now := g.now()
	if !g.store.asked(p.key, tag, now, now.Add(-g.options.TagTTL)) {
		return
	}
	select {
	case g.background <- struct{}{}:
	default:
		g.store.missed(p.key, now)
		return
	}
	g.noteAhead(p, tag, 1)
	g.work(func() {
		defer func() { <-g.background }()
		defer g.noteAhead(p, tag, -1)
		if err := g.learnTag(g.life, p, tag, now); err != nil {
			g.store.missed(p.key, now)
			g.logger.Warn("learning a release ahead", "repository", repository, "tag", tag, "error", err)
		}
	})
}

// noteAhead notes that a tag is being learned ahead, or no longer.
func (g *Graph) noteAhead(p place, tag string, more int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	tags := g.ahead[p]
	if tags == nil {
		tags = map[string]int{}
		g.ahead[p] = tags
	}
	if tags[tag] += more; tags[tag] == 0 {
		delete(tags, tag)
	}
	if len(tags) == 0 {
		delete(g.ahead, p)
	}
}

// learningAhead returns the wanted tags that are being learned ahead.
func (g *Graph) learningAhead(p place, want Tags) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []string
	for tag := range g.ahead[p] {
		if want.Match(tag) {
			found = append(found, tag)
		}
	}
	return found
}

// Size is the number of digests that are known.
func (g *Graph) Size() int {
	g.store.mu.RLock()
	defer g.store.mu.RUnlock()
	return g.store.nodes.len()
}
