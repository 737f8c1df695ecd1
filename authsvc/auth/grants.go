package auth

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Grant is the right to pull matching tags from matching repositories until it
// expires.
type Grant struct {
	// Repository and Tag are patterns as path.Match has them: "*" does not
	// cross a "/".
	Repository, Tag Pattern
	// Expires is the first moment at which the grant is no longer valid; zero
	// means never.
	Expires time.Time
	// Withdrawn: the vendor ended the license, whatever Expires says.
	Withdrawn bool
	// License is the vendor's name for the license that gives the grant.
	License string
}

// ValidAt says whether the grant is in force at t.
func (g Grant) ValidAt(t time.Time) bool {
	return !g.Withdrawn && (g.Expires.IsZero() || t.Before(g.Expires))
}

// Grants are a customer's grants, indexed once for many decisions: a decision takes
// no longer with many grants than with few. The zero value has none. Grants are
// shared and immutable.
type Grants struct{ index *index }

type index struct {
	list []Grant
	// named are the grants of a repository without wildcards, by its name;
	// patterns are the others. Both are indexes of list.
	named    map[string][]int
	patterns []int

	mu      sync.Mutex
	shelves map[string]*Shelf
	shelved int // grants on shelves
}

// maxShelves bounds the repositories of which one customer's grants are kept
// ready, and shelvedShare how often each of many grants may lie there: a pattern
// puts them on the shelf of each repository that the customer invents.
const (
	maxShelves   = 64
	shelvedShare = 4
)

// NewGrants makes Grants of a list.
func NewGrants(list ...Grant) Grants {
	if len(list) == 0 {
		return Grants{}
	}
	x := &index{list: list, named: map[string][]int{}, shelves: map[string]*Shelf{}}
	for i, g := range list {
		if name := g.Repository.String(); isLiteral(name) {
			x.named[name] = append(x.named[name], i)
		} else {
			x.patterns = append(x.patterns, i)
		}
	}
	return Grants{x}
}

func isLiteral(glob string) bool { return !strings.ContainsAny(glob, `*?[\`) }

// Len is the number of grants.
func (g Grants) Len() int {
	if g.index == nil {
		return 0
	}
	return len(g.index.list)
}

// All are the grants, in the order in which they were given.
func (g Grants) All() iter.Seq[Grant] {
	return func(yield func(Grant) bool) {
		for i := range g.Len() {
			if !yield(g.index.list[i]) {
				return
			}
		}
	}
}

// In returns the grants for one repository.
func (g Grants) In(repository string) *Shelf {
	if g.index == nil {
		return &Shelf{}
	}
	x := g.index
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.shelves[repository]
	if s == nil {
		s = x.shelf(repository)
		if len(x.shelves) >= maxShelves || x.shelved+len(s.grants) > max(maxShelves, shelvedShare*len(x.list)) {
			clear(x.shelves)
			x.shelved = 0
		}
		x.shelves[repository] = s
		x.shelved += len(s.grants)
	}
	return s
}

func (x *index) shelf(repository string) *Shelf {
	s := &Shelf{}
	for _, i := range x.named[repository] {
		if x.list[i].Repository.Match(repository) {
			s.grants = append(s.grants, x.list[i])
		}
	}
	for _, i := range x.patterns {
		if x.list[i].Repository.Match(repository) {
			s.grants = append(s.grants, x.list[i])
		}
	}
	s.sort()
	return s
}

// A Shelf is the grants for one repository. They lie in the order in which they
// end, the last first and withdrawn ones at the end, so that at any moment
// those in force come before those that have ended.
type Shelf struct {
	grants []Grant
	named  map[string]int // the first grant of a tag without wildcards
	globs  []int          // the first grant of each other pattern of tags
	more   []int          // for each grant, the next with the same pattern; 0 for none
}

func (s *Shelf) sort() {
	slices.SortStableFunc(s.grants, func(a, b Grant) int {
		switch {
		case a.Withdrawn != b.Withdrawn:
			if a.Withdrawn {
				return 1
			}
			return -1
		case a.Expires.IsZero() != b.Expires.IsZero():
			if a.Expires.IsZero() {
				return -1
			}
			return 1
		}
		return b.Expires.Compare(a.Expires)
	})
	s.named, s.more = map[string]int{}, make([]int, len(s.grants))
	last := map[string]int{}
	for i, g := range s.grants {
		glob := g.Tag.String()
		if before, ok := last[glob]; ok {
			s.more[before] = i
		} else if isLiteral(glob) {
			s.named[glob] = i
		} else {
			s.globs = append(s.globs, i)
		}
		last[glob] = i
	}
}

// At splits the grants into those in force at a moment and those that have
// ended.
func (s *Shelf) At(t time.Time) (valid, ended Range) {
	n, _ := slices.BinarySearchFunc(s.grants, t, func(g Grant, t time.Time) int {
		if g.ValidAt(t) {
			return -1
		}
		return 1
	})
	return Range{s, 0, n}, Range{s, n, len(s.grants)}
}

// A Range is some of the grants of a Shelf.
type Range struct {
	shelf    *Shelf
	from, to int
}

// Len is the number of grants.
func (r Range) Len() int { return r.to - r.from }

// First is the grant that ends last.
func (r Range) First() Grant { return r.shelf.grants[r.from] }

// All are the grants.
func (r Range) All() []Grant { return r.shelf.grants[r.from:r.to] }

// ForTag returns the grant that matches a tag and ends last.
func (r Range) ForTag(tag string) (Grant, bool) {
	if tag == "" || r.Len() == 0 {
		return Grant{}, false
	}
	best := r.to
	if i, ok := r.shelf.named[tag]; ok && r.shelf.grants[i].Tag.Match(tag) {
		best = min(best, r.next(i))
	}
	for _, i := range r.shelf.globs {
		if i >= best {
			break // and so are all that follow
		}
		if r.shelf.grants[i].Tag.Match(tag) {
			best = min(best, r.next(i))
		}
	}
	if best == r.to {
		return Grant{}, false
	}
	return r.shelf.grants[best], true
}

// next returns the first grant within the range of those with one pattern, of
// which the first is i; r.to if there is none.
func (r Range) next(i int) int {
	for i < r.from {
		if i = r.shelf.more[i]; i == 0 {
			return r.to
		}
	}
	return i
}
