// Package release answers which tags lead to a digest: as manifest, through an
// index or an index in it, as configuration or layer, as signature, SBOM or
// attestation. It decides when to ask the registry for what it does not know,
// and lets concurrent callers share an answer. Package graph stores what was
// learned; package remote sends the requests.
//
// The content of a manifest follows from its bytes, which its digest names, so
// it is fetched once and stays true. What can change is fetched again: the digest
// of a tag, the tags of a repository, the referrers of a manifest.
//
// What is known is answered at once, without a request. Anything else causes a
// search through the tags that the customer may pull (a look). Callers with the
// same tags share the look, and its result is remembered, so that repeated guesses
// cause no new one. If any request of the look fails, the result is an error,
// neither "yes" nor "no".
//
// A tag leads to its current content, and for a while to its previous content, so
// that a pull survives when a tag is moved or deleted. It does not lead to its
// subject: the right to a signature does not include the image.
//
// Where to read on: release.go has the public methods, search.go finds what is not
// known yet, learn.go asks the registry for it.
package release

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/release/graph"
	"golang.org/x/sync/singleflight"
)

// Releases know which tags lead to a digest. They are safe for concurrent use.
type Releases struct {
	options Options
	store   *graph.Store
	metrics *metrics
	now     func() time.Time
	logger  *slog.Logger

	flights singleflight.Group

	mu       sync.Mutex
	views    map[viewKey]*view
	learning map[placedTag]int // tags that are being learned ahead, as many as slots
	slotsOf  map[string]slots  // by the registry's host

	life    context.Context // of all learning
	end     context.CancelFunc
	gate    sync.Mutex // held while working grows
	working sync.WaitGroup
}

var errClosed = errors.New("the program is stopping")

// New makes Releases. It sends no request yet. Close ends it.
func New(o Options) *Releases {
	o.setDefaults()
	store := graph.New(o.MaxDigests)
	return newReleases(o, store, newMetrics(o.Metrics, store, o.MaxDigests))
}

// With returns Releases with other options that share what r knows, and its metrics.
// MaxDigests, Metrics and Now stay. Each of both must be closed.
func (r *Releases) With(o Options) *Releases {
	o.MaxDigests, o.Metrics, o.Now = r.options.MaxDigests, r.options.Metrics, r.options.Now
	o.setDefaults()
	return newReleases(o, r.store, r.metrics)
}

func newReleases(o Options, store *graph.Store, metrics *metrics) *Releases {
	life, end := context.WithCancel(context.Background())
	return &Releases{
		options: o, store: store, metrics: metrics, now: o.Now, logger: o.Logger,
		views: map[viewKey]*view{}, learning: map[placedTag]int{}, slotsOf: map[string]slots{}, life: life, end: end,
	}
}

// Close ends all learning and waits for it.
func (r *Releases) Close() {
	r.gate.Lock()
	r.end()
	r.gate.Unlock()
	r.working.Wait()
}

// work does something that Close waits for; false if Close has been called.
func (r *Releases) work(do func()) bool {
	r.gate.Lock()
	defer r.gate.Unlock()
	if r.life.Err() != nil {
		return false
	}
	r.working.Go(do)
	return true
}

// A place is a repository as customers see it, and its registry. Its key is the graph's.
type place struct{ key, host, registry, repository string }

// A placedTag is a tag in a place.
type placedTag struct {
	place
	tag string
}

func (r *Releases) place(repository string) (place, error) {
	at, err := r.options.Source.Place(repository)
	if err != nil && !errors.Is(err, ErrNotFound) {
		if host, ok := r.store.Host(at.Registry); ok { // there is no token; what is known holds
			at.Host, err = host, nil
		}
	}
	if err != nil {
		return place{}, fmt.Errorf("reading the releases of %s: %w", repository, err)
	}
	return place{at.Host + "/" + at.Repository, at.Host, at.Registry, repository}, nil
}

// Tags are the tags that a customer may pull.
type Tags = graph.Tags

// A Found is a tag that leads to a digest; empty if none does.
type Found struct {
	Tag string
	// Stale says that the registry fails, and said so too long ago to count if it did not.
	Stale bool
}

