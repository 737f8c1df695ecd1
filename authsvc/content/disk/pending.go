package disk

import (
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

// ReadAt implements io.ReaderAt, also after Name and Discard.
func (p *Pending) ReadAt(b []byte, offset int64) (int, error) { return p.file.ReadAt(b, offset) }

// A file gets its final name in three steps: Settle, Name, and SyncName. The order
// is what makes a final name reliable: mode and group first, since nginx may open it
// at once; the content on disk before the name; then the name on disk. If one fails,
// Discard is needed.

// Settle prepares the file for its final name. It may take as long as the disk
// needs to write all that it has not written yet.
func (p *Pending) Settle(name string) error {
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
	return f.makeFolder(filepath.Dir(f.path(name)))
}

// Name gives the file its final name.
func (p *Pending) Name(name string) error {
	if err := p.folder.fs.Rename(p.path, p.folder.path(name)); err != nil {
		return err
	}
	p.path = ""
	return nil
}

// SyncName makes the final name survive a power loss.
func (p *Pending) SyncName(name string) error {
	return p.folder.fs.SyncFolder(filepath.Dir(p.folder.path(name)))
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

// Discard removes the temporary name, if the file still has it. Readers go on.
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
