package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An FS is what the store does to a file system. OS is the real one; tests put
// faults in between.
type FS interface {
	// Create makes a file that does not exist, mode 0600, for reading and writing.
	Create(path string) (File, error)
	Open(path string) (File, error)
	// Mkdir makes a folder; one that is already there is no error.
	Mkdir(path string, mode fs.FileMode, gid int) error
	Rename(from, to string) error
	Remove(path string) error
	ReadDir(path string) ([]fs.DirEntry, error)
	Lstat(path string) (fs.FileInfo, error)
	// SyncFolder makes names in a folder survive a power loss.
	SyncFolder(path string) error
	// Touch sets the time of the last access.
	Touch(path string, accessed time.Time) error
	// Free is how many bytes the file system has left for this process.
	Free(path string) (int64, error)
}

// A File is an open file of an FS.
type File interface {
	io.WriteCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error
	Sync() error
}

// OS is the machine's file system.
type OS struct{}

// Create implements FS.
func (OS) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// Open implements FS. It follows no symbolic link. It does not change the time of
// the last access, or the scrub would make every file look as if it were in use;
// only a file's owner may ask for that.
func (OS) Open(path string) (File, error) {
	const flags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	file, err := os.OpenFile(path, flags|syscall.O_NOATIME, 0)
	if errors.Is(err, fs.ErrPermission) {
		return os.OpenFile(path, flags, 0)
	}
	return file, err
}

// Mkdir implements FS.
func (OS) Mkdir(path string, mode fs.FileMode, gid int) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if gid >= 0 {
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// ReadDir implements FS.
func (OS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Lstat implements FS.
func (OS) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// SyncFolder implements FS.
func (OS) SyncFolder(path string) error {
	folder, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Touch implements FS. Unlike reading, it sets the time on a file system that is
// mounted with noatime, too. The time of the last change stays: nginx shows it.
func (OS) Touch(path string, accessed time.Time) error {
	return os.Chtimes(path, accessed, time.Time{})
}

// Free implements FS.
func (OS) Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(s.Bavail) * s.Bsize, nil //nolint:gosec // no disk has 2^63 bytes
}

// accessed is when a file was last read, or touched.
func accessed(info fs.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Atim.Unix())
	}
	return info.ModTime()
}
