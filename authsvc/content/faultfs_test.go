package content_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/disk"
)

// A faultFS is the machine's file system with faults in front of each operation
// that changes something. It also knows what a power loss would leave of files.
type faultFS struct {
	disk.OS
	mu     sync.Mutex
	synced map[string]int64 // bytes of a file that survive a power loss, by path

	armed bool
	plan  plan
	count int // of operations since it was armed
}

// A plan says which operations fail, how.
type plan struct {
	first int
	err   error
	all   bool // also those after the first
	kill  bool // the process dies instead
	// until, if set, has operations wait instead of failing.
	until <-chan struct{}
}

func newFaultFS() *faultFS { return &faultFS{synced: map[string]int64{}} }

// arm puts a plan into force.
func (f *faultFS) arm(p plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.plan, f.count = true, p, 0
}

// heal ends all faults. It returns how many operations there were.
func (f *faultFS) heal() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.count
}

// fault is asked before each operation; nil lets it pass.
func (f *faultFS) fault() error {
	p, hit := f.hit()
	switch {
	case !hit:
		return nil
	case p.until != nil:
		<-p.until
	case p.kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
	return p.err
}

// hit counts an operation, and says whether it is one that fails.
func (f *faultFS) hit() (plan, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return plan{}, false
	}
	n := f.count
	f.count++
	return f.plan, n == f.plan.first || n > f.plan.first && f.plan.all
}

// Create implements disk.FS.
func (f *faultFS) Create(path string) (disk.File, error) {
	if err := f.fault(); err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	file, err := f.OS.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, path}, nil
}

// Mkdir implements disk.FS.
func (f *faultFS) Mkdir(path string, mode fs.FileMode, gid int) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.OS.Mkdir(path, mode, gid)
}

// Rename implements disk.FS.
func (f *faultFS) Rename(from, to string) error {
	if err := f.fault(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced[to] = f.synced[from]
	return f.OS.Rename(from, to)
}

// Remove implements disk.FS.
func (f *faultFS) Remove(path string) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.OS.Remove(path)
}

// SyncFolder implements disk.FS.
func (f *faultFS) SyncFolder(path string) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.OS.SyncFolder(path)
}

// losePower leaves of each file that was written what had been synced. Names
// survive: that is the worse case, since a file without a name harms nobody.
func (f *faultFS) losePower(root string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".sock") {
			return err
		}
		return os.Truncate(path, f.synced[path])
	})
}

// A faultFile is a file of a faultFS.
type faultFile struct {
	disk.File
	fs   *faultFS
	path string
}

// Write implements disk.File. An error comes after half of the bytes, as it does
// when a disk is full; errShort is a write that says nothing.
func (f *faultFile) Write(p []byte) (int, error) {
	err := f.fs.fault()
	if err == nil {
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:len(p)/2])
	if err == errShort { //nolint:errorlint // a mark, not an error
		return n, nil
	}
	return n, err
}

// Chmod implements disk.File.
func (f *faultFile) Chmod(mode fs.FileMode) error {
	if err := f.fs.fault(); err != nil {
		return err
	}
	return f.File.Chmod(mode)
}

// Sync implements disk.File.
func (f *faultFile) Sync() error {
	if err := f.fs.fault(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.synced[f.path] = info.Size()
	return nil
}

const errShort = syscall.Errno(0xffff)

// TestDiskFails: whichever operation fails, nothing wrong has a final name, a
// client gets all or sees that it does not, and when the disk is well again, so is
// the store.
func TestDiskFails(t *testing.T) {
	for name, how := range map[string]plan{
		"no space once":          {err: syscall.ENOSPC},
		"no space from then on":  {err: syscall.ENOSPC, all: true},
		"read-only from then on": {err: syscall.EROFS, all: true},
		"an I/O error once":      {err: syscall.EIO},
		"a short write":          {err: errShort},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			for done := false; !done; how.first++ {
				files := newFaultFS()
				w.restart(files)
				files.arm(how)
				body := bytesOf(100_000, uint64(how.first)) //nolint:gosec // a seed
				path := w.blob(body)
				got := w.get(path)
				if got.err == nil && got.status == http.StatusOK {
					got.want(t, body)
				} else if got.err == nil && (got.status < 502 || len(got.body) > 0) {
					t.Errorf("operation %d: status %d with %d bytes", how.first, got.status, len(got.body))
				}
				w.idle()
				w.final()
				done = files.heal() <= how.first
				w.restart(nil)
				if names := w.temporary(); len(names) > 0 {
					t.Errorf("operation %d: temporary files are left: %q", how.first, names)
				}
				w.get(path).want(t, body)
				w.stored(path)
			}
		})
	}
}

// TestDiskHangs: nginx goes the plain way before it gives up itself, and the store
// does not need a restart.
func TestDiskHangs(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.FirstByte = 100 * time.Millisecond })
	files := newFaultFS()
	w.restart(files)
	until := make(chan struct{})
	files.arm(plan{all: true, until: until})
	path := w.blob(bytesOf(100_000, 1))
	for range 3 {
		if got := w.get(path); got.status != http.StatusGatewayTimeout {
			t.Errorf("status %d", got.status)
		}
	}
	close(until)
	w.stored(path)
	w.get(path).want(t, bytesOf(100_000, 1))
}

// TestPowerLoss: at whichever operation the power goes, whatever has a final name
// afterwards is complete.
func TestPowerLoss(t *testing.T) {
	kept := 0
	for n, done := 0, false; !done; n++ {
		w := newWorld(t, nil)
		files := newFaultFS()
		w.restart(files)
		files.arm(plan{first: n, err: syscall.EIO, all: true}) // nothing reaches the disk from then on
		body := bytesOf(100_000, 1)
		path := w.blob(body)
		w.get(path)
		w.idle()
		done = files.heal() <= n
		w.stop()
		if err := files.losePower(w.config.Folder); err != nil {
			t.Fatal(err)
		}
		kept = len(w.final())
		w.start(nil)
		w.get(path).want(t, body)
	}
	if kept == 0 {
		t.Error("what was stored whole did not survive")
	}
}
