// Package journal finds decisions in authsvc's log: in systemd's journal, or in a
// file of JSON lines. It reads line by line and keeps none, so that the log's size
// does not matter. authsvc/README.md documents a line's fields.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/server"
)

// maxLine bounds a line, in bytes. Longer ones are none of authsvc's: journald
// itself would have cut them (LineMax, 48 KB).
const maxLine = 64 << 10

// A Decision is what a line says of a decision.
type Decision struct {
	Time       time.Time `json:"time"`
	Message    string    `json:"msg"`
	Request    string    `json:"request_id"`
	Client     string    `json:"client"`
	Subject    string    `json:"subject"`
	Unverified string    `json:"unverified_user"`
	License    string    `json:"license"`
	Kind       string    `json:"kind"`
	Repository string    `json:"repository"`
	Reference  string    `json:"reference"`
	Tag        string    `json:"tag"`
	Decision   string    `json:"decision"`
	Reason     string    `json:"reason"`
}

// A Query says which decisions to find. A zero field matches all.
type Query struct {
	// Names are a user's: a decision matches if its subject or its unverified
	// user is one of them, in upper or lower case, with or without the name of
	// the source of customers.
	Names []string
	// Request is the beginning of the request's id.
	Request string
	// Since is the earliest time.
	Since time.Time
}

// Find passes each decision that matches to found, with its line, in the order of
// the log. It returns how many there were; at the first error of found it stops.
func Find(log io.Reader, q Query, found func(line []byte, d Decision) error) (n int, err error) {
	lines := bufio.NewReaderSize(log, maxLine)
	for {
		line, err := next(lines)
		if d, ok := q.match(line); ok {
			n++
			if err := found(d.line, d.Decision); err != nil {
				return n, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// next returns a line, which is valid until the next call; none if it is too long.
func next(lines *bufio.Reader) ([]byte, error) {
	line, err := lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	return nil, err
}

type match struct {
	Decision
	line []byte
}

var isDecision = []byte(`"msg":"` + server.DecisionLine + `"`)

// match reads a line. What is before its first brace is the journal's.
func (q Query) match(line []byte) (match, bool) {
	start := bytes.IndexByte(line, '{')
	// Most lines are not what is looked for: do not parse them.
	if start < 0 || !bytes.Contains(line, isDecision) || !bytes.Contains(line, []byte(`"request_id":"`+q.Request)) {
		return match{}, false
	}
	m := match{line: bytes.TrimSpace(line[start:])}
	if json.Unmarshal(m.line, &m.Decision) != nil || m.Message != server.DecisionLine {
		return match{}, false
	}
	return m, strings.HasPrefix(m.Request, q.Request) && !m.Time.Before(q.Since) && q.names(m.Decision)
}

func (q Query) names(d Decision) bool {
	if q.Names == nil {
		return true
	}
	_, withoutSource, _ := strings.Cut(d.Subject, "/")
	for _, name := range q.Names {
		if strings.EqualFold(name, d.Subject) || strings.EqualFold(name, withoutSource) || strings.EqualFold(name, d.Unverified) {
			return true
		}
	}
	return false
}
