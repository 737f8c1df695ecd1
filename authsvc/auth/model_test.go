package auth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// TestModel lets a source change its mind, go down, come back, and answer at
// once or after seconds, while several callers ask at a time; and checks each
// decision against what the cache promises:
//
//   - an acceptance is served for TTL from the question; after that, only while
//     the source fails or takes longer than 250 ms, or while a question is under
//     way that finds out whether an outage is over; and never longer than TTL +
//     StaleTTL, nor after a refusal that was asked for later;
//   - a refusal is the source's word within RefusalTTL;
//   - an error is the source's, of a moment ago.
func TestModel(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), accounts: map[string]*account{}}
			for i := range 5 {
				m.accounts[fmt.Sprint(i)] = &account{}
			}
			m.config = settings()
			m.config.MaxEntries, m.config.MaxRefusals = 3, 2
			m.cache = newCache(t, &vendor{answer: m.answer}, m.config)
			m.live()
		})
	}
}

// slowest is the longest that the model's source takes to answer.
const slowest = 2 * time.Second

type model struct {
	t      *testing.T
	seed   uint64
	config auth.CacheConfig
	cache  *auth.Cache

	mu       sync.Mutex
	random   *rand.Rand
	accounts map[string]*account
	down     bool
	failed   time.Time // the last answer that was none, or came late
	asked    int       // questions under way
}

type account struct {
	accepted bool
	since    time.Time // when that was decided
	// The questions that were answered, the last of each kind.
	acceptance, refusal time.Time
}

func (m *model) answer(_ context.Context, c credential.Credential) (auth.Decision, error) {
	m.mu.Lock()
	asked := time.Now()
	a := m.accounts[c.User]
	down, accepted := m.down, a.accepted
	took := [...]time.Duration{0, time.Millisecond, 200 * time.Millisecond, slowest}[m.random.IntN(4)]
	if took == slowest {
		m.failed = asked.Add(slowest) // a known customer does not wait for it
	}
	m.asked++
	m.mu.Unlock()
	time.Sleep(took)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked--
	switch {
	case down:
		m.failed = time.Now()
		return auth.Decision{}, errDown
	case accepted:
		a.acceptance = asked
		return auth.Decision{Subject: c.User}, nil
	}
	a.refusal = asked
	return auth.Decision{Refusal: auth.WrongCredential}, nil
}

func (m *model) live() {
	var callers sync.WaitGroup
	defer time.Sleep(10 * time.Second) // renewals that nobody waits for
	defer callers.Wait()
	for range 300 {
		m.mu.Lock()
		user, what, n := fmt.Sprint(m.random.IntN(5)), m.random.IntN(8), m.random.Int64()
		switch what {
		case 0:
			a := m.accounts[user]
			a.accepted, a.since = !a.accepted, time.Now()
		case 1:
			m.down = !m.down
		}
		m.mu.Unlock()
		switch what {
		case 2:
			time.Sleep(time.Duration(n % int64(40*time.Second)))
		case 3:
			time.Sleep(time.Duration(n % int64(time.Second)))
		case 4:
			if n%10 == 0 {
				time.Sleep(time.Duration(n % int64(20*time.Minute)))
			}
		default:
			callers.Go(func() { m.ask(user) })
		}
	}
}

// ask asks the cache and judges the decision.
func (m *model) ask(user string) {
	got, err := m.cache.Authenticate(m.t.Context(), presented(user, "x"))
	m.mu.Lock()
	defer m.mu.Unlock()
	now, a := time.Now(), m.accounts[user]
	wrong := func(why string) {
		m.t.Errorf("seed %d: %s: %+v, %v; asked %v ago with acceptance, %v ago with refusal; failed %v ago",
			m.seed, why, got, err, now.Sub(a.acceptance), now.Sub(a.refusal), now.Sub(m.failed))
	}
	// recovery is how long after the last failure the cache may go on as if
	// the source were down: a breaker, a trial, and a pause.
	const recovery = 20 * time.Second
	failing := now.Sub(m.failed) <= recovery
	age := now.Sub(a.acceptance)
	switch {
	case err != nil:
		if !failing {
			wrong("an error without a failure")
		}
	case got.Refusal != "":
		if now.Sub(a.refusal) > m.config.RefusalTTL+slowest {
			wrong("a refusal that the source has not said")
		}
	case a.acceptance.IsZero() || age > m.config.TTL+m.config.StaleTTL+slowest:
		wrong("an acceptance beyond all bounds")
	case got.Cache != auth.Stale && age > m.config.TTL+slowest:
		wrong("an old acceptance that is not called stale")
	case a.refusal.After(a.acceptance.Add(slowest)):
		wrong("an acceptance after a later refusal")
	case !a.accepted && now.Sub(a.since) > m.config.TTL+2*slowest && !failing && m.asked == 0:
		wrong("a withdrawn customer beyond the bound, while the source answers")
	}
	if n := m.cache.Len(); n > m.config.MaxEntries+m.config.MaxRefusals {
		wrong(fmt.Sprint(n, " entries"))
	}
}

// FuzzPattern compares patterns with a matcher that tries everything.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"acme/*", "acme/appliance"}, {"acme/*", "acme/a/b"}, {"*", "a/b"}, {"1.?", "1.4"}, {"[a-c]x", "bx"}, {"[^a]", "b"}, {`\*`, "*"}, {"", ""}, {"[", "["}, {"a*b*c", "aXbYc"}, {"*", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		pattern, err := auth.NewPattern(glob)
		if err != nil {
			return
		}
		if strings.ContainsAny(glob, `[\`) || strings.Count(glob, "*") > 8 {
			return // classes are path.Match's own matter
		}
		if got, want := pattern.Match(name), tries([]rune(glob), []rune(name)); got != want && utf8.ValidString(glob) && utf8.ValidString(name) {
			t.Errorf("%q matches %q: %v, want %v", glob, name, got, want)
		}
	})
}

// tries matches by trying everything.
func tries(glob, name []rune) bool {
	switch {
	case len(glob) == 0:
		return len(name) == 0
	case glob[0] == '*':
		return tries(glob[1:], name) || len(name) > 0 && name[0] != '/' && tries(glob, name[1:])
	case len(name) == 0:
		return false
	case glob[0] == '?':
		return name[0] != '/' && tries(glob[1:], name[1:])
	}
	return glob[0] == name[0] && tries(glob[1:], name[1:])
}

func TestPatterns(t *testing.T) {
	for _, bad := range []string{"", "[", "a[", `a\`, strings.Repeat("a", 513)} {
		if pattern, err := auth.NewPattern(bad); err == nil {
			t.Errorf("%q was accepted as %v", bad, pattern)
		}
	}
	if (auth.Pattern{}).Match("") || (auth.Pattern{}).Match("a") {
		t.Error("the zero pattern matches something")
	}
}
