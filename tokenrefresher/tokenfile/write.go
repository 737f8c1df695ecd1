package tokenfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// Mode is the file's mode: its group, the one that authsvc is in, may read it.
const Mode os.FileMode = 0o640

// A WriteOption changes how Write writes.
type WriteOption func(*writing)

type writing struct{ group string }

// Group gives the file to a group, by name or number. Empty leaves the
// process's own.
func Group(group string) WriteOption { return func(w *writing) { w.group = group } }

// Write replaces the file at path by one with t in it, or leaves it as it is
// and returns why. The new one is synced to the disk before it takes the old
// one's place, so that after a crash too one of the two is there.
func Write(path string, t Token, options ...WriteOption) error {
	var w writing
	for _, option := range options {
		option(&w)
	}
	data, err := encode(t)
	if err == nil {
		err = w.replace(path, data)
	}
	if err != nil {
		return fmt.Errorf("writing token file %s: %w", path, step(err))
	}
	return nil
}

func encode(t Token) ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	c := content{Version: version, Host: t.Host, Token: t.Value.reveal(), FetchedAt: t.FetchedAt.UTC().Format(time.RFC3339Nano)}
	if !t.ExpiresAt.IsZero() {
		c.ExpiresAt = t.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	data, err := json.Marshal(c)
	return append(data, '\n'), err
}

func (w writing) replace(path string, data []byte) (err error) {
	gid := -1
	if w.group != "" {
		if gid, err = system.Group(w.group); err != nil {
			return err
		}
	}
	writers, err := lock(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, writers.release()) }()
	_ = writers.removeLeftovers(path) // what cannot be removed is no reason not to write
	writers.try(syscall.LOCK_SH)
	// In the same folder, so that the rename is one; 0600 until the group is
	// right, so that no other group ever reads it.
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pending.Cleanup()) }()
	if gid >= 0 {
		if err := pending.Chown(-1, gid); err != nil {
			return err
		}
	}
	if err := pending.Chmod(Mode); err != nil {
		return err
	}
	if _, err := pending.Write(data); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

// step drops the temporary file's name, which is another each time, from an
// error of the file system.
func step(err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	if failed, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}
