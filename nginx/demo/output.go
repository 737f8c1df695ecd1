package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// lines writes whole lines, and is safe for concurrent use.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) write(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, text) // a closed terminal is no reason to stop
}

// title writes the heading of a part.
func (l *lines) title(format string, args ...any) {
	l.write("\n== " + fmt.Sprintf(format, args...) + "\n")
}

// line writes one line of a part.
func (l *lines) line(format string, args ...any) {
	l.write("   " + fmt.Sprintf(format, args...) + "\n")
}

// command shows what a person would type.
func (l *lines) command(format string, args ...any) {
	l.write("   $ " + fmt.Sprintf(format, args...) + "\n")
}

// terminal shows what a program printed.
func (l *lines) terminal(text string) {
	for line := range strings.Lines(text) {
		l.write("   | " + strings.TrimRight(line, "\r\n") + "\n")
	}
}

// progress returns a writer for the stack's progress, one line at a time.
func (l *lines) progress() io.Writer { return &progress{lines: l} }

type progress struct {
	lines *lines
	mu    sync.Mutex
	rest  []byte
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		p.lines.line("%s", line)
		p.rest = rest
	}
}
