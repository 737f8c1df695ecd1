package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// A vendor answers by a function, and counts how often it is asked.
type vendor struct {
	answer func(context.Context, credential.Credential) (auth.Decision, error)
	asked  atomic.Int64
}

func (v *vendor) Authenticate(ctx context.Context, c credential.Credential) (auth.Decision, error) {
	v.asked.Add(1)
	return v.answer(ctx, c)
}

// knows is a vendor with one customer, whose password is "right".
func knows(user string) *vendor {
	return &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
		if c.User != user || c.Secret.Reveal() != "right" {
			return auth.Decision{Subject: c.User, Refusal: auth.WrongCredential}, nil
		}
		return auth.Decision{Subject: c.User, Grants: []auth.Grant{{License: "lic_1"}}}, nil
	}}
}

var errDown = errors.New("the vendor is down")

// A clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func settings(c *clock) auth.CacheConfig {
	return auth.CacheConfig{TTL: time.Minute, RefusalTTL: 10 * time.Second, StaleTTL: 15 * time.Minute, MaxEntries: 100, MaxRefusals: 10, Now: c.Now}
}

func presented(user, password string) credential.Credential {
	return credential.Credential{User: user, Secret: credential.NewSecret(password)}
}

// wants asks the cache and checks the decision.
func wants(t *testing.T, cache *auth.Cache, c credential.Credential, refusal auth.Refusal, state auth.CacheState) {
	t.Helper()
	decision, err := cache.Authenticate(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", c.User, err)
	}
	if decision.Refusal != refusal || decision.Cache != state || decision.Subject != c.User || (refusal == "") != (len(decision.Grants) == 1) {
		t.Errorf("%s: %+v, want refusal %q from %s", c.User, decision, refusal, state)
	}
}

func wantAsked(t *testing.T, v *vendor, want int64) {
	t.Helper()
	if got := v.asked.Load(); got != want {
		t.Errorf("the vendor was asked %d times, want %d", got, want)
	}
}

func TestTimesToLive(t *testing.T) {
	clock, v := newClock(), knows("ann")
	cache := auth.NewCache(v, settings(clock))
	good, bad := presented("ann", "right"), presented("ann", "wrong")
	wants(t, cache, good, "", auth.Miss)
	wants(t, cache, bad, auth.WrongCredential, auth.Miss)
	wantAsked(t, v, 2)
	clock.pass(10*time.Second - 1)
	wants(t, cache, good, "", auth.Hit)
	wants(t, cache, bad, auth.WrongCredential, auth.Hit)
	clock.pass(1)
	wants(t, cache, bad, auth.WrongCredential, auth.Miss)
	wantAsked(t, v, 3)
	clock.pass(50*time.Second - 1) // hits do not prolong
	wants(t, cache, good, "", auth.Hit)
	clock.pass(1)
	wants(t, cache, good, "", auth.Miss)
	wantAsked(t, v, 4)
}

// TestWithdrawal: from the vendor's refusal on, at most the TTL passes.
func TestWithdrawal(t *testing.T) {
	clock, v := newClock(), knows("ann")
	cache := auth.NewCache(v, settings(clock))
	ann := presented("ann", "right")
	wants(t, cache, ann, "", auth.Miss)
	known := v.answer
	v.answer = knows("nobody").answer
	clock.pass(time.Minute)
	wants(t, cache, ann, auth.WrongCredential, auth.Miss)
	// And what was known before does not come back in an outage.
	v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }
	clock.pass(10 * time.Second)
	if decision, err := cache.Authenticate(t.Context(), ann); !errors.Is(err, errDown) {
		t.Errorf("a revoked customer in an outage: %+v, %v", decision, err)
	}
	v.answer = known
	wants(t, cache, ann, "", auth.Miss)
}

func TestOutage(t *testing.T) {
	clock, v := newClock(), knows("ann")
	cache := auth.NewCache(v, settings(clock))
	ann, stranger := presented("ann", "right"), presented("bob", "right")
	wants(t, cache, ann, "", auth.Miss)
	up := v.answer
	v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }

	wants(t, cache, ann, "", auth.Hit)
	clock.pass(time.Minute)
	wants(t, cache, ann, "", auth.Stale)
	wantAsked(t, v, 2)
	wants(t, cache, ann, "", auth.Stale) // without another attempt
	wantAsked(t, v, 2)
	clock.pass(5 * time.Second)
	wants(t, cache, ann, "", auth.Stale)
	wantAsked(t, v, 3)

	// Nobody else, and the same customer with another password neither.
	for _, c := range []credential.Credential{stranger, presented("ann", "wrong")} {
		for range 2 { // an error is not remembered
			before := v.asked.Load()
			if decision, err := cache.Authenticate(t.Context(), c); !errors.Is(err, errDown) {
				t.Errorf("%s: %+v, %v", c.User, decision, err)
			}
			wantAsked(t, v, before+1)
		}
	}

	clock.pass(15*time.Minute - 5*time.Second - 1)
	wants(t, cache, ann, "", auth.Stale)
	clock.pass(1)
	if decision, err := cache.Authenticate(t.Context(), ann); !errors.Is(err, errDown) {
		t.Errorf("after the bound: %+v, %v", decision, err)
	}
	v.answer = up
	wants(t, cache, ann, "", auth.Miss)
	wants(t, cache, ann, "", auth.Hit)
}