// Find returns a tag of want that leads to a digest in a repository. It asks the registry
// for what is not known, for at most Options.Timeout. While the registry is unreachable,
// what it said last holds for Options.Stale. An error is an outage.
func (r *Releases) Find(ctx context.Context, repository, digest string, want Tags) (Found, error) {
	d, ok := graph.ParseDigest(digest)
	if !ok {
		return Found{}, fmt.Errorf("expected a digest by sha256 or sha512, found %.200q", digest)
	}
	p, err := r.place(repository)
	switch {
	case errors.Is(err, ErrNotFound):
		return Found{}, nil
	case err != nil:
		return Found{}, err
	}
	start := time.Now()
	tag, due, lapsed := r.known(p, d, want)
	if tag != "" {
		r.metrics.searched(wasKnown, start)
		if due {
			r.refresh(p, tag)
		}
		return Found{Tag: tag}, nil
	}
	wait := r.options.Timeout
	if since, ok := r.failing(p); ok && r.held(p, d, want, since) != "" {
		wait = min(wait, patience)
	}
	searching, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tag, err = r.search(searching, p, d, want, lapsed)
	switch {
	case err != nil:
		return r.findHeld(ctx, p, d, want, start, err)
	case tag == "":
		r.metrics.searched(wasUnknown, start)
		return Found{}, nil
	}
	r.metrics.searched(wasFound, start)
	return Found{Tag: tag}, nil
}

// findHeld is Find after the search has failed.
func (r *Releases) findHeld(ctx context.Context, p place, d graph.Digest, want Tags, start time.Time, err error) (Found, error) {
	if since, ok := r.heldSince(p); ok && outage(ctx, err) {
		if tag := r.held(p, d, want, since); tag != "" {
			r.metrics.searched(wasStale, start)
			r.noteStale(p, ofDigest)
			return Found{tag, true}, nil
		}
	}
	r.metrics.searched(hasFailed, start)
	return Found{}, fmt.Errorf("looking for %s in %s: %w", d, p.repository, err)
}

// known is Find without asking. due says that the tag is to be asked for again.
func (r *Releases) known(p place, d graph.Digest, want Tags) (tag string, due bool, lapsed []string) {
	now := r.now()
	tag, checked, lapsed := r.store.Graph(p.key).Find(d, want, now, now.Add(-r.options.Previous))
	return tag, checked < now.Add(-r.options.TagTTL).UnixNano(), lapsed
}

// Tags returns the tags of a repository, sorted; ErrNotFound if there is no
// such repository. The slice is shared and must not be changed. While the registry
// is unreachable, the last known tags hold for Options.Stale, and stale is true.
func (r *Releases) Tags(ctx context.Context, repository string) (names []string, stale bool, err error) {
	p, err := r.place(repository)
	if err != nil {
		return nil, false, err
	}
	wait := r.options.Timeout
	if since, ok := r.failing(p); ok {
		if _, missing, known := r.store.Names(p.key, since); known && !missing {
			wait = min(wait, patience)
		}
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	names, missing, err := r.list(asking, p, r.now().Add(-r.options.TagTTL))
	if err != nil {
		if names, ok := r.heldTags(p); ok && outage(ctx, err) {
			r.noteStale(p, ofList)
			return names, true, nil
		}
		return nil, false, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	if missing {
		return nil, false, fmt.Errorf("repository %s: %w", repository, ErrNotFound)
	}
	return names, false, nil
}

// heldTags is Tags while the registry fails. That there was no such repository does not
// hold.
func (r *Releases) heldTags(p place) ([]string, bool) {
	since, ok := r.heldSince(p)
	if !ok {
		return nil, false
	}
	names, missing, ok := r.store.Names(p.key, since)
	return names, ok && !missing
}

// Asked notes that a customer may pull a tag now. The client will request its
// digests next, so the tag is prefetched. If the tag was known before, it may have
// new content by now.
func (r *Releases) Asked(repository, tag string) {
	p, err := r.place(repository)
	if err != nil {
		return // the customer is told elsewhere
	}
	now := r.now()
	known := r.store.Graph(p.key)
	if !known.NoteAsked(tag, now, now.Add(-r.options.TagTTL)) {
		return
	}
	slots := r.slots(p).ahead
	if known.Generation() == 0 {
		slots = r.slots(p).strangers
	}
	r.noteLearning(p, tag, 1)
	r.learnAhead(p, tag, now, slots, func() { r.store.NoteMissed(p.key, now) })
}

// Size is the number of digests that are known.
func (r *Releases) Size() int { return r.store.Size() }

// Save writes what is known into a file, atomically, with mode 0600.
// It does not block other calls.
func (r *Releases) Save(path string) error { return r.store.Save(path) }

// Load reads a file written by Save. Its content counts as if the registry had
// answered it then: manifests for good, tags for a while. After an error, not all
// of it was loaded, and the rest is learned again; errors.Is(err, fs.ErrNotExist)
// means that there is no file.
func (r *Releases) Load(path string) error { return r.store.Load(path, r.now()) }

// Subject returns the digest that a tag of the referrers tag schema, or of
// cosign, belongs to: sha256-<hex>, and the same with .sig, .att or .sbom.
func Subject(tag string) (digest string, ok bool) {
	d, ok := graph.Subject(tag)
	if !ok {
		return "", false
	}
	return d.String(), true
}
