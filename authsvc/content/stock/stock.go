// Package stock knows what the store has: which objects, how large, and when each
// was last used (stock.go); it makes room for new ones (room.go), removes files in
// the background (remove.go), and reads everything again (scrub.go).
package stock

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/object"
)

// Limits bound what is kept.
type Limits struct {
	// MaxBytes bounds the files together, with those that are being written.
	MaxBytes int64
	// MinFree is what stays free on the file system.
	MinFree int64
}

// Options are what a Stock needs.
type Options struct {
	Folder  *disk.Folder
	Limits  Limits
	Logger  *slog.Logger
	Metrics *Metrics
	Now     func() time.Time
}

// An Entry is an object that is there.
type Entry struct {
	ID    object.ID
	Media object.Media
	Size  int64
	// used is when it was last used, and noted when that was last written to disk.
	used, noted time.Time
}

func (e *Entry) path() string { return object.Path(e.ID, e.Media) }

// A Stock is safe for concurrent use. Its lock is never held over a call to the
// file system.
type Stock struct {
	o Options
	// names orders what changes final names, so that what has just been written
	// is not removed instead of what was there before.
	names sync.Mutex

	mu      sync.Mutex
	entries map[object.ID]*list.Element // of *Entry
	order   list.List                   // least recently used first
	bytes   int64                       // of the entries
	// reserved is the size of what is being written, and unwritten what of that
	// is not yet on disk.
	reserved, unwritten int64
	doomed              []doomed
	dooming             int64         // bytes of doomed
	changed             chan struct{} // closed when something was removed
	wake                chan struct{} // something is doomed
}

// Open reads what the folder has.
func Open(o Options) (*Stock, error) {
	s := &Stock{o: o, entries: map[object.ID]*list.Element{}, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
	var found []disk.Found
	err := o.Folder.Walk(
		func(f disk.Found) { found = append(found, f) },
		func(name string) { o.Logger.Warn("a file in the store is not the store's", "file", name) })
	if err != nil {
		return nil, fmt.Errorf("reading what the store has: %w", err)
	}
	slices.SortFunc(found, func(a, b disk.Found) int { return a.Accessed.Compare(b.Accessed) })
	for _, f := range found {
		s.insert(&Entry{ID: f.ID, Media: f.Media, Size: f.Size, used: f.Accessed, noted: f.Accessed})
	}
	o.Metrics.watch(s)
	return s, nil
}

// insert adds an entry as the most recently used, in place of one that is there.
func (s *Stock) insert(e *Entry) {
	s.take(e.ID)
	s.entries[e.ID] = s.order.PushBack(e)
	s.bytes += e.Size
	s.o.Metrics.changed(e.ID.Kind, 1, e.Size)
}

// take removes an entry; nil if it is not there.
func (s *Stock) take(id object.ID) *Entry {
	element := s.entries[id]
	if element == nil {
		return nil
	}
	e := element.Value.(*Entry) //nolint:errcheck,forcetypeassert // the list holds nothing else
	s.order.Remove(element)
	delete(s.entries, id)
	s.bytes -= e.Size
	s.o.Metrics.changed(id.Kind, -1, -e.Size)
	return e
}

// Has says whether an object is there.
func (s *Stock) Has(id object.ID) bool {
	_, ok := s.find(id)
	return ok
}

func (s *Stock) find(id object.ID) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.entries[id]
	if element == nil {
		return Entry{}, false
	}
	return *element.Value.(*Entry), true //nolint:errcheck,forcetypeassert // as above
}

// errWrong means that a file does not have the content that its name says.
var errWrong = errors.New("the content of the file is not that of its name")

// Open opens an object. It returns fs.ErrNotExist if it is not there. One that has
// not the size it had is removed.
func (s *Stock) Open(id object.ID) (disk.File, Entry, error) {
	e, ok := s.find(id)
	if !ok {
		return nil, e, fs.ErrNotExist
	}
	file, err := s.o.Folder.Open(e.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.lost(e)
		return nil, e, err
	case err != nil:
		return nil, e, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, e, errors.Join(err, file.Close())
	case info.Size() != e.Size:
		s.Remove(id, Wrong)
		return nil, e, errors.Join(errWrong, file.Close())
	}
	return file, e, nil
}

// lost forgets an entry whose file somebody else has removed.
func (s *Stock) lost(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[e.ID]; element != nil && element.Value.(*Entry).noted.Equal(e.noted) { //nolint:errcheck,forcetypeassert // as above
		s.take(e.ID)
	}
}

// Keep gives a file its final name, and adds it. Only the name is given under the
// lock: the disk may take its time to write a large file, and meanwhile others must
// be removed.
func (s *Stock) Keep(p *disk.Pending, id object.ID, media object.Media, size int64) error {
	now := s.o.Now()
	e := &Entry{ID: id, Media: media, Size: size, used: now, noted: now}
	if err := p.Settle(e.path()); err != nil {
		return err
	}
	if err := s.name(p, e); err != nil {
		return err
	}
	if err := p.SyncName(e.path()); err != nil {
		s.Remove(id, Unsynced) // complete, but who knows what the disk does next
		return err
	}
	return nil
}

func (s *Stock) name(p *disk.Pending, e *Entry) error {
	s.names.Lock()
	defer s.names.Unlock()
	if err := p.Name(e.path()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert(e)
	return nil
}

// noteEvery is how often the use of a file is written to disk, so that the order
// survives a restart.
const noteEvery = time.Hour

// Used makes the objects with a digest the most recently used. It says whether
// there are any.
func (s *Stock) Used(d object.Digest) bool {
	known := false
	for _, kind := range []object.Kind{object.Blob, object.Manifest} {
		path, ok := s.use(object.ID{Kind: kind, Digest: d})
		known = known || ok
		if path == "" {
			continue
		}
		if err := s.o.Folder.Touch(path, s.o.Now()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Logger.Warn("noting the use of a file failed", "error", err)
		}
	}
	return known
}

// use returns the path of an object whose use is to be noted.
func (s *Stock) use(id object.ID) (path string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.entries[id]
	if element == nil {
		return "", false
	}
	s.order.MoveToBack(element)
	e := element.Value.(*Entry) //nolint:errcheck,forcetypeassert // as above
	e.used = s.o.Now()
	if e.used.Sub(e.noted) < noteEvery {
		return "", true
	}
	e.noted = e.used
	return e.path(), true
}

// A Summary is what a Stock has, in figures.
type Summary struct {
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Reserved int64     `json:"reserved"`
	MaxBytes int64     `json:"maxBytes"`
	Free     int64     `json:"free"`
	MinFree  int64     `json:"minFree"`
	Oldest   time.Time `json:"oldest,omitzero"` // the least recent use
}

// Summary returns the figures.
func (s *Stock) Summary() (Summary, error) {
	free, err := s.o.Folder.Free()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Summary{Files: len(s.entries), Bytes: s.bytes, Reserved: s.reserved, MaxBytes: s.o.Limits.MaxBytes, Free: free, MinFree: s.o.Limits.MinFree}
	if first := s.order.Front(); first != nil {
		sum.Oldest = first.Value.(*Entry).used //nolint:errcheck,forcetypeassert // as above
	}
	return sum, err
}

// Run removes what is doomed, and keeps MinFree free, until ctx ends.
func (s *Stock) Run(ctx context.Context) {
	tick := time.NewTicker(removeAgain)
	defer tick.Stop()
	for {
		s.deleteDoomed()
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-tick.C:
			s.keepFree()
		}
	}
}
