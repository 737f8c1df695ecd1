// Package graph holds what is known of the registry: for each repository a
// Graph of its tags, the digests that they have or had, and what those
// contain. It sends no requests. Package release, one level up, decides when to ask
// the registry, and stores the answers here.
//
// A Store holds the graphs within its bounds, and evicts the least recently used.
// No edge crosses from one repository to another, so what is known of one
// cannot open anything in another, and forgetting a repository is deleting a
// map entry.
//
// Where to read on: find.go answers the question that all of this is for,
// which tag leads to a digest; store.go adds what was learned; trim.go
// forgets; file.go survives a restart.
package graph

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Graph is what is known of one repository. Digests and edges are only ever
// added; Store replaces a Graph to forget a part of it.
//
// Its exported methods only read, and are safe for concurrent use.
type Graph struct {
	generation uint64
	used       atomic.Int64 // when somebody last needed it, in Unix nanoseconds
	memo       *memo        // the Store's
	changes    uint64       // how often it was changed

	// writing is held by whoever changes the graph, copies or replaces it. A
	// copy takes long, and a writer that waited for mu would stop all readers.
	writing sync.Mutex
	mu      sync.RWMutex

	// A million digests are to fit into 150 MB, so nodes are indexes into
	// slices without pointers, which the garbage collector need not scan.
	ids       map[[32]byte]id // of sha256
	long      map[Digest]id   // of sha512
	longOf    map[id]Digest   // the reverse of long
	nodes     []node
	parents   []parent // the first is never used: 0 means none
	manifests map[id]*manifest
	tags      map[string]*tag

	names  []string     // all tags, sorted; replaced, never changed
	gone   bool         // the registry says that the repository is gone
	listed int64        // when names and gone were asked for; 0 for never
	missed atomic.Int64 // when a customer was last let through to a tag of which no note could be made

	// When the registry last told what a tag has, and when it last refused to.
	told, refused int64
}

// An id is the index of a digest in Graph.nodes.
type id uint32

// A node is a digest.
type node struct {
	digest  [32]byte // sha256, or the first half of sha512
	parents uint32   // index of the first in Graph.parents
}

// A parent is an entry of the list of edges that lead up from a node.
type parent struct {
	edge edge
	next uint32 // index of the next in Graph.parents
}

// A relation tells how an edge leads from a parent to its child.
type relation uint32

const (
	asManifest relation = iota // an index lists it
	asReferrer                 // it has the parent as its subject
	asBlob                     // it is a configuration or a layer
)

// An edge is a node at its end, and a relation.
type edge uint32

const relationShift = 30

func edgeTo(to id, as relation) edge { return edge(uint32(to) | uint32(as)<<relationShift) }
func (e edge) node() id              { return id(e & (1<<relationShift - 1)) }
func (e edge) relation() relation    { return relation(e >> relationShift) }
func (e edge) is(as relation) bool   { return e.relation() == as }

// A manifest is what else is known of a node that is a manifest.
type manifest struct {
	status     status
	schema     schema
	children   []edge // what it lists and has, once it has been fetched
	referrers  []id
	bindings   []*binding // the tags that have or had it
	notFoundAt int64      // when the registry last did not have it, in Unix nanoseconds
	askedAt    int64      // when its referrers were last asked for
}

// A status says what is known of a manifest.
type status uint8

const (
	named   status = iota // something points to it
	fetched               // its children are known for good
	absent                // the registry does not have it
)

// A tag is what is known of a tag.
type tag struct {
	name     string
	checked  int64      // when the registry was last asked for its digest
	bindings []*binding // its current and previous manifests, the current one last
	gone     bool       // the registry no longer has it
	refused  bool       // the registry refused to tell what it has, so nothing counts that it had
	*use
}

// A use is when a tag was last needed. A copy of the graph shares it.
type use struct {
	asked atomic.Int64 // when a customer was last let through to the tag
	found atomic.Int64 // when it last allowed a digest
	// failed is when the registry last failed to tell what it has.
	failed atomic.Int64
}

// A binding records that a tag has or had a manifest.
type binding struct {
	tag  *tag
	node id
	seen int64 // when the registry last said so, in Unix nanoseconds
}

// maxBindings bounds the remembered digests of a tag. A tag hardly ever moves this
// often within the time for which its old content stays allowed.
const maxBindings = 64

func newGraph(generation uint64, m *memo) *Graph {
	return &Graph{
		generation: generation, memo: m,
		ids: map[[32]byte]id{}, long: map[Digest]id{}, longOf: map[id]Digest{},
		parents: make([]parent, 1), manifests: map[id]*manifest{}, tags: map[string]*tag{},
	}
}

