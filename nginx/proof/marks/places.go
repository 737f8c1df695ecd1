package marks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Tree searches all files below root that changed at or after since, their names,
// and the targets of symbolic links. skip, which may be nil, leaves out a file or a
// directory. kind chooses the kind of each file.
func (r *Searcher) Tree(root string, since time.Time, skip func(path string) bool, kind func(path string) string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed in the meantime
			return nil
		case errors.Is(err, fs.ErrPermission):
			r.Unreadable(kind(path))
			return nil
		case err != nil:
			return err
		case skip != nil && skip(path) && entry.IsDir():
			return filepath.SkipDir
		case skip != nil && skip(path):
			return nil
		}
		r.Text("file name", path, path)
		switch entry.Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err == nil {
				r.Text("file name", path, target)
			}
		case 0:
			return r.file(kind(path), path, entry, since)
		}
		return nil
	})
}

func (r *Searcher) file(kind, path string, entry fs.DirEntry, since time.Time) error {
	info, err := entry.Info()
	if err == nil && info.ModTime().Before(since) {
		return nil
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		r.Unreadable(kind)
		return nil //nolint:nilerr // counted
	}
	return errors.Join(r.Search(kind, path, f), f.Close())
}

// The kinds of places that Processes searches.
const (
	ProcessList = "process list"
	Environment = "environment"
)

// Processes searches the command lines and environments of all processes (proc(5)).
// A finding's place is the process's name.
func (r *Searcher) Processes() error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue // it has ended
		}
		for file, kind := range map[string]string{"cmdline": ProcessList, "environ": Environment} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			switch {
			case errors.Is(err, fs.ErrPermission):
				r.Unreadable(kind)
			case err == nil:
				r.Text(kind, string(name[:max(0, len(name)-1)]), string(text))
			}
		}
	}
	return nil
}
