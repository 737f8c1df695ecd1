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

// Mode is the file's mode: its group, which authsvc is in, may read it.
const Mode os.FileMode = 0o640

// A WriteOption changes how Write writes.
type WriteOption func(*writing)

type writing struct{ group string }

// Group sets the file's group, by name or number. Empty leaves the process's own.
func Group(group string) WriteOption { return func(w *writing) { w.group = group } }

// Write replaces the file at path with one that contains t. On an error the old
// file stays. The new file is synced to disk before it replaces the old one, so
// that one of them survives a crash.
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
	_ = writers.removeLeftovers(path) // a failure here must not prevent writing
	writers.try(syscall.LOCK_SH)
	// In the same folder, so that the rename is atomic; 0600 until the group is
	// set, so that no other group ever reads it.
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

// step removes the temporary file's name, which is different each time, from a file
// system error.
func step(err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	if failed, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}
