package entitlement

import (
	"context"
	"errors"
	"slices"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/release"
)

// Tags lists the tags of a repository that grants in force match, sorted. The
// verdict has one of those grants; refusals and errors are as Check's.
//
// A tag that belongs to a digest, such as a signature's, is listed only if a grant
// matches it, like any other tag. It can also be pulled with the release it belongs
// to, but that is not checked for each line of a list.
func (r *Rules) Tags(ctx context.Context, grants auth.Grants, repository string) ([]string, Verdict, error) {
	had := rightsAt(grants.In(repository), r.now())
	switch {
	case had.none():
		return nil, refuse(unknownRepository(repository)), nil
	case had.valid.Len() == 0:
		return nil, r.hasEnded(had.ended.First(), ""), nil
	}
	all, stale, err := r.Releases.Tags(ctx, repository)
	switch {
	case errors.Is(err, release.ErrNotFound):
		return nil, Verdict{Grant: had.valid.First(), Refusal: unknownRepository(repository)}, nil
	case err != nil:
		return nil, Verdict{Grant: had.valid.First()}, err
	}
	if had = rightsAt(had.shelf, r.now()); had.valid.Len() == 0 { // it has expired meanwhile
		return nil, r.hasEnded(had.ended.First(), ""), nil
	}
	var listed []string
	for _, tag := range all {
		if had.valid.Match(tag) {
			listed = append(listed, tag)
		}
	}
	return listed, Verdict{Grant: had.valid.First(), Stale: stale}, nil
}

// Catalog lists the repositories of grants in force, sorted: those that a
// grant names, and those of Rules.Repositories that a grant's pattern matches.
// It does not ask the registry: one such as ECR may have no list to filter.
func (r *Rules) Catalog(grants auth.Grants) []string {
	now := r.now()
	var listed []string
	for g := range grants.All() {
		pattern := g.Repository
		if !g.ValidAt(now) {
			continue
		}
		if name := pattern.String(); registry.ValidName(name) && pattern.Match(name) {
			listed = append(listed, name)
			continue
		}
		for _, name := range r.Repositories {
			if pattern.Match(name) {
				listed = append(listed, name)
			}
		}
	}
	slices.Sort(listed)
	return slices.Compact(listed)
}
