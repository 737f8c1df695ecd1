// Package entitlement decides whether a customer's grants allow a request
// (entitlement.go), and which tags and repositories the customer may see
// (lists.go). Package auth has the grants; package release knows which tags lead
// to a digest.
package entitlement

import (
	"context"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

// Releases tell which tags exist, and which of them reach a digest.
// *release.Releases implements it.
type Releases interface {
	// Find returns a tag of want that reaches a digest in a repository. An error is
	// an outage.
	Find(ctx context.Context, repository, digest string, want release.Tags) (release.Found, error)
	// Tags lists a repository's tags, sorted; release.ErrNotFound if there is
	// no such repository. stale says that its registry fails, and that they are from before.
	Tags(ctx context.Context, repository string) (names []string, stale bool, err error)
	// Asked notes that a customer may pull a tag now.
	Asked(repository, tag string)
}

// Rules make decisions from a customer's grants.
type Rules struct {
	Releases Releases
	// Renew is appended to the message that a license has ended: where to renew
	// it. Empty for none.
	Renew string
	// Repositories are what the catalog may list for grants whose repository is
	// a pattern.
	Repositories []string
	// Now is the clock for expiring licenses; nil for the real one.
	Now func() time.Time
}

// A Verdict is the result of checking a request against a customer's grants. Its
// zero value allows a request that needs no grant.
type Verdict struct {
	// Grant is the grant that decided: one in force, or one that has ended; zero
	// if none did.
	Grant auth.Grant
	// Tag is the tag that decided: the requested one, or one that reaches the
	// requested digest; empty if none did.
	Tag string
	// Stale says that the registry fails, and that what it said last has decided.
	Stale bool
	// Refusal is why the request is refused; nil if it is allowed.
	Refusal *registry.Refusal
}

// Check says whether grants allow a request.
//
// A ping needs no grant. A tag needs a grant in force that matches the repository
// and the tag. A digest needs a tag that such a grant matches and that reaches the
// digest in that repository. The same goes for a tag that belongs to a digest by
// its name, such as a signature's. Lists are for Tags and Catalog, not Check.
//
// A refusal reveals no more than it must: what the customer never had does not
// exist (404); what has ended is denied with its date, or as withdrawn (403). If
// the customer never had any right in a repository, the registry is not asked, so
// neither the answer nor its timing shows whether the repository exists. An error
// is an outage.
func (r *Rules) Check(ctx context.Context, grants auth.Grants, request registry.Request) (Verdict, error) {
	switch request.Kind {
	case registry.Ping:
		return Verdict{}, nil
	case registry.Manifest, registry.Blob, registry.Referrers:
	default:
		// Never forward these: the upstream's list is not filtered.
		return refuse(unsupported()), nil
	}
	had := rightsAt(grants.In(request.Repository), r.now())
	if had.none() {
		return refuse(unknownRepository(request.Repository)), nil
	}
	if request.Reference.Tag != "" {
		return r.checkTag(ctx, had, request)
	}
	verdict, known, err := r.checkDigest(ctx, had, request.Repository, request.Reference.Digest)
	if err == nil && !known {
		verdict = refuse(unknownDigest(request))
	}
	return verdict, err
}

func (r *Rules) checkTag(ctx context.Context, had rights, request registry.Request) (Verdict, error) {
	repository, tag := request.Repository, request.Reference.Tag
	if grant, ok := had.valid.ForTag(tag); ok {
		r.Releases.Asked(repository, tag)
		return Verdict{Grant: grant, Tag: tag}, nil
	}
	if digest, ok := release.Subject(tag); ok {
		verdict, known, err := r.checkDigest(ctx, had, repository, digest)
		if err != nil || known {
			if err == nil && verdict.Refusal == nil {
				r.Releases.Asked(repository, tag)
			}
			return verdict, err
		}
	}
	if grant, ok := had.ended.ForTag(tag); ok {
		return r.hasEnded(grant, tag), nil
	}
	return refuse(unknownTag(repository, tag)), nil
}

// checkDigest looks for the grant that lets the customer pull a digest, or did
// before it ended. known is false if no grant ever did.
func (r *Rules) checkDigest(ctx context.Context, had rights, repository, digest string) (verdict Verdict, known bool, err error) {
	for had.valid.Len() > 0 {
		found, err := r.Releases.Find(ctx, repository, digest, had.valid)
		if err != nil {
			return Verdict{}, false, err
		}
		if found.Tag == "" {
			break
		}
		// A license may have expired during the search.
		had = rightsAt(had.shelf, r.now())
		if grant, ok := had.valid.ForTag(found.Tag); ok {
			return Verdict{Grant: grant, Tag: found.Tag, Stale: found.Stale}, true, nil
		}
	}
	switch {
	case had.valid.Len() == 0:
		return r.hasEnded(had.ended.First(), ""), true, nil
	case had.ended.Len() == 0:
		return Verdict{}, false, nil
	}
	found, err := r.Releases.Find(ctx, repository, digest, had.ended)
	if err != nil {
		return Verdict{}, false, err
	}
	if grant, ok := had.ended.ForTag(found.Tag); ok {
		verdict = r.hasEnded(grant, found.Tag)
		verdict.Stale = found.Stale
		return verdict, true, nil
	}
	return Verdict{}, false, nil
}

func (r *Rules) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
