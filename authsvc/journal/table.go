package journal

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// A Table prints decisions as they come. Its columns have fixed widths, and a longer
// value moves the rest of its line: a table that fits would need all lines at once.
type Table struct {
	out  io.Writer
	head bool
}

// NewTable returns a table on out.
func NewTable(out io.Writer) *Table { return &Table{out: out} }

// Add prints a decision, and before the first one the columns' names.
func (t *Table) Add(d Decision) error {
	if !t.head {
		t.head = true
		if err := t.row("TIME", "REQUEST", "DECISION", "ASKED FOR", "LICENSE", "ADDRESS", "REASON"); err != nil {
			return err
		}
	}
	return t.row(d.Time.Local().Format(time.DateTime), fmt.Sprintf("%.8s", d.Request), d.Decision, d.what(), d.License, d.Client, d.Reason)
}

// widths are the columns', but for the last.
var widths = [...]int{19, 8, 16, 46, 12, 15}

func (t *Table) row(values ...string) error {
	var line strings.Builder
	for i, value := range values {
		value = printable(value)
		if i < len(widths) {
			value = fmt.Sprintf("%-*s  ", widths[i], value)
		}
		line.WriteString(value)
	}
	_, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " "))
	return err
}

// what was asked for, as docker would write it, and the tag that opened it.
func (d Decision) what() string {
	name := d.Repository
	algorithm, hash, isDigest := strings.Cut(d.Reference, ":")
	switch {
	case isDigest:
		name += fmt.Sprintf("@%s:%.12s", algorithm, hash)
	case d.Reference != "":
		name += ":" + d.Reference
	}
	if d.Kind != "manifest" {
		name = strings.TrimSpace(d.Kind + " " + name)
	}
	if d.Tag != "" {
		name += " (by " + d.Tag + ")"
	}
	return name
}

// printable replaces what would move a terminal's cursor, or worse: a log may hold
// what a stranger chose.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
