package release

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
	// chunk is how many nodes are looked at at once, so that nobody waits for
	// a file to be written.
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

// Save writes what is known into a file, atomically, with mode 0600. It asks
// and answers as usual meanwhile.
//
// The file is lines of JSON: a header, what is known, and the SHA-256 of all
// that, in hexadecimal.
func (g *Graph) Save(path string) (err error) {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("saving what is known of releases: %w", err)
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	sum := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(file, sum))
	_, _ = fmt.Fprintln(w, fileHeader) // Flush tells
	if err := g.store.export(json.NewEncoder(w)); err != nil {
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

// errForgotten ends an export in whose middle the store was compacted.
var errForgotten = errors.New("what is known has changed as a whole meanwhile")

// export encodes all lines.
func (s *store) export(to *json.Encoder) error {
	generation, _ := s.state("")
	for id := uint32(1); ; id++ {
		lines, more, err := s.tagLines(id, generation)
		if err != nil || !more {
			if err != nil {
				return err
			}
			break
		}
		if err := encode(to, lines); err != nil {
			return err
		}
	}
	for from := uint32(1); ; from += chunk {
		lines, more, err := s.manifestLines(from, generation)
		if err != nil || !more {
			return err
		}
		if err := encode(to, lines); err != nil {
			return err
		}
	}
}

func encode(to *json.Encoder, lines []line) error {
	for i := range lines {
		if err := to.Encode(lines[i]); err != nil {
			return err
		}
	}
	return nil
}

// tagLines returns what is known of a repository's tags; more is false after
// the last repository.
func (s *store) tagLines(id uint32, generation uint64) (lines []line, more bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.generation != generation {
		return nil, false, errForgotten
	}
	if int(id) >= len(s.byID) {
		return nil, false, nil
	}
	r := s.byID[id]
	for name, t := range r.tags {
		l := line{Repository: r.key, Tag: name}
		for _, place := range t.bindings {
			b := s.bindings.at(place)
			l.Had = append(l.Had, seenHad{s.digest(b.node).String(), b.seen})
		}
		if t.gone {
			l.Gone = t.checked
		}
		if len(l.Had) > 0 {
			lines = append(lines, l)
		}
	}
	return lines, true, nil
}

// manifestLines returns what is known of the manifests among some nodes; more
// is false after the last.
func (s *store) manifestLines(from uint32, generation uint64) (lines []line, more bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.generation != generation {
		return nil, false, errForgotten
	}
	if from >= s.nodes.n {
		return nil, false, nil
	}
	for id := from; id < min(from+chunk, s.nodes.n); id++ {
		n := s.nodes.at(id)
		if n.manifest == 0 {
			continue
		}
		key := s.byID[n.repository&^longDigest].key
		m := s.manifests.at(n.manifest)
		if m.state == learned {
			l := line{Repository: key, Manifest: s.digest(id).String()}
			for i := range m.count {
				reached := *s.children.at(m.first + i)
				text := s.digest(reached.node()).String()
				if reached.as() == asManifest {
					l.Manifests = append(l.Manifests, text)
				} else {
					l.Blobs = append(l.Blobs, text)
				}
			}
			lines = append(lines, l)
		}
		if m.referrers != 0 {
			l := line{Repository: key, Subject: s.digest(id).String()}
			for i := m.referrers; i != 0; i = s.referrers.at(i).next {
				l.Referrers = append(l.Referrers, s.digest(s.referrers.at(i).node).String())
			}
			lines = append(lines, l)
		}
	}
	return lines, true, nil
}

// Load reads a file that Save has written. What it says is believed as if the
// registry had said it then: for good of a manifest, for a while of a tag. An
// error means that nothing, or not all, was taken over, and what was not will
// be learned again; errors.Is(err, fs.ErrNotExist) that there is no file.
func (g *Graph) Load(path string) error {
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
	if err := g.store.load(file, g.now()); err != nil {
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
func (s *store) load(file io.Reader, now time.Time) error {
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
func (s *store) take(l line, now time.Time) error {
	switch {
	case l.Tag != "":
		return s.takeTag(l, now)
	case l.Manifest != "":
		d, err := digests(l.Manifest)
		if err != nil {
			return err
		}
		var c content
		if c.manifests, err = digests(l.Manifests...); err != nil {
			return err
		}
		if c.blobs, err = digests(l.Blobs...); err != nil {
			return err
		}
		return s.learn(l.Repository, d[0], c)
	case l.Subject != "":
		d, err := digests(l.Subject)
		if err != nil {
			return err
		}
		from, err := digests(l.Referrers...)
		if err != nil {
			return err
		}
		return s.refers(l.Repository, d[0], from, time.Unix(0, 0)) // and asked for again
	}
	return errors.New(`expected the key "tag", "manifest" or "subject"`)
}

func (s *store) takeTag(l line, now time.Time) error {
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
		if err := s.bind(l.Repository, l.Tag, d[0], time.Unix(0, had.Seen)); err != nil {
			return err
		}
	}
	if l.Gone != 0 {
		s.unbind(l.Repository, l.Tag, time.Unix(0, min(l.Gone, now.UnixNano())))
	}
	return nil
}

func digests(texts ...string) ([]digest, error) {
	var found []digest
	for _, text := range texts {
		d, ok := parseDigest(text)
		if !ok {
			return nil, fmt.Errorf("expected a digest, found %.200q", text)
		}
		found = append(found, d)
	}
	return found, nil
}
