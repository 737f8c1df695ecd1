// Package watch has what a file of a source says, and reads it again when it
// changes: replaced by a rename, written in place, or swapped behind a symbolic link
// as Kubernetes does with a mounted Secret. A bad new file leaves the old one in
// force.
package watch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// poll is how often the file is looked at when no event tells of a change. A look
// is one stat(2).
const poll = 500 * time.Millisecond

// settle is how long a changed file must stay as it is before it counts. A file that
// is still being written may parse: half a list of users is a list of users.
const settle = 700 * time.Millisecond

// Options say which file is watched.
type Options[T any] struct {
	// Setting is the name of the setting that has the path; Path is the file.
	Setting, Path string
	// MaxSize bounds the file, in bytes.
	MaxSize int64
	// Parse reads the content. Its error says where the content is wrong, and
	// reveals no secret.
	Parse func([]byte) (T, error)
	// Count is the number of things in the file, for the log.
	Count func(T) int
}

// A File has the last good content of a file. It is safe for concurrent use.
type File[T any] struct {
	options Options[T]
	env     auth.Environment
	logger  *slog.Logger
	value   atomic.Pointer[T]
	events  *fsnotify.Watcher // nil if the system gives none

	// Only the watching goroutine uses these after Open.
	seen    version           // what was looked at last
	since   time.Time         // when it was first seen like that; zero if it has been read since
	inForce [sha256.Size]byte // the content that Current is made of
	problem string            // the last one, which was logged
}

// A version tells whether a file is still the same.
type version struct {
	device, inode    uint64
	size             int64
	modified, status syscall.Timespec
}

// Open reads the file now, and again whenever it changes, until ctx ends. A file
// that cannot be used now is an error, which begins with the setting's name. Later,
// it is a fault of env and a line in the log.
func Open[T any](ctx context.Context, env auth.Environment, options Options[T]) (*File[T], error) {
	f := &File[T]{options: options, env: env, logger: env.Logger.With("file", options.Path), since: time.Now()}
	f.seen, _ = look(options.Path)
	content, err := system.ReadFile(f.options.Path, f.options.MaxSize)
	if err == nil {
		err = f.take(content)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", options.Setting, options.Path, err)
	}
	env.Fault(options.Setting, nil)
	if f.events, err = fsnotify.NewWatcher(); err != nil {
		f.events = nil
		f.logger.Warn("no change events for the file; looking at it every half second", "error", err.Error())
	}
	f.follow()
	go f.run(ctx)
	return f, nil
}

// Current returns what the file said when it was last good.
func (f *File[T]) Current() T { return *f.value.Load() }

func (f *File[T]) run(ctx context.Context) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var events chan fsnotify.Event // nil: none ever comes
	var missed chan error
	if f.events != nil {
		defer func() { _ = f.events.Close() }()
		events, missed = f.events.Events, f.events.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-events: // of the folder: a symbolic link's target has another name
		case <-missed: //nolint:errcheck // events were lost; the file is looked at anyway
		case <-ticker.C:
			f.follow()
		}
		f.examine(time.Now())
	}
}

// follow subscribes to the folder's events; again, because it may be a new one.
func (f *File[T]) follow() {
	if f.events != nil {
		_ = f.events.Add(filepath.Dir(f.options.Path))
	}
}

// examine takes a changed file, once it has settled.
func (f *File[T]) examine(now time.Time) {
	seen, err := look(f.options.Path)
	if seen != f.seen {
		f.seen, f.since = seen, now
	}
	if now.Sub(f.since) < settle {
		return
	}
	var content []byte
	if err == nil {
		if f.since.IsZero() {
			return
		}
		content, err = system.ReadFile(f.options.Path, f.options.MaxSize)
	}
	if again, _ := look(f.options.Path); again != seen {
		return // it changed meanwhile
	}
	f.judge(content, err)
	if err == nil {
		f.since = time.Time{}
	}
}

// judge puts new content into force, or says what is wrong with it.
func (f *File[T]) judge(content []byte, err error) {
	changed := err != nil || sha256.Sum256(content) != f.inForce
	if err == nil && changed {
		err = f.take(content)
	}
	switch {
	case err != nil && err.Error() != f.problem:
		f.problem = err.Error()
		f.env.Fault(f.options.Setting, fmt.Errorf("%s: %w", f.options.Path, err))
		f.logger.Warn("the file cannot be used; what it said before stays in force", "error", f.problem)
	case err == nil && (changed || f.problem != ""):
		f.problem = ""
		f.env.Fault(f.options.Setting, nil)
		f.logger.Info("the file has changed and is in force", "entries", f.options.Count(f.Current()))
	}
}

// take puts content into force.
func (f *File[T]) take(content []byte) error {
	value, err := f.options.Parse(content)
	if err != nil {
		return err
	}
	f.value.Store(&value)
	f.inForce = sha256.Sum256(content)
	return nil
}

// look returns the version of the file that a path leads to.
func look(path string) (version, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return version{}, err
	}
	return version{stat.Dev, stat.Ino, stat.Size, stat.Mtim, stat.Ctim}, nil
}
