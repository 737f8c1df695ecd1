package graph

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// fileHeader is the first line of a file, with the version of its format.
	fileHeader = `{"pullgate":"releases","version":3}`
	// header2 is that of the version before, which had no registries, and header1 that of
	// the first, which had no schemas either.
	header2 = `{"pullgate":"releases","version":2}`
	header1 = `{"pullgate":"releases","version":1}`
	// maxLine bounds a line, in bytes: a manifest of 4 MB names no more.
	maxLine = 8 << 20
	// chunk is how many nodes are read at once, so that nobody waits for a file
	// to be written.
	chunk = 1024
)

// A line is what a file knows of a registry, of a tag, of a manifest, or of the referrers
// of a manifest. Times are Unix nanoseconds.
type line struct {
	Host     string `json:"host,omitempty"`
	Registry string `json:"registry,omitempty"` // its name
	Heard    int64  `json:"heard,omitempty"`    // when it was last heard

	Repository string `json:"repository,omitempty"` // its key

	Tag  string    `json:"tag,omitempty"`
	Had  []seenHad `json:"had,omitempty"`  // in the order in which they were seen
	Gone int64     `json:"gone,omitempty"` // when the registry said that it has no such tag, or listed all without it
	// Refused is when the registry refused to tell what it has; without a tag, what any has.
	Refused int64 `json:"refused,omitempty"`

	Manifest  *Digest  `json:"manifest,omitempty"`
	Manifests []Digest `json:"manifests,omitempty"`
	Blobs     []Digest `json:"blobs,omitempty"`
	// Schema is 1 for one of Docker's schema 1, -1 if that is not known.
	Schema int `json:"schema,omitempty"`

	Subject   *Digest  `json:"subject,omitempty"`
	Referrers []Digest `json:"referrers,omitempty"`
}

type seenHad struct {
	Digest Digest `json:"digest"`
	Seen   int64  `json:"seen"`
}

// Save writes what is known into a file, atomically, with mode 0600. It does not
// block reading or learning.
//
// The file is lines of JSON: a header, what is known, and the SHA-256 of all
// that, in hexadecimal.
func (s *Store) Save(path string) error {
	if err := s.save(path); err != nil {
		return fmt.Errorf("saving the known releases: %w", err)
	}
	return nil
}

func (s *Store) save(path string) (err error) {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	sum := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(file, sum))
	_, _ = fmt.Fprintln(w, fileHeader) // Flush tells
	if err := s.export(json.NewEncoder(w)); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(file, "%x\n", sum.Sum(nil)); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// export encodes all lines, those used least first, so that a smaller Store
// that loads them forgets those. A graph that is replaced meanwhile is
// exported as it was.
func (s *Store) export(to *json.Encoder) error {
	for _, l := range s.registries.lines() {
		if err := to.Encode(l); err != nil {
			return err
		}
	}
	for _, k := range s.leastUsed() {
		lines := k.graph.tagLines()
		for from := 0; lines != nil; from += chunk {
			for i := range lines {
				lines[i].Repository = k.key
				if err := to.Encode(lines[i]); err != nil {
					return err
				}
			}
			lines = k.graph.manifestLines(from)
		}
	}
	return nil
}

// tagLines returns what is known of the tags.
func (g *Graph) tagLines() []line {
	g.mu.RLock()
	defer g.mu.RUnlock()
	lines := make([]line, 0, len(g.tags))
	for name, t := range g.tags {
		l := line{Tag: name}
		for _, b := range t.bindings {
			l.Had = append(l.Had, seenHad{g.digest(b.node), b.seen})
		}
		switch {
		case t.refused:
			l.Refused = t.checked
		case t.gone:
			l.Gone = t.checked
		case g.unlisted(t.bindings[len(t.bindings)-1]):
			l.Gone = g.listed
		}
		lines = append(lines, l)
	}
	if g.refused > g.told { // after the tags, since it says nothing of a repository without any
		lines = append(lines, line{Refused: g.refused})
	}
	return lines
}

