package tokenfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// permissions are a file's mode, owner and group.
type permissions struct {
	mode     fs.FileMode
	uid, gid uint32
}

func (p permissions) String() string {
	return fmt.Sprintf("mode %04o, owner %d and group %d", p.mode, p.uid, p.gid)
}

// CheckPermissions returns nil if the file at path has the mode, owner and
// group that Write would give it, else an error that names both.
func CheckPermissions(path string, options ...WriteOption) error {
	var w writing
	for _, option := range options {
		option(&w)
	}
	want, err := w.permissions(path)
	if err != nil {
		return fmt.Errorf("checking token file %s: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("checking token file %s: %w", path, system.Cause(err))
	}
	if got := permissionsOf(info); got != want {
		return fmt.Errorf("token file %s: expected %v, found %v", path, want, got)
	}
	return nil
}

// permissions returns those that replace gives the file at path.
func (w writing) permissions(path string) (permissions, error) {
	want := permissions{mode: Mode, uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())} //nolint:gosec // both fit: Linux has 32 bits for them
	if w.group != "" {
		gid, err := system.Group(w.group)
		want.gid = uint32(gid) //nolint:gosec // likewise
		return want, err
	}
	// A folder with the setgid bit gives its group to new files.
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return want, system.Cause(err)
	}
	if info.Mode()&fs.ModeSetgid != 0 {
		want.gid = permissionsOf(info).gid
	}
	return want, nil
}

func permissionsOf(info fs.FileInfo) permissions {
	p := permissions{mode: info.Mode()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		p.uid, p.gid = stat.Uid, stat.Gid
	}
	return p
}
