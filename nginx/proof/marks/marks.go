// Package marks finds secrets where they must not be. A run gives its programs
// secrets with random marks, and afterward searches everything that the programs
// wrote for pieces of these marks, also encoded (encode.go). make secrets and
// ansible/deploytest use it.
package marks

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Mark is a secret and its name. It prints as its name, so that no report shows a
// secret.
type Mark struct {
	Name  string
	value string
}

// String returns the name.
func (m Mark) String() string { return m.Name }

// GoString returns the name.
func (m Mark) GoString() string { return m.Name }

// A Set creates secrets and remembers them.
type Set struct {
	random *rand.Rand
	marks  []Mark
}

// NewSet makes a Set. The same seed gives the same secrets, in the same order.
func NewSet(seed uint64) *Set {
	return &Set{random: rand.New(rand.NewPCG(seed, 0))}
}

// length of a secret from New and Awkward, in bytes: two pieces.
const length = 2 * piece

// New creates a secret of the characters of a bearer token (RFC 6750, section 2.1).
// Some of them change in URLs, so that its URL form differs from the plain one.
func (s *Set) New(name string) string {
	return s.create(name, "abcdefghijklmnopqrstuvwxyz0123456789", "+/~")
}

// Awkward creates a secret with characters that are escaped in JSON, in URLs, and in
// nginx's logs. It is no bearer token.
func (s *Set) Awkward(name string) string {
	return s.create(name, "abcdefghijklmnopqrstuvwxyz0123456789", `"\<&% '`)
}

// create makes a secret with one of the special characters in every five.
func (s *Set) create(name, usual, special string) string {
	var b strings.Builder
	for i := 0; b.Len() < length; i++ {
		if i%5 == 2 {
			b.WriteByte(special[s.random.IntN(len(special))])
		} else {
			b.WriteByte(usual[s.random.IntN(len(usual))])
		}
	}
	s.Add(name, b.String())
	return b.String()
}

// Add remembers a secret that somebody else made. It must be random throughout:
// each piece of it counts as a finding. Adding the same secret again does nothing.
func (s *Set) Add(name, value string) {
	for _, m := range s.marks {
		if m.value == value {
			return
		}
	}
	if len(value) < piece {
		panic(fmt.Sprintf("marks: %s has %d bytes; a secret needs at least %d, or it would be found by chance", name, len(value), piece))
	}
	s.marks = append(s.marks, Mark{name, value})
}

// Len is the number of secrets.
func (s *Set) Len() int { return len(s.marks) }