func TestNoStale(t *testing.T) {
	clock, v := newClock(), knows("ann")
	config := settings(clock)
	config.StaleTTL = 0
	cache := auth.NewCache(v, config)
	wants(t, cache, presented("ann", "right"), "", auth.Miss)
	v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }
	clock.pass(time.Minute)
	if decision, err := cache.Authenticate(t.Context(), presented("ann", "right")); !errors.Is(err, errDown) {
		t.Errorf("%+v, %v", decision, err)
	}
}

// TestCVE_2022_46146: exporter-toolkit's cache could be poisoned by a chosen
// pair whose parts run together.
func TestCVE_2022_46146(t *testing.T) {
	same := [][2]string{
		{"ann", "right"}, {"annr", "ight"}, {"an", "nright"}, {"annright", ""}, {"", "annright"}, {"ann\x00right", ""},
		{"ann:", "right"}, {"ann", ":right"}, {"\x03ann\x05right", ""}, {"ann\x00\x00\x00\x00\x00\x00\x00\x05", "right"},
	}
	v := knows("ann")
	cache := auth.NewCache(v, settings(newClock()))
	for i, pair := range same {
		refusal := auth.WrongCredential
		if i == 0 {
			refusal = ""
		}
		wants(t, cache, presented(pair[0], pair[1]), refusal, auth.Miss)
	}
}

// TestNginxLDAPAuth103: the decision cache's key lacked the credential, so
// after one success everybody was in.
func TestNginxLDAPAuth103(t *testing.T) {
	v := knows("ann")
	cache := auth.NewCache(v, settings(newClock()))
	wants(t, cache, presented("ann", "right"), "", auth.Miss)
	wants(t, cache, presented("ann", "wrong"), auth.WrongCredential, auth.Miss)
	wants(t, cache, presented("ann", ""), auth.WrongCredential, auth.Miss)
	wants(t, cache, presented("Ann", "right"), auth.WrongCredential, auth.Miss)
	wants(t, cache, presented("ann", "right"), "", auth.Hit)
}

// TestCouper964: sprayed wrong passwords filled the cache.
func TestCouper964(t *testing.T) {
	v := knows("ann")
	cache := auth.NewCache(v, settings(newClock()))
	wants(t, cache, presented("ann", "right"), "", auth.Miss)
	for i := range 1000 {
		wants(t, cache, presented("ann", fmt.Sprint(i)), auth.WrongCredential, auth.Miss)
	}
	wants(t, cache, presented("ann", "right"), "", auth.Hit)
	if got := cache.Len(); got != 11 {
		t.Errorf("%d credentials kept, want 1 accepted and 10 refused", got)
	}
}

// TestBound: the one that came first makes room.
func TestBound(t *testing.T) {
	v := &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
		return auth.Decision{Subject: c.User, Grants: []auth.Grant{{}}}, nil
	}}
	cache := auth.NewCache(v, settings(newClock()))
	for i := range 250 {
		wants(t, cache, presented(fmt.Sprint(i), "x"), "", auth.Miss)
		if got := cache.Len(); got > 100 {
			t.Fatalf("%d credentials kept, want 100 at most", got)
		}
	}
	for i := 150; i < 250; i++ {
		wants(t, cache, presented(fmt.Sprint(i), "x"), "", auth.Hit)
	}
	wants(t, cache, presented("149", "x"), "", auth.Miss)
}

// TestOneQuestion: 1,000 requests with one new credential ask once.
func TestOneQuestion(t *testing.T) {
	release := make(chan struct{})
	v := knows("ann")
	answer := v.answer
	v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
		<-release
		return answer(ctx, c)
	}
	cache := auth.NewCache(v, settings(newClock()))
	var all, waiting sync.WaitGroup
	for range 1000 {
		waiting.Add(1)
		all.Go(func() {
			waiting.Done()
			decision, err := cache.Authenticate(t.Context(), presented("ann", "right"))
			if err != nil || decision.Refusal != "" || len(decision.Grants) != 1 {
				t.Errorf("%+v, %v", decision, err)
			}
		})
	}
	waiting.Wait()
	close(release)
	all.Wait()
	wantAsked(t, v, 1)
}

// TestCallerLeaves: one that leaves takes nobody with it.
func TestCallerLeaves(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{})
	v := knows("ann")
	answer := v.answer
	v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
		close(asked)
		<-release
		if ctx.Err() != nil {
			return auth.Decision{}, ctx.Err()
		}
		return answer(ctx, c)
	}
	cache := auth.NewCache(v, settings(newClock()))
	ctx, leave := context.WithCancel(t.Context())
	var left, stayed sync.WaitGroup
	left.Go(func() {
		if _, err := cache.Authenticate(ctx, presented("ann", "right")); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that left: %v", err)
		}
	})
	<-asked
	stayed.Go(func() {
		if decision, err := cache.Authenticate(t.Context(), presented("ann", "right")); err != nil || decision.Refusal != "" {
			t.Errorf("the one that stayed: %+v, %v", decision, err)
		}
	})
	leave()
	left.Wait()
	close(release)
	stayed.Wait()
	wantAsked(t, v, 1)
}

func BenchmarkCacheHit(b *testing.B) {
	cache := auth.NewCache(knows("ann"), settings(newClock()))
	ann := presented("ann", "right")
	b.ReportAllocs()
	for b.Loop() {
		if decision, err := cache.Authenticate(b.Context(), ann); err != nil || decision.Refusal != "" {
			b.Fatal(decision, err)
		}
	}
}
