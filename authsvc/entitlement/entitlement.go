// Package entitlement says whether a customer's grants allow a request, and
// what of the registry they let the customer see.
package entitlement

import (
	"context"
	"errors"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

// Releases tell which tags there are, and which of them reach a digest. A
// *release.Graph does.
type Releases interface {
	// Find returns a tag of want that reaches a digest in a repository, ""
	// if none does; an error if it could not find out.
	Find(ctx context.Context, repository, digest string, want release.Tags) (tag string, err error)
	// Tags lists a repository's tags, sorted; release.ErrNotFound if there is
	// no such repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Asked is told that a customer is let through to a tag.
	Asked(repository, tag string)
}

// Rules decide by a customer's grants.
type Rules struct {
	Releases Releases
	// Renew follows the words that a license has ended: where to renew it.
	// Empty for none.
	Renew string
	// Repositories are those that the catalog looks through for grants whose
	// repository is a pattern.
	Repositories []string
	// Now tells the time by which licences expire; nil for the real one.
	Now func() time.Time
}

// Check finds the grant that allows a request.
//
// A ping needs no grant. A tag needs one that is in force and matches
// repository and tag. A digest needs a tag that such a grant matches and that
// reaches the digest in that repository; and so does a tag that belongs to a
// digest by its name, such as a signature's. Lists are not for Check, but for
// Tags and Catalog.
//
// A refusal, a *registry.Error, tells the truth and no more: what the customer
// never had does not exist (404), what has ended is denied with the day, or as
// withdrawn (403).
// For a repository of which the customer never had anything, nobody is asked,
// so neither the answer nor its time tells whether it exists. Any other error
// is an outage.
func (r *Rules) Check(ctx context.Context, grants []auth.Grant, request registry.Request) (auth.Grant, error) {
	switch request.Kind {
	case registry.Ping:
		return auth.Grant{}, nil
	case registry.Manifest, registry.Blob, registry.Referrers:
	default:
		// Never by way of the upstream, whose list is not filtered.
		return auth.Grant{}, unsupported()
	}
	had := rightsIn(request.Repository, grants, r.now())
	if had.none() {
		return auth.Grant{}, unknownRepository(request.Repository)
	}
	if tag := request.Reference.Tag; tag != "" {
		return r.checkTag(ctx, had, request.Repository, tag)
	}
	grant, err := r.checkDigest(ctx, had, request.Repository, request.Reference.Digest)
	if errors.Is(err, errUnknown) {
		err = unknownDigest(request)
	}
	return grant, err
}

func (r *Rules) checkTag(ctx context.Context, had rights, repository, tag string) (auth.Grant, error) {
	if grant, ok := had.valid.forTag(tag); ok {
		r.Releases.Asked(repository, tag)
		return grant, nil
	}
	if digest, ok := release.Subject(tag); ok {
		grant, err := r.checkDigest(ctx, had, repository, digest)
		if err == nil {
			r.Releases.Asked(repository, tag)
		}
		if !errors.Is(err, errUnknown) {
			return grant, err
		}
	}
	if grant, ok := had.ended.forTag(tag); ok {
		return grant, r.hasEnded(grant)
	}
	return auth.Grant{}, unknownTag(repository, tag)
}

// checkDigest looks for the grant by which the customer may pull a digest. It
// returns errUnknown if the customer never could.
func (r *Rules) checkDigest(ctx context.Context, had rights, repository, digest string) (auth.Grant, error) {
	for len(had.valid) > 0 {
		tag, err := r.Releases.Find(ctx, repository, digest, had.valid)
		if err != nil {
			return auth.Grant{}, err
		}
		if tag == "" {
			break
		}
		// To find it may have taken a while, in which a licence may have
		// expired.
		had = had.at(r.now())
		if grant, ok := had.valid.forTag(tag); ok {
			return grant, nil
		}
	}
	if len(had.valid) == 0 {
		return had.ended[0], r.hasEnded(had.ended[0])
	}
	if len(had.ended) == 0 {
		return auth.Grant{}, errUnknown
	}
	tag, err := r.Releases.Find(ctx, repository, digest, had.ended)
	if err != nil {
		return auth.Grant{}, err
	}
	grant, ok := had.ended.forTag(tag)
	if !ok {
		return auth.Grant{}, errUnknown
	}
	return grant, r.hasEnded(grant)
}

func (r *Rules) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
