package tokenfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// RemoveLeftovers removes the temporary files that killed writers of the file at
// path left behind, each with a whole token in it. It removes nothing while another
// process writes in the same folder.
func RemoveLeftovers(path string) error {
	l, err := lock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is no folder, so nothing is left in it
	}
	if err == nil {
		err = errors.Join(l.removeLeftovers(path), l.release())
	}
	if err != nil {
		return fmt.Errorf("removing temporary files of token file %s: %w", path, step(err))
	}
	return nil
}

// A folderLock is a flock(2) on the folder of token files: shared for writers,
// exclusive for removing leftovers. The kernel releases it when a process is
// killed. Nothing ever waits for it, because any process that can read the folder
// could hold it forever.
type folderLock struct{ folder *os.File }

func lock(path string) (folderLock, error) {
	folder, err := os.Open(filepath.Dir(path))
	return folderLock{folder}, err
}

func (l folderLock) try(how int) bool {
	return syscall.Flock(int(l.folder.Fd()), how|syscall.LOCK_NB) == nil
}

func (l folderLock) release() error { return l.folder.Close() }

// removeLeftovers removes the temporary files for path if no process is writing:
// then they belong to a dead writer.
func (l folderLock) removeLeftovers(path string) error {
	if !l.try(syscall.LOCK_EX) {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	failures := []error{err}
	for _, entry := range entries {
		if isLeftover(entry, filepath.Base(path)) {
			failures = append(failures, os.Remove(filepath.Join(filepath.Dir(path), entry.Name())))
		}
	}
	return errors.Join(failures...)
}

// isLeftover recognizes the names that renameio gives temporary files: a dot,
// the file's own name, and a number.
func isLeftover(entry fs.DirEntry, name string) bool {
	number, ok := strings.CutPrefix(entry.Name(), "."+name)
	return ok && number != "" && strings.Trim(number, "0123456789") == "" && entry.Type().IsRegular()
}
