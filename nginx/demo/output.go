package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// lines writes whole lines, from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) write(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, text) // a terminal that is gone is no reason to stop
}

// title begins a part.
func (l *lines) title(format string, args ...any) {
	l.write("\n== " + fmt.Sprintf(format, args...) + "\n")
}

// line is a part's line.
func (l *lines) line(format string, args ...any) {
	l.write("   " + fmt.Sprintf(format, args...) + "\n")
}

// command is what a person would type.
func (l *lines) command(format string, args ...any) {
	l.write("   $ " + fmt.Sprintf(format, args...) + "\n")
}

// terminal is what a program answered.
func (l *lines) terminal(text string) {
	for line := range strings.Lines(text) {
		l.write("   | " + strings.TrimRight(line, "\r\n") + "\n")
	}
}

// progress returns a writer for the stack's progress, line by line.
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
