package tokenfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// poll bounds the time until a change without an event is seen: the folder was
// recreated, is on a file system without events, or the system's inotify limits
// are reached. Reading the file takes about 50 µs.
const poll = 500 * time.Millisecond

var errNotRead = errors.New("the token file has not been read yet")

// A Watcher has the last good token of a file. It is safe for concurrent use.
type Watcher struct {
	path   string
	logger *slog.Logger
	state  atomic.Pointer[state]
	// look asks the watching goroutine to read the file now.
	look chan struct{}
	// events are the folder's; nil if the system gives none.
	events *fsnotify.Watcher
	// problem is the last one logged; only the watching goroutine uses it.
	problem string
}

// state is immutable; when a new one replaces it, its changed is closed.
type state struct {
	token   Token
	err     error // why there is no token yet
	changed chan struct{}
}

// Watch reads the file at path now, and again whenever it changes, until ctx ends.
// A missing or bad file is not an error of Watch: Current reports it until there is
// a good one. A bad, partial or missing file never replaces a good one; it is
// logged.
func Watch(ctx context.Context, path string, logger *slog.Logger) (*Watcher, error) {
	if path == "" {
		return nil, errors.New("watching a token file: expected a path, found none")
	}
	w := &Watcher{path: path, logger: logger.With("file", path), look: make(chan struct{}, 1)}
	w.state.Store(&state{err: errNotRead, changed: make(chan struct{})})
	events, err := fsnotify.NewWatcher()
	if err == nil {
		w.events = events
		w.follow()
	} else {
		w.logger.Warn("no change events for the token file; reading it every half second", "error", err.Error())
	}
	w.read()
	go w.run(ctx)
	return w, nil
}

// Current returns the last good token, expired or not, or why there never was
// one. It takes no lock and reads no file.
func (w *Watcher) Current() (Token, error) {
	s := w.state.Load()
	return s.token, s.err
}

// Changed returns a channel that is closed when the token that Current returns is
// replaced.
func (w *Watcher) Changed() <-chan struct{} { return w.state.Load().changed }

// Wait returns the first token fetched after newerThan, at once if there is one,
// or ctx's error.
func (w *Watcher) Wait(ctx context.Context, newerThan time.Time) (Token, error) {
	for {
		s := w.state.Load()
		if s.err == nil && s.token.FetchedAt.After(newerThan) {
			return s.token, nil
		}
		select {
		case w.look <- struct{}{}:
		default: // a read is already pending
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return Token{}, fmt.Errorf("waiting for a token fetched after %s: %w", newerThan.UTC().Format(time.RFC3339Nano), ctx.Err())
		}
	}
}

func (w *Watcher) run(ctx context.Context) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var events chan fsnotify.Event // nil: none ever comes
	var missed chan error
	if w.events != nil {
		defer func() { _ = w.events.Close() }()
		events, missed = w.events.Events, w.events.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-events:
			if filepath.Base(event.Name) != filepath.Base(w.path) {
				continue
			}
		case err := <-missed:
			w.logger.Debug("missed change events of the token file", "error", err.Error())
		case <-w.look:
		case <-ticker.C:
			w.follow()
		}
		w.read()
	}
}

// follow subscribes to the folder's events. The file's own events would end when a
// rename replaces it. Adding a followed folder again changes nothing; a recreated
// folder is followed again. A missing folder fails, and is retried at the next poll.
func (w *Watcher) follow() {
	if w.events != nil {
		_ = w.events.Add(filepath.Dir(w.path))
	}
}

func (w *Watcher) read() {
	old := w.state.Load()
	token, err := Read(w.path)
	if err != nil {
		if w.problem != err.Error() {
			w.problem = err.Error()
			w.logger.Warn("the token file cannot be used", "error", err.Error(), "kept", old.err == nil)
		}
		if old.err != nil {
			w.state.Store(&state{err: err, changed: old.changed})
		}
		return
	}
	w.problem = ""
	if old.err == nil && token.Equal(old.token) {
		return
	}
	level := slog.LevelInfo
	if errors.Is(old.err, errNotRead) {
		level = slog.LevelDebug // nothing has changed: the program starts
	}
	w.logger.Log(context.Background(), level, "token taken from the file", "token", token)
	w.state.Store(&state{token: token, changed: make(chan struct{})})
	close(old.changed)
}
