package graph

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// fileHeader is the first line of a file, with the version of its form.
	fileHeader = `{"pullgate":"releases","version":1}`
	// maxLine bounds a line, in bytes: a manifest of 4 MB names no more.
	maxLine = 8 << 20
	// chunk is how many nodes are read at once, so that nobody waits for a file
	// to be written.
	chunk = 1024
)

// A line is what a file knows of a tag, of a manifest, or of what refers to a
// manifest. Digests are text, times are Unix nanoseconds.
type line struct {
	Repository string `json:"repository"` // host and name

	Tag  string    `json:"tag,omitempty"`
	Had  []seenHad `json:"had,omitempty"`  // in the order in which they were seen
	Gone int64     `json:"gone,omitempty"` // when the registry said that it has no such tag

	Manifest  string   `json:"manifest,omitempty"`
	Manifests []string `json:"manifests,omitempty"`
	Blobs     []string `json:"blobs,omitempty"`

	Subject   string   `json:"subject,omitempty"`
	Referrers []string `json:"referrers,omitempty"`
}

type seenHad struct {
	Digest string `json:"digest"`
	Seen   int64  `json:"seen"`
}

// Save writes what is known into a file, atomically, with mode 0600. It does
// not keep anybody from reading or learning meanwhile.
//
// The file is lines of JSON: a header, what is known, and the SHA-256 of all
// that, in hexadecimal.
func (s *Store) Save(path string) (err error) {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("saving what is known of releases: %w", err)
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	sum := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(file, sum))
	_, _ = fmt.Fprintln(w, fileHeader) // Flush tells
	if err := s.export(json.NewEncoder(w)); err != nil {
		return fmt.Errorf("saving what is known of releases: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("saving what is known of releases: %w", err)
	}
	if _, err := fmt.Fprintf(file, "%x\n", sum.Sum(nil)); err != nil {
		return fmt.Errorf("saving what is known of releases: %w", err)
	}
	return file.CloseAtomicallyReplace()
}

// export encodes all lines, those used least first, so that a smaller Store
// that loads them forgets those. A graph that is replaced meanwhile is
// exported as it was.
func (s *Store) export(to *json.Encoder) error {
	for _, k := range s.leastUsed() {
		lines := k.graph.tagLines(k.key)
		for from := 0; lines != nil; from += chunk {
			for i := range lines {
				if err := to.Encode(lines[i]); err != nil {
					return err
				}
			}
			lines = k.graph.manifestLines(k.key, from)
		}
	}
	return nil
}

// tagLines returns what is known of a repository's tags.
func (g *Graph) tagLines(key string) []line {
	g.mu.RLock()
	defer g.mu.RUnlock()
	lines := make([]line, 0, len(g.tags))
	for name, t := range g.tags {
		l := line{Repository: key, Tag: name}
		for _, b := range t.bindings {
			l.Had = append(l.Had, seenHad{g.digest(b.node).String(), b.seen})
		}
		if t.gone {
			l.Gone = t.checked
		}
		lines = append(lines, l)
	}
	return lines
}

