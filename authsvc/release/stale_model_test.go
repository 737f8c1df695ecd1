package release_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/release"
)

// The settings of the model.
const (
	modelTTL      = 30 * time.Second
	modelPrevious = 2 * time.Hour
	modelStale    = 10 * time.Hour
)

// A told is what the registry told of one tag.
type told struct {
	has     string               // by what it said last; empty for nothing
	refused bool                 // it said that nobody gets it
	seen    map[string]time.Time // when it last said that the tag has a digest
}

// An outageModel is a registry that moves tags and fails in all ways, and what it told.
type outageModel struct {
	*world
	random *rand.Rand
	n      int // images so far

	told           sync.Mutex
	tags           map[string]*told // by repository:tag
	heard          time.Time
	refusedAt      map[string]time.Time // by repository
	confirmedAt    map[string]time.Time
	fetched        map[string]bool // manifests, by repository@digest
	stale, outages int             // answers
}

func newOutageModel(t *testing.T, seed uint64) *outageModel {
	m := &outageModel{random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // repeatable
		tags: map[string]*told{}, refusedAt: map[string]time.Time{}, confirmedAt: map[string]time.Time{}, fetched: map[string]bool{}}
	m.world = newWorld(t, m.options)
	m.after = m.note
	return m
}

func (m *outageModel) options(o *release.Options) {
	o.TagTTL, o.Previous, o.Stale = modelTTL, modelPrevious, modelStale
}

// note remembers an answer.
func (m *outageModel) note(r *http.Request, response *http.Response) {
	m.told.Lock()
	defer m.told.Unlock()
	now := m.clock()
	repository, reference, ofManifest := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	tag := m.tags[repository+":"+reference]
	if tag == nil {
		tag = &told{seen: map[string]time.Time{}}
	}
	if response.Header.Get("Content-Type") == "text/html" {
		return
	}
	switch response.StatusCode {
	case http.StatusOK:
		m.heard = now
		if listed, ok := strings.CutSuffix(repository, "/tags/list"); ok {
			m.list(listed, response)
		}
		if ofManifest && r.Method == http.MethodGet {
			m.fetched[repository+"@"+response.Header.Get("Docker-Content-Digest")] = true
		}
		if !ofManifest || strings.Contains(reference, ":") {
			return
		}
		tag.has, tag.refused = response.Header.Get("Docker-Content-Digest"), false
		tag.seen[tag.has] = now
		m.tags[repository+":"+reference] = tag
		m.confirmedAt[repository] = now
	case http.StatusNotFound:
		m.heard = now
		tag.has, tag.refused = "", false
	case http.StatusForbidden:
		if ofManifest && !strings.Contains(reference, ":") {
			tag.refused = true
			m.refusedAt[repository] = now
		}
	}
}

// list notes which tags there are no more.
func (m *outageModel) list(repository string, response *http.Response) {
	var list struct{ Tags []string }
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, json.Unmarshal(body, &list)); err != nil {
		m.t.Error(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	for name, t := range m.tags {
		if tag, ok := strings.CutPrefix(name, repository+":"); ok && !slices.Contains(list.Tags, tag) {
			t.has = ""
		}
	}
}

var modelRepositories = []string{"acme/a", "acme/b"}

func (m *outageModel) repository() string { return modelRepositories[m.random.IntN(2)] }
func (m *outageModel) tag() string        { return fmt.Sprint("1.", m.random.IntN(3)) }

// push moves a tag to a new image.
func (m *outageModel) push(repository, tag string) {
	m.n++
	m.put(repository, tag, image(fmt.Sprint(m.n), blob(fmt.Sprint(m.n))))
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
}

// fail makes the registry fail in some way, or no longer.
func (m *outageModel) fail() {
	half := m.repository()
	ways := []func(http.ResponseWriter, *http.Request) bool{
		nil, nil, nil, nil, nil, status(500), status(500), status(429),
		func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
			return true
		},
		func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
		func(w http.ResponseWriter, r *http.Request) bool { // of one repository alone
			return strings.Contains(r.URL.Path, half) && status(500)(w, r)
		},
		func(w http.ResponseWriter, r *http.Request) bool { // the role may not read one
			return strings.Contains(r.URL.Path, half) && status(403)(w, r)
		},
		func(w http.ResponseWriter, r *http.Request) bool { // lists work
			return strings.Contains(r.URL.Path, "/manifests/") && status(500)(w, r)
		},
	}
	way := m.random.IntN(len(ways) + 2)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noToken, m.noHost = nil, nil
	switch {
	case way < len(ways):
		m.before = ways[way]
	case way == len(ways):
		m.noToken = errors.New("the token expired")
	default:
		m.noHost = errors.New("no file yet")
	}
}

// restart saves, and loads into another memory.
func (m *outageModel) restart() {
	file := filepath.Join(m.t.TempDir(), "releases")
	if err := m.releases.Save(file); err != nil {
		m.t.Fatal(err)
	}
	m.releases.Close()
	m.releases = m.newReleases(m.options)
	if err := m.releases.Load(file); err != nil {
		m.t.Fatal(err)
	}
}

// pass lets time go on, also for timeouts.
func (m *outageModel) pass(d time.Duration) {
	m.advance(d)
	time.Sleep(d)
	synctest.Wait()
}

func (m *outageModel) live() {
	switch m.random.IntN(12) {
	case 0, 1:
		m.push(m.repository(), m.tag())
	case 2:
		r := m.repository()
		if tag := m.tag(); m.tags[r+":"+tag] != nil {
			m.do(http.MethodPut, r, "kept", []byte(`{"schemaVersion":2}`)) // so that the repository stays
			m.registry.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/v2/"+r+"/manifests/"+tag, nil))
		}
	case 3, 4:
		m.fail()
	case 5:
		m.restart()
	case 6:
		m.pass([]time.Duration{time.Second, time.Minute, time.Hour, 3 * time.Hour}[m.random.IntN(4)])
	case 7:
		m.releases.Asked(m.repository(), m.tag())
	default:
		m.ask()
	}
	m.pass(2 * time.Second)
}
