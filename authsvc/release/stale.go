package release

import (
	"context"
	"errors"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release/graph"
)

// While a registry fails, what it said last holds for Options.Stale from when it was last
// heard. It is what the tags had then: what one had before it was moved or deleted ends
// as if the registry answered.
//
// A registry is heard when it tells something, also that it does not have what it was
// asked for. It is not heard when it refuses to tell (ErrRefused), which ends what is
// known of a tag, nor by anything else: no token, no connection, 429, 5xx, a page of HTML.

// patience is how long a caller waits for a registry that has just failed, where there is
// an answer from before. The question goes on.
const patience = 250 * time.Millisecond

// note notes whether the registry was heard.
func (r *Releases) note(p place, asked time.Time, err error) {
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrTooBig), errors.Is(err, ErrUnsupported):
		r.store.Heard(p.registry, p.host, asked)
	case errors.Is(err, ErrRefused), r.life.Err() != nil:
	default:
		r.store.Unheard(p.host, r.now())
	}
}

// heldSince returns since when the registry must have said what holds now if it fails. ok
// is false if nothing does: it was not heard for too long, or refuses to tell what the
// repository's tags have.
func (r *Releases) heldSince(p place) (since time.Time, ok bool) {
	now := r.now()
	heard, _ := r.store.LastHeard(p.host)
	if heard.IsZero() || now.Sub(heard) >= r.options.Stale || r.store.Graph(p.key).Refused() {
		return time.Time{}, false
	}
	if heard.After(now) {
		heard = now
	}
	return heard.Add(-max(r.options.Previous, r.options.Stale)), true
}

// failing is heldSince for a registry that has failed since it was last heard.
func (r *Releases) failing(p place) (since time.Time, ok bool) {
	if _, failing := r.store.LastHeard(p.host); !failing {
		return time.Time{}, false
	}
	return r.heldSince(p)
}

// noteStale notes an answer that holds. A registry that has kept a caller waiting until then
// has failed, even if it may answer yet: nobody else waits that long.
func (r *Releases) noteStale(p place, kind string) {
	r.store.Unheard(p.host, r.now())
	r.metrics.stale[kind].Inc()
}

// outage says whether what holds may be the answer, after an error: if the registry
// failed, rather than refused, and the caller has not left.
func outage(ctx context.Context, err error) bool {
	return !errors.Is(err, ErrRefused) && !errors.Is(ctx.Err(), context.Canceled)
}

// held is Find while the registry fails.
func (r *Releases) held(p place, d graph.Digest, want Tags, since time.Time) (tag string) {
	now := r.now()
	return r.store.Graph(p.key).FindHeld(d, want, now, now.Add(-r.options.Previous), since)
}

// heldManifest is Pin while the registry fails. It leaves out what is not known to be of
// schema 1 or not to be.
func (r *Releases) heldManifest(p place, request registry.Request, since time.Time) (registry.Pinned, bool) {
	digest, schema1, ok := r.shown(p, request, since)
	d, _ := graph.ParseDigest(digest)
	_, read := r.store.Graph(p.key).Schema1(d)
	return registry.Pinned{Digest: digest, Schema1: schema1, Stale: true}, ok && read
}

// refresh asks for a tag again that allowed a digest, unless that has just failed. Nobody
// waits for it. Without it, who pulls by digest alone would not notice that the registry has
// begun to refuse.
func (r *Releases) refresh(p place, tag string) {
	now := r.now()
	if r.store.Graph(p.key).Failed(tag, now.Add(-failRest)) || !r.beginLearning(p, tag) {
		return
	}
	r.learnAhead(p, tag, now.Add(-r.options.TagTTL), r.slots(p).ahead, func() {})
}

// Holding says whether anything is known that holds while the registries fail.
func (r *Releases) Holding() bool {
	return r.Size() > 0 && r.store.HeardSince(r.now().Add(-r.options.Stale))
}
