package graph

import (
	"errors"
	"hash/maphash"
	"sync"
	"time"
)

// ErrFull means that a single release needs more digests than fit.
var ErrFull = errors.New("release.max_digests is too small")

const (
	// maxRepositories bounds the repositories that are remembered.
	maxRepositories = 10_000
	// maxMissing bounds the remembered names that are not repositories. A
	// customer may invent any name that a license's pattern matches.
	maxMissing = 10_000
)

// A Store holds the graphs of all repositories. A repository's key tells it
// from all others, so it includes the registry's host.
//
// Its methods are safe for concurrent use. Times are when the registry was asked:
// the answer to an earlier request never replaces that to a later one.
type Store struct {
	max int // digests

	mu          sync.RWMutex // taken last, and never held for long
	graphs      map[string]*Graph
	missing     map[string]int64 // when the registry said that there is no such repository
	room        int              // digests in all graphs, and those about to be added
	generations uint64
	memo        *memo

	trimming sync.Mutex // held by whoever makes room

	registries registries
}

// New makes a Store of at most maxDigests digests.
func New(maxDigests int) *Store {
	return &Store{
		max: maxDigests, graphs: map[string]*Graph{}, missing: map[string]int64{},
		memo:       &memo{seed: maphash.MakeSeed(), ends: map[way]end{}},
		registries: registries{known: map[string]*registry{}, hosts: map[string]string{}},
	}
}

// nothing is the graph of an unknown repository.
var nothing = newGraph(0, nil)

// Graph returns what is known of a repository, for reading.
func (s *Store) Graph(key string) *Graph {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if g := s.graphs[key]; g != nil {
		return g
	}
	return nothing
}

// Size is the number of digests that are known.
func (s *Store) Size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.room
}

// Content is what a manifest contains or points to. It follows from the
// manifest's bytes, so it never changes.
type Content struct {
	Manifests []Digest // what an index lists
	Blobs     []Digest // configuration and layers
	Subject   *Digest  // what the manifest belongs to; nil for none
	// Schema1 says that it is one of Docker's schema 1, which carries the name of its
	// repository.
	Schema1 bool
	// unread says that a file of an older version does not know Schema1.
	unread bool
}

// Learn notes the content of a manifest.
func (s *Store) Learn(key string, d Digest, c Content) error {
	n := 1 + len(c.Manifests) + len(c.Blobs)
	if c.Subject != nil {
		n++
	}
	return s.change(key, n, func(g *Graph) { g.learn(d, c) })
}

// Absent notes that the registry did not have a manifest.
func (s *Store) Absent(key string, d Digest, asked time.Time) error {
	return s.change(key, 1, func(g *Graph) {
		if m := g.manifest(g.node(d)); m.status != fetched {
			m.status, m.notFoundAt = absent, asked.UnixNano()
		}
	})
}

// AddReferrers notes manifests that have another as their subject.
func (s *Store) AddReferrers(key string, subject Digest, from []Digest, asked time.Time) error {
	return s.change(key, len(from)+1, func(g *Graph) {
		at := g.node(subject)
		for _, d := range from {
			g.addReferrer(at, g.node(d))
		}
		m := g.manifest(at)
		m.askedAt = max(m.askedAt, asked.UnixNano())
	})
}

// Bind notes that a tag had a digest.
func (s *Store) Bind(key, tag string, d Digest, asked time.Time) error {
	return s.change(key, 1, func(g *Graph) {
		g.bind(tag, d, asked)
		g.touch(asked)
	})
}

// Unbind notes that the registry had no such tag.
func (s *Store) Unbind(key, tag string, asked time.Time) error {
	if s.Graph(key) == nothing {
		return nil
	}
	return s.change(key, 0, func(g *Graph) { g.unbind(tag, asked) })
}

// List notes the tags of a repository. names must be sorted, and must not be changed
// afterward.
func (s *Store) List(key string, names []string, asked time.Time) error {
	return s.list(key, names, false, asked)
}

// Missing notes that there is no such repository. It is stored separately from
// existing repositories, unless it was one.
func (s *Store) Missing(key string, asked time.Time) error {
	s.mu.Lock()
	known := s.graphs[key] != nil
	if !known {
		for other := range s.missing {
			if len(s.missing) < maxMissing {
				break
			}
			delete(s.missing, other)
		}
		s.missing[key] = max(s.missing[key], asked.UnixNano())
	}
	s.mu.Unlock()
	if !known {
		return nil
	}
	return s.list(key, nil, true, asked)
}

func (s *Store) list(key string, names []string, gone bool, asked time.Time) error {
	return s.change(key, 0, func(g *Graph) {
		if at := asked.UnixNano(); at >= g.listed {
			g.names, g.gone, g.listed = names, gone, at
			g.touch(asked)
		}
	})
}

// Names returns a repository's tags, or that it is missing, if that is known
// as of since or later.
func (s *Store) Names(key string, since time.Time) (names []string, missing, ok bool) {
	s.mu.RLock()
	g, at := s.graphs[key], s.missing[key]
	s.mu.RUnlock()
	if g == nil {
		return nil, true, at != 0 && at >= since.UnixNano()
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.names, g.gone, g.listed != 0 && g.listed >= since.UnixNano()
}

// NoteMissed notes that a customer was let through to a tag of which no note
// could be made, so that what is known may be incomplete.
func (s *Store) NoteMissed(key string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missing, key)
	if g := s.graphs[key]; g != nil {
		g.missed.Store(now.UnixNano())
	}
}

// maxTries is how often a change is tried again when what has just been
// forgotten has already been replaced.
const maxTries = 10

// change changes the graph of a repository, to which it adds n digests at
// most.
func (s *Store) change(key string, n int, do func(*Graph)) error {
	if n > s.max {
		return ErrFull
	}
	for range maxTries {
		if g := s.writable(key); g != nil && s.changeGraph(key, g, n, do) {
			return nil
		}
		if err := s.makeRoom(key, n); err != nil {
			return err
		}
	}
	return ErrFull
}

// writable returns the graph of a repository, a new one if there is none; nil
// if there are too many.
func (s *Store) writable(key string) *Graph {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fits(key, 0) {
		return nil
	}
	g := s.graphs[key]
	if g == nil {
		s.generations++
		g = newGraph(s.generations, s.memo)
		s.graphs[key] = g
		delete(s.missing, key)
	}
	return g
}

// changeGraph changes a graph, if it is still the repository's and n digests
// more fit. While it has g.writing, the graph stays the repository's.
func (s *Store) changeGraph(key string, g *Graph, n int, do func(*Graph)) bool {
	g.writing.Lock()
	defer g.writing.Unlock()
	s.mu.Lock()
	ok := s.graphs[key] == g && s.fits(key, n)
	if ok {
		s.room += n
	}
	s.mu.Unlock()
	if !ok {
		return false
	}
	g.mu.Lock()
	before := len(g.nodes)
	do(g)
	added := len(g.nodes) - before
	g.changes++
	g.mu.Unlock()
	s.mu.Lock()
	s.room -= n - added
	s.mu.Unlock()
	return true
}

// fits says whether n more digests of a repository fit. It needs s.mu.
func (s *Store) fits(key string, n int) bool {
	return s.room+n <= s.max && (s.graphs[key] != nil || len(s.graphs) < maxRepositories)
}
