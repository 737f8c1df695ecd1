// Package log writes the log lines of both programs in the background, so that
// requests need not wait for the disk or the journal.
package log

import (
	"io"
	"sync"
)

// maxPending bounds what waits to be written, in bytes. Beyond it Write blocks,
// and so does the decision that the line is about.
const maxPending = 1 << 20

// A Writer collects lines while an earlier write is in progress, and writes them
// with one system call: a call to journald or a file costs more than a decision.
// It never waits to fill a batch. A killed process loses only the lines of the
// requests that it was about to answer.
type Writer struct {
	out io.Writer

	mu      sync.Mutex
	changed sync.Cond // something to write, room, or the end
	pending []byte
	closed  bool
	done    chan struct{}
}

// NewWriter returns a Writer to out. Close writes what is pending.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out, done: make(chan struct{})}
	w.changed.L = &w.mu
	go w.write()
	return w
}

// Write implements io.Writer. The line is written later. Errors are
// dropped: there is no other place to report them.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) > maxPending && !w.closed {
		w.changed.Wait()
	}
	w.pending = append(w.pending, line...)
	w.changed.Broadcast()
	return len(line), nil
}

// Close writes what is pending.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.done
}

func (w *Writer) write() {
	defer close(w.done)
	var spare []byte
	for {
		w.mu.Lock()
		for len(w.pending) == 0 && !w.closed {
			w.changed.Wait()
		}
		lines := w.pending
		w.pending = spare[:0]
		w.changed.Broadcast()
		w.mu.Unlock()
		if len(lines) == 0 {
			return
		}
		_, _ = w.out.Write(lines)
		spare = lines
	}
}
