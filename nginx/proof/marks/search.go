package marks

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// A Finding is a secret in a place, or a piece of it. It does not contain the
// secret.
type Finding struct {
	Kind, Place string // such as "log", and the file
	Mark        string // its name
	Form        Form
	Offset      int64 // in bytes from the beginning of the place
}

// A Tally counts what was searched.
type Tally struct {
	Places int
	Bytes  int64
	// Unreadable places could not be searched, such as another user's process.
	Unreadable int
}

// A Searcher searches places for all secrets of a Set. It is not safe for
// concurrent use.
type Searcher struct {
	needles  map[uint32][]needle          // by their first four bytes
	filter   [1 << filterBits / 64]uint64 // a bit for each hash of such bytes
	longest  int
	known    int // secrets of the Set
	findings []Finding
	seen     map[Finding]bool // with Offset 0
	tallies  map[string]Tally
	buffer   []byte // of Search
}

// A needle is a piece of a secret, in one form.
type needle struct {
	text string
	mark string
	form Form
}

// Searcher makes a Searcher for the secrets that s has now.
func (s *Set) Searcher() *Searcher {
	r := &Searcher{needles: map[uint32][]needle{}, seen: map[Finding]bool{}, tallies: map[string]Tally{}}
	r.Learn(s)
	return r
}

// Learn adds the secrets that s has got since.
func (r *Searcher) Learn(s *Set) {
	for _, m := range s.marks[r.known:] {
		r.learn(m)
	}
	r.known = len(s.marks)
}

func (r *Searcher) learn(m Mark) {
	known := map[string]bool{}
	for _, form := range forms {
		for _, p := range pieces(m.value) {
			// Two forms may write a piece alike; the first one has it.
			if text := form.write(p); !known[text] {
				known[text] = true
				r.add(needle{text, m.Name, form.name})
			}
		}
	}
}

func (r *Searcher) add(n needle) {
	first := binary.LittleEndian.Uint32([]byte(n.text[:4]))
	r.needles[first] = append(r.needles[first], n)
	h := hash(first)
	r.filter[h/64] |= 1 << (h % 64)
	r.longest = max(r.longest, len(n.text))
}

// filterBits makes the filter small enough for a processor's first cache, and sparse
// enough for thousands of needles.
const filterBits = 17

// hash spreads four bytes over the filter's bits.
func hash(first uint32) uint32 { return first * 0x9e3779b1 >> (32 - filterBits) }

// chunk is how much of a place is in memory at once, in bytes.
const chunk = 1 << 20

// Search searches one place.
func (r *Searcher) Search(kind, place string, from io.Reader) error {
	if cap(r.buffer) < chunk+r.longest { // most places are small, and there are many
		r.buffer = make([]byte, 0, chunk+r.longest)
	}
	buffer := r.buffer[:0]
	var base int64 // the offset of the buffer
	t := r.tallies[kind]
	t.Places++
	defer func() { r.tallies[kind] = t }()
	for {
		n, err := io.ReadFull(from, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		t.Bytes += int64(n)
		r.scan(kind, place, buffer, base)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// A secret may lie across the end of the buffer.
		keep := min(len(buffer), r.longest-1)
		base += int64(len(buffer) - keep)
		buffer = append(buffer[:0], buffer[len(buffer)-keep:]...)
	}
}

// Text searches one place that is in memory.
func (r *Searcher) Text(kind, place, text string) {
	_ = r.Search(kind, place, strings.NewReader(text)) // it cannot fail
}

func (r *Searcher) scan(kind, place string, b []byte, base int64) {
	if len(b) < 4 {
		return
	}
	filter := &r.filter
	next := uint32(b[0])<<8 | uint32(b[1])<<16 | uint32(b[2])<<24 // then byte by byte
	for i, c := range b[3:] {
		first := next>>8 | uint32(c)<<24
		next = first
		if h := hash(first); filter[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, n := range r.needles[first] {
			if len(b)-i >= len(n.text) && string(b[i:i+len(n.text)]) == n.text {
				r.found(Finding{kind, place, n.mark, n.form, 0}, base+int64(i))
			}
		}
	}
}

// found notes the first place of a secret in each form.
func (r *Searcher) found(f Finding, at int64) {
	if r.seen[f] {
		return
	}
	r.seen[f] = true
	f.Offset = at
	r.findings = append(r.findings, f)
}

// Unreadable counts a place that could not be searched.
func (r *Searcher) Unreadable(kind string) {
	t := r.tallies[kind]
	t.Unreadable++
	r.tallies[kind] = t
}

// Findings returns what was found, in the order of the search.
func (r *Searcher) Findings() []Finding { return slices.Clone(r.findings) }

// Tallies returns what was searched, by kind.
func (r *Searcher) Tallies() map[string]Tally { return maps.Clone(r.tallies) }
