package main

import (
	"io"
	"sync"
)

// maxPending bounds what waits to be written, in bytes. More makes a log line
// wait, and so the decision that it is about.
const maxPending = 1 << 20

// A lineWriter writes what is given to it a moment later, so that one call of
// the system takes the lines of many decisions: to journald or to a file, that
// costs more than a decision. Nothing waits for a time or for a size; a killed
// process loses the lines of what it was about to answer, and no more.
type lineWriter struct {
	out io.Writer

	mu      sync.Mutex
	changed sync.Cond // something to write, room, or the end
	pending []byte
	closed  bool
	done    chan struct{}
}

func newLineWriter(out io.Writer) *lineWriter {
	w := &lineWriter{out: out, done: make(chan struct{})}
	w.changed.L = &w.mu
	go w.write()
	return w
}

// Write implements io.Writer. The line is written later; errors are nobody's,
// as there is no other place to tell of them.
func (w *lineWriter) Write(line []byte) (int, error) {
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
func (w *lineWriter) Close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.done
}

func (w *lineWriter) write() {
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
