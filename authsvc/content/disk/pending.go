package disk

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// A Pending file is being written, under a temporary name. One goroutine writes;
// any number may read meanwhile what was written.
type Pending struct {
	folder *Folder
	path   string
	file   File
}

// Create begins a file.
func (f *Folder) Create() (*Pending, error) {
	path := f.temporary()
	file, err := f.fs.Create(path)
	if err != nil {
		return nil, err
	}
	return &Pending{f, path, file}, nil
}

// Write implements io.Writer.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// ReadAt implements io.ReaderAt, also after Commit and Discard.
func (p *Pending) ReadAt(b []byte, offset int64) (int, error) { return p.file.ReadAt(b, offset) }

// Commit gives the file its final name. If it fails, the file has none, and
// Discard is still needed.
//
// The order is what makes a final name reliable: mode and group first, since nginx
// may open it at once; the content on disk before the name; then the name on disk.
func (p *Pending) Commit(name string) error {
	f := p.folder
	if f.gid >= 0 {
		if err := p.file.Chown(-1, f.gid); err != nil {
			return err
		}
	}
	if err := p.file.Chmod(fileMode); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	folder := filepath.Dir(f.path(name))
	if err := f.makeFolder(folder); err != nil {
		return err
	}
	if err := f.fs.Rename(p.path, f.path(name)); err != nil {
		return err
	}
	p.path = ""
	if err := f.fs.SyncFolder(folder); err != nil {
		// The name may not survive, but whatever survives is complete.
		doomed, removal := f.Withdraw(name)
		return errors.Join(err, removal, f.Delete(doomed))
	}
	return nil
}

// makeFolder makes a folder if it is not there, and its name durable. A process
// that was killed may have left one that nginx cannot read yet.
func (f *Folder) makeFolder(folder string) error {
	if info, err := f.fs.Lstat(folder); err == nil && info.Mode() == folderMode|fs.ModeDir {
		return nil
	}
	if err := f.fs.Mkdir(folder, folderMode, f.gid); err != nil {
		return err
	}
	return f.fs.SyncFolder(filepath.Dir(folder))
}

// Discard removes the temporary name, if Commit did not. Readers go on.
func (p *Pending) Discard() error {
	if p.path == "" {
		return nil
	}
	path := p.path
	p.path = ""
	return p.folder.fs.Remove(path)
}

// Close ends reading and writing.
func (p *Pending) Close() error { return p.file.Close() }
