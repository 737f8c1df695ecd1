package stock

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// ErrFull means that there is no room, even without all that is there.
var ErrFull = errors.New("the store has no room")

// Room is space that is reserved for a file.
type Room struct {
	stock     *Stock
	size      int64
	unwritten atomic.Int64
}

// Reserve reserves size bytes, before the first of them is written, and evicts
// for that what was used least recently. It waits for files to be deleted as long
// as ctx allows.
func (s *Stock) Reserve(ctx context.Context, size int64) (*Room, error) {
	for {
		room, changed, err := s.tryReserve(size)
		if room != nil || err != nil {
			return room, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: waiting for files to be deleted: %w", ErrFull, ctx.Err())
		}
	}
}

// tryReserve returns neither room nor an error if files are being deleted that will
// make enough room; changed is closed when one of them is.
func (s *Stock) tryReserve(size int64) (_ *Room, changed <-chan struct{}, _ error) {
	free, err := s.o.Folder.Free()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	lack, waiting := s.lack(size, free)
	if lack > s.bytes {
		s.mu.Unlock()
		return nil, nil, fmt.Errorf("%w for %d bytes: %d are free, %d are in files, %d reserved", ErrFull, size, free, s.bytes, s.reserved)
	}
	if lack <= 0 {
		defer s.mu.Unlock()
		if waiting {
			return nil, s.changed, nil
		}
		s.reserved += size
		s.unwritten += size
		room := &Room{stock: s, size: size}
		room.unwritten.Store(size)
		return room, nil, nil
	}
	changed = s.changed
	victims := s.oldest(lack)
	s.mu.Unlock()
	for _, id := range victims {
		s.Remove(id, Evicted)
	}
	return nil, changed, nil
}

// lack is how many bytes must be evicted for size bytes more. waiting says that
// none need to be, but that what is doomed must be gone first.
func (s *Stock) lack(size, free int64) (lack int64, waiting bool) {
	overSize := s.bytes + s.reserved + size - s.o.Limits.MaxBytes
	overDisk := s.unwritten + size + s.o.Limits.MinFree - free
	return max(overSize, overDisk-s.dooming), overDisk > 0
}

// oldest are the least recently used objects, bytes of them together.
func (s *Stock) oldest(bytes int64) []object.ID {
	var ids []object.ID
	for element := s.order.Front(); element != nil && bytes > 0; element = element.Next() {
		e := element.Value.(*Entry) //nolint:errcheck,forcetypeassert // the list holds nothing else
		ids = append(ids, e.ID)
		bytes -= e.Size
	}
	return ids
}

// keepFree evicts if others have filled the disk, or a limit has changed.
func (s *Stock) keepFree() {
	free, err := s.o.Folder.Free()
	if err != nil {
		s.o.Logger.Warn("finding out how much space is free failed", "error", err)
		return
	}
	s.mu.Lock()
	lack, _ := s.lack(0, free)
	victims := s.oldest(lack)
	s.mu.Unlock()
	for _, id := range victims {
		s.Remove(id, Evicted)
	}
}

// Wrote says that n bytes of the room are used: they are no longer free on the disk.
func (r *Room) Wrote(n int64) {
	r.unwritten.Add(-n)
	r.stock.mu.Lock()
	r.stock.unwritten -= n
	r.stock.mu.Unlock()
}

// Release ends the reservation: the file is kept, or discarded.
func (r *Room) Release() {
	r.stock.mu.Lock()
	defer r.stock.mu.Unlock()
	r.stock.reserved -= r.size
	r.stock.unwritten -= r.unwritten.Swap(0)
	r.size = 0
}
