package ecr

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
)

// mostRemembered bounds a memo. What comes later is not remembered.
const mostRemembered = 4096

// A memo remembers the backend's answers for good: for load on images that do not
// change, where the backend would be the slowest part.
type memo struct {
	next http.RoundTripper

	mu      sync.Mutex
	answers map[string]remembered
}

type remembered struct {
	response http.Response
	body     []byte
}

// RoundTrip implements http.RoundTripper.
func (m *memo) RoundTrip(r *http.Request) (*http.Response, error) {
	var key strings.Builder
	key.WriteString(r.Method + " " + r.URL.String())
	for _, name := range passed {
		key.WriteString("\n" + strings.Join(r.Header.Values(name), "\n"))
	}
	m.mu.Lock()
	known, ok := m.answers[key.String()]
	m.mu.Unlock()
	if !ok {
		resp, err := m.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		known = remembered{*resp, body}
		m.mu.Lock()
		if len(m.answers) < mostRemembered {
			m.answers[key.String()] = known
		}
		m.mu.Unlock()
	}
	resp := known.response
	resp.Header, resp.Body = resp.Header.Clone(), io.NopCloser(bytes.NewReader(known.body))
	return &resp, nil
}
