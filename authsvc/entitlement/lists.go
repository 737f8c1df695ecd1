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
// A tag that belongs to a digest, such as a signature's, is listed if a grant
// matches it, like any other: it can be pulled with the release that it
// belongs to, but that is not asked for each line of a list.
func (r *Rules) Tags(ctx context.Context, grants []auth.Grant, repository string) ([]string, Verdict, error) {
	had := rightsIn(repository, grants, r.now())
	switch {
	case had.none():
		return nil, refuse(unknownRepository(repository)), nil
	case len(had.valid) == 0:
		return nil, r.hasEnded(had.ended[0]), nil
	}
	all, err := r.Releases.Tags(ctx, repository)
	switch {
	case errors.Is(err, release.ErrNotFound):
		return nil, Verdict{had.valid[0], unknownRepository(repository)}, nil
	case err != nil:
		return nil, Verdict{Grant: had.valid[0]}, err
	}
	if had = had.at(r.now()); len(had.valid) == 0 { // it has expired meanwhile
		return nil, r.hasEnded(had.ended[0]), nil
	}
	var listed []string
	for _, tag := range all {
		if had.valid.Match(tag) {
			listed = append(listed, tag)
		}
	}
	return listed, Verdict{Grant: had.valid[0]}, nil
}

// Catalog lists the repositories of grants in force, sorted: those that a
// grant names, and those of Rules.Repositories that a grant's pattern matches.
// Nobody is asked: a registry such as ECR may have no list to filter.
func (r *Rules) Catalog(grants []auth.Grant) []string {
	now := r.now()
	var listed []string
	for i := range grants {
		pattern := grants[i].Repository
		if !grants[i].ValidAt(now) {
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
