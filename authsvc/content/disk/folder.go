// Package disk keeps complete files under their final names. A file is written
// under a temporary name (pending.go), and gets its final one only when its
// writer says that it is complete and correct; it is synced before that, so that
// a final name never stands for less, whatever happens to process, machine or
// disk. folder.go has the layout, fs.go the file system.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/authsvc/content/object"
)

// incoming is the folder of temporary files: what is being written, and what is
// being removed. It is in the same file system, so that a rename is atomic.
const incoming = "incoming"

// Modes. nginx's workers are in the group: they read files, but only under a final
// name. Files and folders get the group one by one: the setgid bit, which would hand
// it down, is not for a service with RestrictSUIDSGID=.
const (
	fileMode     fs.FileMode = 0o640
	folderMode   fs.FileMode = 0o750
	incomingMode fs.FileMode = 0o700
)

// A Folder is the store's folder.
type Folder struct {
	root string
	gid  int
	fs   FS
	lock *os.File
	next atomic.Int64 // number of the next temporary file
}

// Open opens the folder at root, which exists, and removes what a killed process
// left in it. gid is the group that may read; -1 for the process's own. Only one
// process can have the folder open.
func Open(root string, gid int, files FS) (*Folder, error) {
	lock, err := os.Open(filepath.Clean(root))
	if err != nil {
		return nil, err
	}
	f := &Folder{root: root, gid: gid, fs: files, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: expected no other process there, found one: %w", root, err), lock.Close())
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// Close lets another process open the folder.
func (f *Folder) Close() error { return f.lock.Close() }

// prepare makes the folders, and removes temporary files.
func (f *Folder) prepare() error {
	if err := f.fs.Mkdir(f.path(incoming), incomingMode, -1); err != nil {
		return err
	}
	left, err := f.fs.ReadDir(f.path(incoming))
	if err != nil {
		return err
	}
	for _, entry := range left {
		if err := f.fs.Remove(f.path(incoming, entry.Name())); err != nil {
			return err
		}
	}
	for _, folder := range object.Folders() {
		for _, path := range []string{filepath.Dir(folder), folder} {
			if err := f.fs.Mkdir(f.path(path), folderMode, f.gid); err != nil {
				return err
			}
		}
		for _, path := range []string{folder, filepath.Dir(folder)} {
			if err := f.fs.SyncFolder(f.path(path)); err != nil {
				return err
			}
		}
	}
	return f.fs.SyncFolder(f.root)
}

func (f *Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.root}, parts...)...)
}

func (f *Folder) temporary() string {
	return f.path(incoming, strconv.FormatInt(f.next.Add(1), 10))
}

// Open opens a file by its final name.
func (f *Folder) Open(name string) (File, error) { return f.fs.Open(f.path(name)) }

// Touch notes that a file was used.
func (f *Folder) Touch(name string, when time.Time) error { return f.fs.Touch(f.path(name), when) }

// Free is how many bytes are left.
func (f *Folder) Free() (int64, error) { return f.fs.Free(f.root) }

// Withdraw takes a file's final name away, which is quick however large it is.
// Delete removes it then.
func (f *Folder) Withdraw(name string) (doomed string, err error) {
	doomed = f.temporary()
	err = f.fs.Rename(f.path(name), doomed)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err == nil:
		return doomed, nil
	}
	// A full disk may have no room for the new name.
	if removal := f.fs.Remove(f.path(name)); removal != nil && !errors.Is(removal, fs.ErrNotExist) {
		return "", errors.Join(err, removal)
	}
	return "", nil
}

// Delete removes what Withdraw returned.
func (f *Folder) Delete(doomed string) error {
	if doomed == "" {
		return nil
	}
	return f.fs.Remove(doomed)
}

// A Found file has a final name.
type Found struct {
	ID       object.ID
	Media    object.Media
	Size     int64
	Accessed time.Time
}

// Walk calls found for each file with a final name, and foreign for what does not
// belong there.
func (f *Folder) Walk(found func(Found), foreign func(name string)) error {
	for _, folder := range object.Folders() {
		if err := f.walk(folder, 1, found, foreign); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) walk(folder string, depth int, found func(Found), foreign func(string)) error {
	entries, err := f.fs.ReadDir(f.path(folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := folder + "/" + entry.Name()
		if entry.IsDir() && depth > 0 {
			if err := f.walk(name, depth-1, found, foreign); err != nil {
				return err
			}
			continue
		}
		info, err := f.fs.Lstat(f.path(name))
		if err != nil {
			return err
		}
		id, media, ok := object.ParsePath(name)
		if !ok || !info.Mode().IsRegular() {
			foreign(name)
			continue
		}
		found(Found{id, media, info.Size(), accessed(info)})
	}
	return nil
}