// manifestLines returns what is known of the manifests among some nodes; nil
// after the last node.
func (g *Graph) manifestLines(from int) []line {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if from >= len(g.nodes) {
		return nil
	}
	lines := []line{}
	for i := from; i < min(from+chunk, len(g.nodes)); i++ {
		at := id(i) //nolint:gosec // bounded by Store.max
		m := g.manifests[at]
		if m == nil {
			continue
		}
		digest := g.digest(at)
		if m.status == fetched {
			l := line{Manifest: &digest, Schema: schemas[m.schema]}
			for _, e := range m.children {
				to := &l.Blobs
				if e.is(asManifest) {
					to = &l.Manifests
				}
				*to = append(*to, g.digest(e.node()))
			}
			lines = append(lines, l)
		}
		if len(m.referrers) > 0 {
			lines = append(lines, line{Subject: &digest, Referrers: g.digests(m.referrers)})
		}
	}
	return lines
}

// Load reads a file written by Save. Its content counts as if the registry had
// answered it then: manifests for good, tags for a while. After an error, nothing
// or only a part was loaded, and the rest is learned again;
// errors.Is(err, fs.ErrNotExist) means that there is no file.
func (s *Store) Load(path string, now time.Time) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("loading the known releases: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	if err = check(file); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = s.load(file, now)
	}
	if err != nil {
		return fmt.Errorf("loading the known releases from %s: %w", path, err)
	}
	return nil
}

// check reads the whole file, and compares its last line with the sum of all
// others: half a file opens nothing, and neither does one that was edited by
// accident.
func check(file io.Reader) error {
	lines := newLines(file)
	sum := sha256.New()
	var last []byte
	for first := true; lines.Scan(); first = false {
		if first && !slices.Contains([]string{fileHeader, header2, header1}, lines.Text()) {
			return fmt.Errorf("expected the first line %s, found %.100q", fileHeader, lines.Text())
		}
		_, _ = sum.Write(last) // it never fails
		last = append(append(last[:0], lines.Bytes()...), '\n')
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if want := hex.EncodeToString(sum.Sum(nil)) + "\n"; string(last) != want {
		return errors.New("expected the last line to be the SHA-256 of all others, found another or none")
	}
	return nil
}

func newLines(file io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	return lines
}

// load takes over the lines of a checked file.
func (s *Store) load(file io.Reader, now time.Time) error {
	lines := newLines(file)
	first := false // the file is of the first version
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if n == 1 {
			first = text == header1
		}
		if n == 1 || !strings.HasPrefix(text, "{") {
			continue // header and sum
		}
		var l line
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&l)
		if first && l.Manifest != nil {
			l.Schema = schemas[unread]
		}
		if err == nil {
			err = s.take(l, now)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// take notes what a line says.
func (s *Store) take(l line, now time.Time) error {
	switch {
	case l.Host != "":
		// A clock that was put back must not make it heard later than now.
		s.Heard(l.Registry, l.Host, time.Unix(0, min(l.Heard, now.UnixNano())))
		return nil
	case l.Repository == "":
		return errors.New(`expected the key "repository" or "host"`)
	case l.Tag != "" || l.Refused != 0:
		return s.takeTag(l, now)
	case l.Manifest != nil:
		return s.Learn(l.Repository, *l.Manifest, Content{Manifests: l.Manifests, Blobs: l.Blobs,
			Schema1: l.Schema == schemas[schema1], unread: l.Schema == schemas[unread]})
	case l.Subject != nil:
		return s.AddReferrers(l.Repository, *l.Subject, l.Referrers, time.Unix(0, 0)) // and asked for again
	}
	return errors.New(`expected the key "tag", "manifest" or "subject"`)
}

func (s *Store) takeTag(l line, now time.Time) error {
	var last int64
	for _, had := range l.Had {
		// A clock that was put back must not make it younger than it is.
		if had.Seen < last || had.Seen > now.UnixNano() {
			return errors.New("expected a tag's times in order, and none in the future")
		}
		last = had.Seen
		if err := s.Bind(l.Repository, l.Tag, had.Digest, time.Unix(0, had.Seen)); err != nil {
			return err
		}
		s.Heard("", hostOf(l.Repository), time.Unix(0, had.Seen)) // a file of an older version does not say it
	}
	if l.Refused != 0 {
		return s.Refuse(l.Repository, l.Tag, time.Unix(0, min(l.Refused, now.UnixNano())))
	}
	if l.Gone != 0 {
		return s.Unbind(l.Repository, l.Tag, time.Unix(0, min(l.Gone, now.UnixNano())))
	}
	return nil
}
