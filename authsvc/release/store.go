package release

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// errFull means that what is to be learned does not fit beside what a single
// release needs.
var errFull = errors.New("more digests than fit: release.max_digests is too small")

// A store is what is known: for each repository its tags, the digests that
// these have or had, and what those reach. Nothing in it asks anybody.
//
// A digest of two repositories is two nodes, which no edge connects, so that
// what is known in one repository cannot open anything in another.
//
// Nodes and edges are only ever added. When there are too many, compact makes
// a new store of what was used last.
type store struct {
	mu   sync.RWMutex
	max  int // nodes
	seed maphash.Seed
	// generation counts the compactions. What was complete before one may no
	// longer be.
	generation uint64
	// changes counts what has been learned: what could not be reached may now
	// be.
	changes uint64
	memos   memos
	graph
}

// A graph is the part of a store that compact makes anew.
type graph struct {
	repositories map[string]*repository
	byID         []*repository

	table     []uint32 // hash table of nodes by repository and digest
	nodes     arena[node]
	tails     map[uint32][32]byte // of the nodes whose digest is a sha512
	manifests arena[manifestNode]
	parents   arena[parent]
	children  arena[related]
	referrers arena[link]
	bindings  arena[binding]
}

// A node is a digest in a repository.
type node struct {
	digest     [32]byte
	repository uint32 // index of byID; longDigest is set for sha512
	parents    uint32 // first of its parents
	manifest   uint32 // its manifestNode; 0 if it is not known to be a manifest
}

const longDigest = 1 << 31

// A manifestNode is what a node has more if it is a manifest.
type manifestNode struct {
	node uint32
	// children are count entries from first, valid if the state is learned.
	first, count uint32
	referrers    uint32 // first of the manifests that refer to it
	bindings     uint32 // first of the tags that have or had it
	state        state
	// checked is when it was last not there, referred when its referrers were
	// last asked for, in Unix nanoseconds; 0 for never.
	checked, referred int64
}

// A state tells what is known of a manifest.
type state uint8

const (
	unlearned state = iota // it has been named, but not fetched
	learned                // it has been fetched; what it reaches is known for good
	absent                 // an index names it, and the registry does not have it
)

// A relation tells how a parent reaches its child.
type relation uint32

const (
	asManifest relation = iota // it lists it
	asReferrer                 // it is referred to by it
	asBlob                     // it has its bytes as configuration or layer
)

// A related is a node and a relation to it.
type related uint32

// nodeBits of a related are the node; the others are the relation.
const nodeBits = 30

func relate(id uint32, as relation) related { return related(id | uint32(as)<<nodeBits) }

func (r related) node() uint32 { return uint32(r) & (1<<nodeBits - 1) }
func (r related) as() relation { return relation(r >> nodeBits) }

// A parent is an entry in the list of what reaches a node, a link one in the
// list of what refers to a manifest.
type (
	parent struct {
		of   related
		next uint32
	}
	link struct{ node, next uint32 }
)

// A binding is that a tag has, or had, a manifest.
type binding struct {
	tag  *tag
	node uint32
	next uint32 // of the same manifest
	seen int64  // when the registry last said so, in Unix nanoseconds
}

// A repository is what is known of one, beside its nodes.
type repository struct {
	id   uint32
	key  string // host and name
	tags map[string]*tag
	// names are all tags, sorted; nil if unknown. They are replaced, never
	// changed. missing is that the registry says there is no such repository.
	names   []string
	missing bool
	listed  int64 // when, in Unix nanoseconds
	// missed is when a tag was last asked for that could not be noted.
	missed atomic.Int64
}

// A tag is what is known of one.
type tag struct {
	name     string
	checked  int64    // when the registry was last asked for its digest
	bindings []uint32 // what it has or had; the last is what it has
	gone     bool     // the registry does not have it any more
	// asked is when a customer was last let through to it: what it had before
	// may no longer be what the customer has got. used is for eviction.
	asked, used atomic.Int64
}

func newStore(maximum int) *store {
	seed := maphash.MakeSeed()
	return &store{max: maximum, seed: seed, memos: memos{seed: seed}, graph: newGraph()}
}

