package release

// chunkBits is how many entries a chunk of an arena has, as a power of two: a
// repository's few should not cost pages of memory, and a million should not
// be copied whenever they grow.
const chunkBits = 10

// An arena is a list that only grows, of values without pointers, so that the
// garbage collector has nothing to look at. Entry 0 is never used: as a
// reference it means none.
type arena[T any] struct {
	chunks [][]T
	n      uint32 // entries, the one that is never used included
}

// add appends v and returns its place.
func (a *arena[T]) add(v T) uint32 {
	if a.n == 0 {
		a.n = 1
	}
	i := a.n
	if int(i>>chunkBits) == len(a.chunks) {
		a.chunks = append(a.chunks, make([]T, 1<<chunkBits))
	}
	*a.at(i) = v
	a.n++
	return i
}

// at returns the entry at a place that add has returned.
func (a *arena[T]) at(i uint32) *T { return &a.chunks[i>>chunkBits][i&(1<<chunkBits-1)] }

// len is the number of entries.
func (a *arena[T]) len() int { return max(int(a.n)-1, 0) }
