package stock

import (
	"errors"
	"io/fs"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// A Reason is why an object was removed.
type Reason string

// The reasons.
const (
	Evicted  Reason = "evicted"  // to make room
	Wrong    Reason = "wrong"    // its content is not its name's
	Dropped  Reason = "dropped"  // somebody said so
	Unsynced Reason = "unsynced" // the disk could not write its name
)

// Reasons are all of them.
func Reasons() []Reason { return []Reason{Evicted, Wrong, Dropped, Unsynced} }

// removeAgain is how long to wait after a failed removal.
const removeAgain = time.Second

// A doomed file has lost its entry. It has lost its final name as well, unless
// that failed.
type doomed struct {
	id   object.ID
	name string // its final name, as long as it has it
	path string // its temporary name, after that
	size int64
}

// Remove removes an object: the final name at once, the file in the background. It
// says whether the object was there.
func (s *Stock) Remove(id object.ID, why Reason) bool {
	s.names.Lock()
	defer s.names.Unlock()
	s.mu.Lock()
	e := s.take(id)
	if e != nil {
		s.dooming += e.Size
	}
	s.mu.Unlock()
	if e == nil {
		return false
	}
	s.o.Metrics.removed.WithLabelValues(string(why)).Inc()
	s.doom(doomed{id: id, name: e.path(), size: e.Size})
	return true
}

// doom takes a file's final name away, and has the rest done in the background.
// names is locked.
func (s *Stock) doom(d doomed) {
	if d.name != "" {
		path, err := s.o.Folder.Withdraw(d.name)
		if err != nil {
			s.o.Metrics.undeleted.Inc()
			s.o.Logger.Error("removing a file failed; trying again", "what", d.id.String(), "error", err)
		} else {
			d.name, d.path = "", path
		}
	}
	s.mu.Lock()
	s.doomed = append(s.doomed, d)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deleteDoomed deletes what is doomed, one after another: to delete a large file
// takes long. What cannot be deleted stays for the next time.
func (s *Stock) deleteDoomed() {
	s.mu.Lock()
	all := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	var left []doomed
	for _, d := range all {
		if d.name != "" && !s.withdrawAgain(&d) {
			left = append(left, d)
			continue
		}
		if err := s.o.Folder.Delete(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Metrics.undeleted.Inc()
			s.o.Logger.Warn("deleting a file failed; trying again", "what", d.id.String(), "error", err)
			left = append(left, d)
			continue
		}
		s.mu.Lock()
		s.dooming -= d.size
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
	if len(left) > 0 {
		s.mu.Lock()
		s.doomed = append(s.doomed, left...)
		s.mu.Unlock()
	}
}

// withdrawAgain takes away a final name that Remove could not. A new object of
// that name keeps it.
func (s *Stock) withdrawAgain(d *doomed) bool {
	s.names.Lock()
	defer s.names.Unlock()
	if s.Has(d.id) {
		d.name = ""
		return true
	}
	path, err := s.o.Folder.Withdraw(d.name)
	if err != nil {
		s.o.Metrics.undeleted.Inc()
		return false
	}
	d.name, d.path = "", path
	return true
}
