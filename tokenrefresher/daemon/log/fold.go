package log

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxFaults bounds the faults that are distinguished at a time; any more are
// folded into one for each level.
const maxFaults = 1024

// apart are the attributes that distinguish faults with the same message. They
// exclude what a stranger can invent, such as a repository or a user name.
var apart = []string{"address", "breaker", "file", "outcome", "registry", "to", "what"}

// A Folder is a slog.Handler that keeps a fault that repeats with each request
// from filling the log. The first line of a fault is passed on at once. After
// that there is at most one line for each period: the latest, with the
// attribute "repeated", which is how many lines it stands for. Lines below
// slog.LevelWarn are passed on as they come.
type Folder struct {
	next   slog.Handler
	known  string // attributes of With that tell faults apart
	shared *faults
}

type faults struct {
	period time.Duration
	never  []string

	mu     sync.Mutex
	faults map[string]*fault
	closed bool
}

// A fault was logged less than a period ago.
type fault struct {
	end      *time.Timer // of the period
	repeated int         // since the last line
	latest   slog.Record
	next     slog.Handler
}

// Fold returns a Folder in front of next. Lines with a message in never are
// passed on as they come, whatever their level. Close ends it.
func Fold(next slog.Handler, period time.Duration, never ...string) *Folder {
	return &Folder{next: next, shared: &faults{period: period, never: never, faults: map[string]*fault{}}}
}

// Enabled implements slog.Handler.
func (f *Folder) Enabled(ctx context.Context, level slog.Level) bool {
	return f.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (f *Folder) WithAttrs(attrs []slog.Attr) slog.Handler {
	known := f.known
	for _, attr := range attrs {
		known += distinction(attr)
	}
	return &Folder{f.next.WithAttrs(attrs), known, f.shared}
}

// WithGroup implements slog.Handler.
func (f *Folder) WithGroup(name string) slog.Handler {
	return &Folder{f.next.WithGroup(name), f.known, f.shared}
}

// Handle implements slog.Handler.
func (f *Folder) Handle(ctx context.Context, line slog.Record) error {
	if line.Level < slog.LevelWarn || slices.Contains(f.shared.never, line.Message) || f.shared.first(f.key(line), line, f.next) {
		return f.next.Handle(ctx, line)
	}
	return nil
}

func (f *Folder) key(line slog.Record) string {
	var b strings.Builder
	b.WriteString(line.Level.String() + "\x00" + line.Message + f.known)
	line.Attrs(func(attr slog.Attr) bool {
		b.WriteString(distinction(attr))
		return true
	})
	return b.String()
}

func distinction(attr slog.Attr) string {
	if !slices.Contains(apart, attr.Key) {
		return ""
	}
	return "\x00" + attr.Key + "\x00" + attr.Value.String()
}

// first tells whether a line is to be passed on now. If not, it is kept until
// the period ends.
func (s *faults) first(key string, line slog.Record, next slog.Handler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	if s.faults[key] == nil && len(s.faults) >= maxFaults {
		key = line.Level.String()
	}
	if known := s.faults[key]; known != nil {
		known.repeated++
		known.latest, known.next = line.Clone(), next
		return false
	}
	s.faults[key] = &fault{end: time.AfterFunc(s.period, func() { s.ended(key) })}
	return true
}

// ended passes on what was kept in a period, and begins another; if nothing
// was, the fault is over.
func (s *faults) ended(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.faults[key]
	switch {
	case known == nil: // closed
	case known.repeated == 0:
		delete(s.faults, key)
	default:
		known.pass()
		known.end.Reset(s.period)
	}
}

// pass passes on the line that is kept, if there is one.
func (f *fault) pass() {
	if f.repeated == 0 {
		return
	}
	f.latest.AddAttrs(slog.Int("repeated", f.repeated))
	_ = f.next.Handle(context.Background(), f.latest) // there is nobody to tell
	f.repeated, f.latest = 0, slog.Record{}
}

// Close passes on what is kept. Lines that come later are passed on as they
// come.
func (f *Folder) Close() {
	s := f.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.faults {
		known.end.Stop()
		known.pass()
	}
	s.faults, s.closed = nil, true
}
