package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content/disk"
)

// TestModes: nginx's group reads what has its final name, and nothing else; and
// nothing gets the setgid bit, which the service's unit does not allow, not even in a
// folder that has it.
func TestModes(t *testing.T) {
	root := t.TempDir()
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 12345 // root can give a file to any group
	}
	if err := os.Chmod(root, 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	folder, err := disk.Open(root, gid, disk.OS{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close() //nolint:errcheck // it only unlocks
	const name = "blobs/sha256/ab/cdef"
	file, err := folder.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Settle(name); err != nil {
		t.Fatal(err)
	}
	if err := file.Name(name); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		"blobs": fs.ModeDir | 0o750, "blobs/sha256": fs.ModeDir | 0o750, "manifests/sha512": fs.ModeDir | 0o750,
		"blobs/sha256/ab": fs.ModeDir | 0o750, name: 0o640,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if group := int(info.Sys().(*syscall.Stat_t).Gid); info.Mode() != want || group != gid {
			t.Errorf("%s: mode %v, group %d; want %v, %d", path, info.Mode(), group, want, gid)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "incoming")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("incoming: %v, %v; want a folder that the group cannot enter", info, err)
	}
}