// manifestLines returns what is known of the manifests among some nodes; nil
// after the last node.
func (g *Graph) manifestLines(key string, from int) []line {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if from >= len(g.nodes) {
		return nil
	}
	lines := []line{}
	for at := from; at < min(from+chunk, len(g.nodes)); at++ {
		m := g.manifests[id(at)] //nolint:gosec // bounded by Store.max
		if m == nil {
			continue
		}
		digest := g.digest(id(at)).String() //nolint:gosec // the same
		if m.status == fetched {
			l := line{Repository: key, Manifest: digest}
			for _, e := range m.children {
				text := g.digest(e.node()).String()
				if e.is(asManifest) {
					l.Manifests = append(l.Manifests, text)
				} else {
					l.Blobs = append(l.Blobs, text)
				}
			}
			lines = append(lines, l)
		}
		if len(m.referrers) > 0 {
			l := line{Repository: key, Subject: digest}
			for _, from := range m.referrers {
				l.Referrers = append(l.Referrers, g.digest(from).String())
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// Load reads a file that Save has written. What it says is believed as if the
// registry had said it then: for good of a manifest, for a while of a tag. An
// error means that nothing, or not all, was taken over, and what was not will
// be learned again; errors.Is(err, fs.ErrNotExist) that there is no file.
func (s *Store) Load(path string, now time.Time) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("loading what is known of releases: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	if err := check(file); err != nil {
		return fmt.Errorf("loading what is known of releases from %s: %w", path, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("loading what is known of releases: %w", err)
	}
	if err := s.load(file, now); err != nil {
		return fmt.Errorf("loading what is known of releases from %s: %w", path, err)
	}
	return nil
}

// check reads the whole file, and compares its last line with the sum of all
// others: half a file opens nothing, and neither does one that was edited by a
// slip.
func check(file io.Reader) error {
	lines := newLines(file)
	sum := sha256.New()
	var last []byte
	for first := true; lines.Scan(); first = false {
		if first && lines.Text() != fileHeader {
			return fmt.Errorf("expected the first line %s, found %.100q", fileHeader, lines.Text())
		}
		add(sum, last)
		last = append(last[:0], lines.Bytes()...)
		last = append(last, '\n')
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if want := hex.EncodeToString(sum.Sum(nil)) + "\n"; string(last) != want {
		return errors.New("expected the sum of all other lines in the last, found another or none")
	}
	return nil
}

func add(sum hash.Hash, text []byte) { _, _ = sum.Write(text) } // it never fails

func newLines(file io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	return lines
}

// load takes over the lines of a checked file.
func (s *Store) load(file io.Reader, now time.Time) error {
	lines := newLines(file)
	for n := 1; lines.Scan(); n++ {
		if text := lines.Text(); n > 1 && strings.HasPrefix(text, "{") {
			l, err := parseLine(text)
			if err == nil {
				err = s.take(l, now)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	return lines.Err()
}

func parseLine(text string) (line, error) {
	var l line
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return line{}, err
	}
	if l.Repository == "" {
		return line{}, errors.New(`expected the key "repository"`)
	}
	return l, nil
}

// take notes what a line says.
func (s *Store) take(l line, now time.Time) error {
	switch {
	case l.Tag != "":
		return s.takeTag(l, now)
	case l.Manifest != "":
		d, err := digests(l.Manifest)
		if err != nil {
			return err
		}
		var c Content
		if c.Manifests, err = digests(l.Manifests...); err != nil {
			return err
		}
		if c.Blobs, err = digests(l.Blobs...); err != nil {
			return err
		}
		return s.Learn(l.Repository, d[0], c)
	case l.Subject != "":
		d, err := digests(l.Subject)
		if err != nil {
			return err
		}
		from, err := digests(l.Referrers...)
		if err != nil {
			return err
		}
		return s.AddReferrers(l.Repository, d[0], from, time.Unix(0, 0)) // and asked for again
	}
	return errors.New(`expected the key "tag", "manifest" or "subject"`)
}

func (s *Store) takeTag(l line, now time.Time) error {
	var last int64
	for _, had := range l.Had {
		d, err := digests(had.Digest)
		if err != nil {
			return err
		}
		// A clock that was put back must not make it younger than it is.
		if had.Seen < last || had.Seen > now.UnixNano() {
			return errors.New("expected the times of a tag in their order, and none that is to come")
		}
		last = had.Seen
		if err := s.Bind(l.Repository, l.Tag, d[0], time.Unix(0, had.Seen)); err != nil {
			return err
		}
	}
	if l.Gone != 0 {
		return s.Unbind(l.Repository, l.Tag, time.Unix(0, min(l.Gone, now.UnixNano())))
	}
	return nil
}

func digests(texts ...string) ([]Digest, error) {
	var found []Digest
	for _, text := range texts {
		d, ok := ParseDigest(text)
		if !ok {
			return nil, fmt.Errorf("expected a digest, found %.200q", text)
		}
		found = append(found, d)
	}
	return found, nil
}