func newGraph() graph {
	return graph{
		repositories: map[string]*repository{},
		byID:         []*repository{nil},
		table:        make([]uint32, 1<<10),
		tails:        map[uint32][32]byte{},
	}
}

// repository returns a repository's record, a new one if there is none.
func (s *store) repository(key string) *repository {
	r := s.repositories[key]
	if r == nil {
		r = &repository{id: uint32(len(s.byID)), key: key, tags: map[string]*tag{}} //nolint:gosec // bounded by maxRepositories
		s.repositories[key] = r
		s.byID = append(s.byID, r)
	}
	return r
}

// tag returns a tag's record, a new one if there is none.
func (r *repository) tag(name string) *tag {
	t := r.tags[name]
	if t == nil {
		t = &tag{name: name}
		r.tags[name] = t
	}
	return t
}

// hash spreads nodes over the table. Digests are spread already, but whoever
// makes an image can choose digests that are nowhere.
func (s *store) hash(repository uint32, d digest) uint64 {
	var key [36]byte
	binary.LittleEndian.PutUint32(key[:], repository)
	copy(key[4:], d.head[:])
	return maphash.Bytes(s.seed, key[:])
}

// find returns a node, 0 if there is none.
func (s *store) find(r *repository, d digest) uint32 {
	i, _ := s.slot(r, d)
	return i
}

// slot returns a node, 0 if there is none, and its slot of the table.
func (s *store) slot(r *repository, d digest) (id uint32, at int) {
	id32 := r.id
	if d.long {
		id32 |= longDigest
	}
	mask := len(s.table) - 1
	at = int(s.hash(id32, d)) & mask //nolint:gosec // masked
	for ; s.table[at] != 0; at = (at + 1) & mask {
		n := s.nodes.at(s.table[at])
		if n.digest == d.head && n.repository == id32 && (!d.long || s.tails[s.table[at]] == d.tail) {
			return s.table[at], at
		}
	}
	return 0, at
}

// intern returns the node of a digest, a new one if there is none.
func (s *store) intern(r *repository, d digest) uint32 {
	id, at := s.slot(r, d)
	if id != 0 {
		return id
	}
	if s.nodes.len() >= len(s.table)*3/4 {
		s.grow()
		_, at = s.slot(r, d)
	}
	n := node{digest: d.head, repository: r.id}
	if d.long {
		n.repository |= longDigest
	}
	id = s.nodes.add(n)
	if d.long {
		s.tails[id] = d.tail
	}
	s.table[at] = id
	return id
}

// grow doubles the table.
func (s *store) grow() {
	old := s.table
	s.table = make([]uint32, 2*len(old))
	mask := len(s.table) - 1
	for _, id := range old {
		if id == 0 {
			continue
		}
		n := s.nodes.at(id)
		at := int(s.hash(n.repository, digest{head: n.digest})) & mask //nolint:gosec // masked
		for s.table[at] != 0 {
			at = (at + 1) & mask
		}
		s.table[at] = id
	}
}

// manifest returns what a node has as a manifest, making it one.
func (s *store) manifest(id uint32) *manifestNode {
	n := s.nodes.at(id)
	if n.manifest == 0 {
		n.manifest = s.manifests.add(manifestNode{node: id})
	}
	return s.manifests.at(n.manifest)
}

// digest returns a node's digest.
func (s *store) digest(id uint32) digest {
	n := s.nodes.at(id)
	d := digest{head: n.digest}
	if n.repository&longDigest != 0 {
		d.long, d.tail = true, s.tails[id]
	}
	return d
}

// learn notes what a manifest reaches, once.
func (s *store) learn(key string, d digest, c content) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(key, len(c.manifests)+len(c.blobs)+2); err != nil {
		return err
	}
	r := s.repository(key)
	id := s.intern(r, d)
	if s.manifest(id).state == learned {
		return nil
	}
	reached := make([]related, 0, len(c.manifests)+len(c.blobs))
	for _, d := range c.manifests {
		reached = append(reached, relate(s.intern(r, d), asManifest))
	}
	for _, d := range c.blobs {
		reached = append(reached, relate(s.intern(r, d), asBlob))
	}
	if c.refers {
		s.refer(s.intern(r, c.subject), id)
	}
	s.adopt(id, reached)
	s.manifest(id).state = learned
	s.changes++
	return nil
}

