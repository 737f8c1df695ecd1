package entitlement

import (
	"slices"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// rights are a customer's grants in one repository.
type rights struct {
	valid tags
	// ended are in the order in which a refusal names them: the last to expire
	// first, and what was withdrawn after all that the customer can renew.
	ended tags
}

// rightsIn picks the grants for a repository, by whether they are in force.
func rightsIn(repository string, grants []auth.Grant, now time.Time) rights {
	var had rights
	for i := range grants {
		if grants[i].Repository.Match(repository) {
			had.add(grants[i], now)
		}
	}
	had.sort()
	return had
}

// at returns the rights as they are at another moment.
func (r rights) at(now time.Time) rights {
	var had rights
	for _, grants := range [...]tags{r.valid, r.ended} {
		for _, grant := range grants {
			had.add(grant, now)
		}
	}
	had.sort()
	return had
}

func (r *rights) add(grant auth.Grant, now time.Time) {
	if grant.ValidAt(now) {
		r.valid = append(r.valid, grant)
	} else {
		r.ended = append(r.ended, grant)
	}
}

func (r *rights) sort() {
	slices.SortStableFunc(r.ended, func(a, b auth.Grant) int {
		switch {
		case a.Withdrawn == b.Withdrawn:
			return b.Expires.Compare(a.Expires)
		case a.Withdrawn:
			return 1
		}
		return -1
	})
}

func (r rights) none() bool { return len(r.valid) == 0 && len(r.ended) == 0 }

// tags are grants as the tags that they match. They are release.Tags: grants
// do not change, and whether they are in force has been asked before.
type tags []auth.Grant

// Match implements release.Tags.
func (t tags) Match(tag string) bool {
	_, ok := t.forTag(tag)
	return ok
}

// forTag returns the first grant that matches a tag.
func (t tags) forTag(tag string) (auth.Grant, bool) {
	if tag == "" {
		return auth.Grant{}, false
	}
	for i := range t {
		if t[i].Tag.Match(tag) {
			return t[i], true
		}
	}
	return auth.Grant{}, false
}

// Key implements release.Tags: the patterns, sorted. None of them holds a zero
// byte that is not escaped, since no tag and no pattern needs one.
func (t tags) Key() string {
	globs := make([]string, 0, len(t))
	for i := range t {
		globs = append(globs, strings.ReplaceAll(t[i].Tag.String(), "\x00", "\x00\x00"))
	}
	slices.Sort(globs)
	return strings.Join(slices.Compact(globs), "\x00 ")
}
