package graph

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// registries say when each registry was last heard, by its host.
type registries struct {
	mu    sync.Mutex
	known map[string]*registry
	// hosts are by the registries' names in the configuration, which may name one twice.
	hosts map[string]string
}

// A registry is what is known of one. Times are Unix nanoseconds, 0 for never.
type registry struct {
	heard  int64 // when it was asked what it last answered
	failed int64 // when it last failed, if it has not answered since
}

// maxRegistries bounds the registries that are remembered, and their names: more than a
// configuration may have, since a file has those of former ones, too.
const maxRegistries = 256

// at returns a registry's entry, a new one if there is none. It needs r.mu.
func (r *registries) at(host string) *registry {
	if found := r.known[host]; found != nil {
		return found
	}
	if len(r.known) >= maxRegistries {
		delete(r.known, slices.MinFunc(slices.Collect(maps.Keys(r.known)), func(a, b string) int {
			return cmp.Compare(r.known[a].heard, r.known[b].heard)
		}))
	}
	made := &registry{}
	r.known[host] = made
	return made
}

// Heard notes that a registry answered what it was asked at a time. The name is empty if
// it is not known.
func (s *Store) Heard(name, host string, asked time.Time) {
	s.registries.mu.Lock()
	defer s.registries.mu.Unlock()
	at := asked.UnixNano()
	s.registries.name(name, host, at)
	if r := s.registries.at(host); at >= r.heard {
		r.heard, r.failed = at, 0
	}
}

// name notes the host of a registry, unless it has answered from another one since. It
// needs r.mu.
func (r *registries) name(name, host string, at int64) {
	if before := r.known[r.hosts[name]]; name == "" || before != nil && before.heard > at {
		return
	}
	if _, ok := r.hosts[name]; !ok && len(r.hosts) >= maxRegistries {
		clear(r.hosts) // those in use are noted again
	}
	r.hosts[name] = host
}

// Unheard notes that a registry failed to answer.
func (s *Store) Unheard(host string, now time.Time) {
	s.registries.mu.Lock()
	defer s.registries.mu.Unlock()
	if r := s.registries.known[host]; r != nil {
		r.failed = now.UnixNano()
	}
}

// LastHeard returns when a registry was last heard, the zero time for never, and whether
// it has failed since.
func (s *Store) LastHeard(host string) (at time.Time, failing bool) {
	s.registries.mu.Lock()
	defer s.registries.mu.Unlock()
	r := s.registries.known[host]
	if r == nil || r.heard == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, r.heard), r.failed != 0
}

// HeardSince says whether any registry was heard after a time.
func (s *Store) HeardSince(since time.Time) bool {
	s.registries.mu.Lock()
	defer s.registries.mu.Unlock()
	for _, r := range s.registries.known {
		if r.heard > since.UnixNano() {
			return true
		}
	}
	return false
}

// Host returns the host under which a registry was last heard.
func (s *Store) Host(name string) (host string, ok bool) {
	s.registries.mu.Lock()
	defer s.registries.mu.Unlock()
	host, ok = s.registries.hosts[name]
	return host, ok
}

// lines returns what a file keeps of the registries.
func (r *registries) lines() []line {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []line
	for _, host := range slices.Sorted(maps.Keys(r.known)) {
		lines = append(lines, line{Host: host, Heard: r.known[host].heard})
	}
	for _, name := range slices.Sorted(maps.Keys(r.hosts)) {
		if known := r.known[r.hosts[name]]; known != nil {
			lines = append(lines, line{Host: r.hosts[name], Registry: name, Heard: known.heard})
		}
	}
	return lines
}

// hostOf is the host of a repository's key.
func hostOf(key string) string {
	host, _, _ := strings.Cut(key, "/")
	return host
}