// adopt notes the children of a manifest.
func (s *store) adopt(id uint32, children []related) {
	m := s.manifest(id)
	for i, c := range children {
		if c.as() == asManifest {
			s.manifest(c.node())
		}
		place := s.children.add(c)
		if i == 0 {
			m.first = place
		}
		m.count++
		s.reach(id, c.node(), c.as())
	}
}

// reach notes that one node reaches another.
func (s *store) reach(from, to uint32, as relation) {
	n := s.nodes.at(to)
	n.parents = s.parents.add(parent{of: relate(from, as), next: n.parents})
}

// refer notes that a manifest refers to another, once.
func (s *store) refer(subject, from uint32) {
	s.manifest(from)
	m := s.manifest(subject)
	for i := s.nodes.at(from).parents; i != 0; i = s.parents.at(i).next {
		if s.parents.at(i).of == relate(subject, asReferrer) {
			return
		}
	}
	m.referrers = s.referrers.add(link{node: from, next: m.referrers})
	s.reach(subject, from, asReferrer)
}

// absent notes that the registry does not have a manifest.
func (s *store) absent(key string, d digest, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(key, 1); err != nil {
		return err
	}
	if m := s.manifest(s.intern(s.repository(key), d)); m.state != learned {
		m.state, m.checked = absent, now.UnixNano()
	}
	return nil
}

// refers notes all that refers to a manifest, as of asked.
func (s *store) refers(key string, subject digest, from []digest, asked time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(key, len(from)+1); err != nil {
		return err
	}
	r := s.repository(key)
	id := s.intern(r, subject)
	for _, d := range from {
		s.refer(id, s.intern(r, d))
	}
	m := s.manifest(id)
	m.referred = max(m.referred, asked.UnixNano())
	s.changes++
	return nil
}

// maxBindings bounds the digests that a tag is remembered to have had. Within
// the while for which one stays allowed, a tag hardly moves as often.
const maxBindings = 64

// bind notes that a tag had a digest when it was asked for.
func (s *store) bind(key, name string, d digest, asked time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(key, 1); err != nil {
		return err
	}
	r := s.repository(key)
	t := r.tag(name)
	at := asked.UnixNano()
	if at < t.checked {
		return nil // a later answer has come first
	}
	t.checked, t.gone = at, false
	s.changes++
	id := s.intern(r, d)
	m := s.manifest(id)
	for i, place := range t.bindings {
		if b := s.bindings.at(place); b.node == id {
			b.seen = at
			t.bindings = append(append(t.bindings[:i:i], t.bindings[i+1:]...), place)
			return nil
		}
	}
	m.bindings = s.bindings.add(binding{tag: t, node: id, next: m.bindings, seen: at})
	t.bindings = append(t.bindings, m.bindings)
	if len(t.bindings) > maxBindings {
		s.bindings.at(t.bindings[0]).seen = 0
		t.bindings = t.bindings[1:]
	}
	return nil
}

// unbind notes that the registry had no such tag when it was asked.
func (s *store) unbind(key, name string, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repositories[key]
	if r == nil || r.tags[name] == nil {
		return
	}
	t := r.tags[name]
	if at := asked.UnixNano(); at >= t.checked {
		t.checked, t.gone = at, true
	}
	if len(t.bindings) == 0 {
		delete(r.tags, name)
	}
}

// list notes a repository's tags; none and missing if there is no such
// repository. names are sorted, and the store's from now on.
func (s *store) list(key string, names []string, missing bool, asked time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(key, 0); err != nil {
		return err
	}
	r := s.repository(key)
	if at := asked.UnixNano(); at >= r.listed {
		r.names, r.missing, r.listed = names, missing, at
	}
	return nil
}
