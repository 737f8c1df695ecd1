package ecr

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"
)

// verdict on an Authorization header.
type verdict int

const (
	malformed verdict = iota // absent, another scheme, or never issued
	expired
	good
)

// tokens are the issued tokens. Several are valid at once: a new one does not
// invalidate older ones.
type tokens struct {
	now func() time.Time

	mu       sync.RWMutex
	issued   map[string]time.Time // to its expiry
	lifetime time.Duration
	size     int
}

func newTokens(now func() time.Time) *tokens {
	return &tokens{now: now, issued: map[string]time.Time{}, lifetime: 12 * time.Hour, size: 2368}
}

func (t *tokens) setLifetime(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lifetime = d
}

func (t *tokens) setSize(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = n
}

func (t *tokens) invalidate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token := range t.issued {
		t.issued[token] = time.Time{}
	}
}

func (t *tokens) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.issued)
}

// passwords returns a random part of each: the beginning of the payload, whose
// length is at least 32.
func (t *tokens) passwords() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var parts []string
	for token := range t.issued {
		text, _ := base64.StdEncoding.DecodeString(token) // issue has encoded it
		password := strings.TrimPrefix(string(text), "AWS:")
		const before = len(`{"payload":"`) * 4 / 3
		parts = append(parts, password[before:max(before+40, len(password)/2)])
	}
	return parts
}

// issue returns base64("AWS:" + password). The password is base64 of a JSON object
// with an opaque payload, like the original's.
func (t *tokens) issue() (string, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	expires := t.now().Add(t.lifetime)
	shape := `{"payload":"%s","datakey":"AQEBAHhwm0YaISJeRtJm5n1G6uqeekXuoXXPe5UFce9Rq8/14wAAAH4wfAYJKoZIhvcNAQcGoG8wbQIBADBoBgkqhkiG9w0BBwEwHgYJYIZIAWUDBAEuMBEEDA==","version":"2","type":"DATA_KEY","expiration":` + fmt.Sprint(expires.Unix()) + `}`
	// Base64 twice turns 9 bytes into 16. A payload of 32 characters is the
	// minimum that nobody can guess.
	payload := max(32, (t.size-8)*9/16-(len(shape)-2))
	var token string
	for ; len(token) < t.size; payload++ {
		password := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, shape, randomText(payload)))
		token = base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
	}
	t.issued[token] = expires
	return token, expires
}

func randomText(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return base64.StdEncoding.EncodeToString(raw)[:n]
}

func (t *tokens) judge(authorization string) verdict {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return malformed
	}
	t.mu.RLock()
	expires, known := t.issued[token]
	t.mu.RUnlock()
	switch {
	case !known:
		return malformed
	case !t.now().Before(expires):
		return expired
	}
	return good
}
