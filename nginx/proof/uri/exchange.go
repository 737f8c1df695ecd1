package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An exchange is what a client sends on a connection before it waits: one request,
// several pipelined ones, or what looks like it.
type exchange struct {
	http2 bool
	parts []part
	about string // its comment in the corpus, or how it was generated
}

// A part of an exchange. In HTTP/1, value is sent as it is. In HTTP/2, a part with
// a name is a header field, one without is a piece of the body, and an empty one
// ends a request.
type part struct{ name, value string }

// raw is what an HTTP/1 exchange sends.
func (x exchange) raw() []byte {
	var b bytes.Buffer
	for _, p := range x.parts {
		b.WriteString(p.value)
	}
	return b.Bytes()
}

// all is all that an exchange says.
func (x exchange) all() string {
	var b strings.Builder
	for _, p := range x.parts {
		b.WriteString(p.name + p.value)
	}
	return b.String()
}

// targets are the request targets that a server may read out of the exchange,
// however it draws the borders of requests and bodies.
func (x exchange) targets() []string {
	if !x.http2 {
		return targetsOf(string(x.raw()))
	}
	var all []string
	for _, p := range x.parts {
		if p.name == ":path" {
			all = append(all, p.value)
		}
	}
	return all
}

func targetsOf(raw string) (all []string) {
	for line := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '\r' || r == '\n' }) {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) < 2 || strings.Contains(words[0], ":") { // a header
			continue
		}
		target := words[1]
		all = append(all, target)
		// The absolute form: servers take the path out of it.
		// https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
		if _, rest, ok := strings.Cut(target, "://"); ok {
			if i := strings.IndexAny(rest, "/?#"); i >= 0 {
				all = append(all, rest[i:])
			}
		}
	}
	return all
}

// borderless reports whether answers to the exchange may have no readable borders: in
// one to HEAD the body is missing, and one to HTTP/0.9 that follows looks like it.
func (x exchange) borderless() bool {
	raw := string(x.raw())
	if x.http2 || !strings.Contains(raw, "HEAD") {
		return false
	}
	for line := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '\r' || r == '\n' }) {
		first, _, _ := strings.Cut(line, " ")
		if !strings.Contains(line, "HTTP/") && !strings.Contains(first, ":") {
			return true
		}
	}
	return false
}

// The corpus's form: comments, "http1" or "http2", then a part a line, in Go's
// quotes; a header field has two strings. "* N" repeats a value. In HTTP/2, "next"
// ends a request. An empty line ends the exchange.

func (x exchange) String() string { return x.format(func(s string) string { return s }) }

func (x exchange) format(named func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(x.about)) {
		b.WriteString("# " + strings.TrimSpace(line) + "\n")
	}
	b.WriteString(map[bool]string{false: "http1\n", true: "http2\n"}[x.http2])
	for _, p := range x.parts {
		if p == (part{}) {
			b.WriteString("next\n")
			continue
		}
		if p.name != "" {
			b.WriteString(strconv.Quote(p.name) + " ")
		}
		b.WriteString(quote(p.value, named, p.name == ""))
	}
	return b.String()
}

// longRun is the shortest run of one byte that is written as a repetition.
const longRun = 100

// quote writes a value, as several lines if it may be split and has long runs.
func quote(value string, named func(string) string, split bool) string {
	var b strings.Builder
	start := 0
	for i := 0; i < len(value); {
		end := i + 1
		for end < len(value) && value[end] == value[i] {
			end++
		}
		if end-i >= longRun && (split || i == 0 && end == len(value)) {
			if i > start {
				b.WriteString(strconv.Quote(named(value[start:i])) + "\n")
			}
			fmt.Fprintf(&b, "%q * %d\n", value[i:i+1], end-i)
			start = end
		}
		i = end
	}
	if start < len(value) || value == "" {
		b.WriteString(strconv.Quote(named(value[start:])) + "\n")
	}
	return b.String()
}

// parseCorpus reads exchanges.
func parseCorpus(text string, value func(string) string) (all []exchange, err error) {
	var x exchange
	began := false
	for i, line := range strings.Split(text+"\n\n", "\n") {
		switch line = strings.TrimSpace(line); {
		case line == "":
			if began {
				all = append(all, x)
			}
			x, began = exchange{}, false
		case strings.HasPrefix(line, "#"):
			x.about += strings.TrimSpace(line[1:]) + "\n"
		case line == "http1" || line == "http2":
			x.http2, began = line == "http2", true
		case !began:
			return nil, fmt.Errorf("line %d: expected http1 or http2 before the first part, found %q", i+1, line)
		case line == "next":
			x.parts = append(x.parts, part{})
		default:
			p, err := parsePart(line, value)
			if err != nil || !x.http2 && p.name != "" {
				return nil, fmt.Errorf(`line %d: expected "value", "name" "value", "value" * N, or next, found %q`, i+1, line)
			}
			x.parts = append(x.parts, p)
		}
	}
	return all, nil
}

func parsePart(line string, value func(string) string) (p part, err error) {
	first, rest, err := unquote(line)
	if err != nil {
		return p, err
	}
	if strings.HasPrefix(rest, `"`) {
		if p.name = first; p.name == "" {
			return p, strconv.ErrSyntax
		}
		if first, rest, err = unquote(rest); err != nil {
			return p, err
		}
	}
	p.value = value(first)
	times, repeated := strings.CutPrefix(rest, "* ")
	if !repeated {
		if rest != "" {
			return p, strconv.ErrSyntax
		}
		return p, nil
	}
	n, err := strconv.ParseUint(times, 10, 20)
	p.value = strings.Repeat(p.value, int(n))
	return p, err
}

func unquote(line string) (value, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", err
	}
	value, err = strconv.Unquote(quoted)
	return value, strings.TrimSpace(line[len(quoted):]), err
}

// readCorpus reads all files of a folder, in order.
func readCorpus(dir string, value func(string) string) ([]exchange, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("expected a corpus in %s, found no *.txt; run this at the root of the repository, or set -corpus", dir)
	}
	var all []exchange
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		some, err := parseCorpus(string(text), value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for i := range some {
			some[i].about = filepath.Base(path) + ": " + some[i].about
		}
		all = append(all, some...)
	}
	return all, nil
}

func sortedByLength(m map[string]string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(len(m[b])-len(m[a]), cmp.Compare(a, b)) })
}