// find returns a digest's node.
func (g *Graph) find(d Digest) (id, bool) {
	if d.long {
		at, ok := g.long[d]
		return at, ok
	}
	at, ok := g.ids[d.head]
	return at, ok
}

// node returns a digest's node, a new one if there is none.
func (g *Graph) node(d Digest) id {
	at, ok := g.find(d)
	if ok {
		return at
	}
	at = id(len(g.nodes)) //nolint:gosec // bounded by Store.max
	g.nodes = append(g.nodes, node{digest: d.head})
	if d.long {
		g.long[d], g.longOf[at] = at, d
	} else {
		g.ids[d.head] = at
	}
	return at
}

// digest returns a node's digest.
func (g *Graph) digest(at id) Digest {
	if d, ok := g.longOf[at]; ok {
		return d
	}
	return Digest{head: g.nodes[at].digest}
}

// digests returns the digests of nodes.
func (g *Graph) digests(nodes []id) []Digest {
	found := make([]Digest, 0, len(nodes))
	for _, at := range nodes {
		found = append(found, g.digest(at))
	}
	return found
}

// manifest returns what is known of a node as a manifest, making it one.
func (g *Graph) manifest(at id) *manifest {
	m := g.manifests[at]
	if m == nil {
		m = &manifest{}
		g.manifests[at] = m
	}
	return m
}

// addParent adds an edge up from a node.
func (g *Graph) addParent(to id, e edge) {
	g.parents = append(g.parents, parent{e, g.nodes[to].parents})
	g.nodes[to].parents = uint32(len(g.parents) - 1) //nolint:gosec // bounded by memory: 8 bytes each
}

// learn notes the children of a manifest, once.
func (g *Graph) learn(d Digest, c Content) {
	at := g.node(d)
	m := g.manifest(at)
	if m.schema == unread {
		m.schema = c.schema()
	}
	if m.status == fetched {
		return
	}
	m.status = fetched
	children := make([]edge, 0, len(c.Manifests)+len(c.Blobs))
	for _, child := range c.Manifests {
		children = append(children, edgeTo(g.node(child), asManifest))
	}
	for _, child := range c.Blobs {
		children = append(children, edgeTo(g.node(child), asBlob))
	}
	g.adopt(at, children)
	if c.Subject != nil {
		g.addReferrer(g.node(*c.Subject), at)
	}
}

// adopt notes the edges down from a manifest, and back.
func (g *Graph) adopt(at id, children []edge) {
	g.manifest(at).children = children
	for _, e := range children {
		g.addParent(e.node(), edgeTo(at, e.relation()))
	}
}

// addReferrer notes that a manifest has another as its subject, once.
func (g *Graph) addReferrer(subject, from id) {
	e := edgeTo(subject, asReferrer)
	for i := g.nodes[from].parents; i != 0; i = g.parents[i].next {
		if g.parents[i].edge == e {
			return
		}
	}
	m := g.manifest(subject)
	m.referrers = append(m.referrers, from)
	g.addParent(from, e)
}

// bind notes that a tag had a digest when the registry was asked for it.
func (g *Graph) bind(name string, d Digest, asked time.Time) {
	t, at := g.tags[name], asked.UnixNano()
	if t == nil {
		t = &tag{name: name, use: &use{}}
		g.tags[name] = t
	}
	if at < t.checked {
		return // a later answer has come first
	}
	t.checked, t.gone, t.refused = at, false, false
	g.told = max(g.told, at)
	b := &binding{tag: t, node: g.node(d)}
	if i := slices.IndexFunc(t.bindings, func(old *binding) bool { return old.node == b.node }); i >= 0 {
		b = t.bindings[i]
		t.bindings = slices.Delete(t.bindings, i, i+1)
	} else {
		m := g.manifest(b.node)
		m.bindings = append(m.bindings, b)
	}
	b.seen = at
	t.bindings = append(t.bindings, b)
	if len(t.bindings) > maxBindings {
		m := g.manifests[t.bindings[0].node]
		m.bindings = slices.DeleteFunc(m.bindings, func(b *binding) bool { return b == t.bindings[0] })
		t.bindings = slices.Delete(t.bindings, 0, 1)
	}
}

// unbind notes that the registry had no such tag when it was asked.
func (g *Graph) unbind(name string, asked time.Time) {
	if t, at := g.tags[name], asked.UnixNano(); t != nil && at >= t.checked {
		t.checked, t.gone, t.refused = at, true, false
	}
}

// touch notes that somebody needs the graph.
func (g *Graph) touch(now time.Time) {
	if at := now.UnixNano(); at > g.used.Load() {
		g.used.Store(at)
	}
}
