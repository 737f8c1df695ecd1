package entitlement

import (
	"slices"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// rights are a customer's grants in one repository at one moment.
type rights struct {
	shelf *auth.Shelf
	valid tags
	// ended are in the order in which a refusal names them: the last to expire
	// first, and withdrawn ones after all that the customer can renew.
	ended tags
}

// rightsAt splits the grants into those in force and those that have ended.
func rightsAt(shelf *auth.Shelf, now time.Time) rights {
	valid, ended := shelf.At(now)
	return rights{shelf, tags{valid}, tags{ended}}
}

func (r rights) none() bool { return r.valid.Len() == 0 && r.ended.Len() == 0 }

// tags presents grants as the tags that they match. They implement release.Tags:
// grants do not change, and rightsAt has already checked whether they are in force.
type tags struct{ auth.Range }

// Match implements release.Tags.
func (t tags) Match(tag string) bool {
	_, ok := t.ForTag(tag)
	return ok
}

// Key implements release.Tags: the patterns, sorted. No pattern contains an
// unescaped zero byte, since no tag or pattern needs one.
func (t tags) Key() string {
	globs := make([]string, 0, t.Len())
	for _, g := range t.All() {
		globs = append(globs, strings.ReplaceAll(g.Tag.String(), "\x00", "\x00\x00"))
	}
	slices.Sort(globs)
	return strings.Join(slices.Compact(globs), "\x00 ")
}
