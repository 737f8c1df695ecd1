package log

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// blocked is a place that takes nothing until it is opened.
type blocked struct {
	open chan struct{}
	strings.Builder
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.open
	return b.Builder.Write(p)
}

func TestLinesArriveWholeAndInOrder(t *testing.T) {
	out := &blocked{open: make(chan struct{})}
	close(out.open)
	w := NewWriter(out)
	var writers sync.WaitGroup
	for i := range 10 {
		writers.Go(func() {
			for j := range 100 {
				_, _ = fmt.Fprintf(w, "%d %03d\n", i, j)
			}
		})
	}
	writers.Wait()
	w.Close()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 1000 {
		t.Fatalf("%d lines, want 1000", len(lines))
	}
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	if !slices.IsSorted(sorted) {
		t.Error("the lines of one writer are out of order")
	}
}

// TestLinesAreBounded: a log that is not taken makes writers wait, and ends
// with memory as it is.
func TestLinesAreBounded(t *testing.T) {
	out := &blocked{open: make(chan struct{})}
	w := NewWriter(out)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	written := make(chan struct{})
	const lines = 4 * maxPending / 1024
	go func() {
		defer close(written)
		for range lines {
			_, _ = w.Write(line)
		}
	}()
	select {
	case <-written:
		t.Error("four times the bound was taken while nothing was written")
	case <-waitFor(w, func() bool { return len(w.pending) > maxPending }):
	}
	close(out.open)
	<-written
	w.Close()
	if got := out.Len(); got != lines*1024 {
		t.Errorf("%d bytes arrived, want %d", got, lines*1024)
	}
}

// waitFor is closed when what is pending fulfills a condition.
func waitFor(w *Writer, done func() bool) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for !done() {
			w.changed.Wait()
		}
		close(c)
	}()
	return c
}
