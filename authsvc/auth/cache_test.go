package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// A vendor answers by a function, and counts how often it is asked.
type vendor struct {
	answer func(context.Context, credential.Credential) (auth.Decision, error)
	bearer bool
	asked  atomic.Int64
}

func (v *vendor) Bearer() bool { return v.bearer }

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
		return auth.Decision{Subject: c.User, Grants: auth.NewGrants(auth.Grant{License: "lic_1"})}, nil
	}}
}

var errDown = errors.New("the vendor is down")

func settings() auth.CacheConfig {
	return auth.CacheConfig{TTL: time.Minute, RefusalTTL: 10 * time.Second, StaleTTL: 15 * time.Minute, MaxEntries: 100, MaxRefusals: 10, MaxStrangers: 1000}
}

// newCache is a cache whose guard lets everybody in, so that what the cache
// does is seen by itself.
func newCache(t testing.TB, source auth.Source, config auth.CacheConfig) *auth.Cache {
	t.Helper()
	open := guard.Defaults()
	open.Uncounted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	open.InFlight, open.PerSecond, open.Burst, open.AddressInFlight, open.AddressPerSecond, open.AddressBurst = 1e4, 1e6, 1e6, 1e4, 1e6, 1e6
	return authtest.Guarded(source, config, open)
}

func presented(user, password string) auth.Caller {
	return auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret(password)}, Address: netip.MustParseAddr("192.0.2.1")}
}

// wants asks the cache and checks the decision.
func wants(t *testing.T, cache *auth.Cache, c auth.Caller, refusal auth.Refusal, state auth.CacheState) {
	t.Helper()
	decision, err := cache.Authenticate(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", c.User, err)
	}
	if decision.Refusal != refusal || decision.Cache != state || decision.Subject != c.User || (refusal == "") != (decision.Grants.Len() == 1) {
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
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		cache := newCache(t, v, settings())
		good, bad := presented("ann", "right"), presented("ann", "wrong")
		wants(t, cache, good, "", auth.Miss)
		wants(t, cache, bad, auth.WrongCredential, auth.Miss)
		wantAsked(t, v, 2)
		time.Sleep(10*time.Second - 1)
		wants(t, cache, good, "", auth.Hit)
		wants(t, cache, bad, auth.WrongCredential, auth.Hit)
		time.Sleep(time.Nanosecond)
		wants(t, cache, bad, auth.WrongCredential, auth.Miss)
		wantAsked(t, v, 3)
		time.Sleep(50*time.Second - 1) // hits do not prolong
		wants(t, cache, good, "", auth.Hit)
		time.Sleep(time.Nanosecond)
		wants(t, cache, good, "", auth.Miss)
		wantAsked(t, v, 4)
	})
}

// TestWithdrawal: from the vendor's refusal on, at most the TTL passes.
func TestWithdrawal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		cache := newCache(t, v, settings())
		ann := presented("ann", "right")
		wants(t, cache, ann, "", auth.Miss)
		known := v.answer
		v.answer = knows("nobody").answer
		time.Sleep(time.Minute)
		wants(t, cache, ann, auth.WrongCredential, auth.Miss)
		// And what was known before does not come back in an outage.
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }
		time.Sleep(10 * time.Second)
		if decision, err := cache.Authenticate(t.Context(), ann); !errors.Is(err, errDown) {
			t.Errorf("a revoked customer in an outage: %+v, %v", decision, err)
		}
		v.answer = known
		time.Sleep(6 * time.Second) // the outage is remembered for a moment
		wants(t, cache, ann, "", auth.Miss)
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		cache := newCache(t, v, settings())
		ann, stranger := presented("ann", "right"), presented("bob", "right")
		wants(t, cache, ann, "", auth.Miss)
		up := v.answer
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }

		wants(t, cache, ann, "", auth.Hit)
		time.Sleep(time.Minute)
		wants(t, cache, ann, "", auth.Stale)
		wantAsked(t, v, 2)
		wants(t, cache, ann, "", auth.Stale) // without another attempt
		wantAsked(t, v, 2)
		time.Sleep(5 * time.Second)
		wants(t, cache, ann, "", auth.Stale)
		wantAsked(t, v, 3)

		// Nobody else, and the same customer with another password neither.
		for _, c := range []auth.Caller{stranger, presented("ann", "wrong")} {
			before := v.asked.Load()
			for range 3 { // an outage is remembered for a moment
				if decision, err := cache.Authenticate(t.Context(), c); !errors.Is(err, errDown) {
					t.Errorf("%s: %+v, %v", c.User, decision, err)
				}
			}
			wantAsked(t, v, before+1)
		}

		time.Sleep(15*time.Minute - 5*time.Second - 1)
		wants(t, cache, ann, "", auth.Stale)
		time.Sleep(6 * time.Second)
		if decision, err := cache.Authenticate(t.Context(), ann); !errors.Is(err, errDown) {
			t.Errorf("after the bound: %+v, %v", decision, err)
		}
		v.answer = up
		time.Sleep(5 * time.Second) // the outage is remembered for a moment
		wants(t, cache, ann, "", auth.Miss)
		wants(t, cache, ann, "", auth.Hit)
	})
}

func TestNoStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		config := settings()
		config.StaleTTL = 0
		cache := newCache(t, v, config)
		wants(t, cache, presented("ann", "right"), "", auth.Miss)
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }
		time.Sleep(time.Minute)
		if decision, err := cache.Authenticate(t.Context(), presented("ann", "right")); !errors.Is(err, errDown) {
			t.Errorf("%+v, %v", decision, err)
		}
	})
}

// TestCVE_2022_46146: exporter-toolkit's cache could be poisoned by a chosen
// pair whose parts run together.
func TestCVE_2022_46146(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := [][2]string{
			{"ann", "right"}, {"annr", "ight"}, {"an", "nright"}, {"annright", ""}, {"", "annright"}, {"ann\x00right", ""},
			{"ann:", "right"}, {"ann", ":right"}, {"\x03ann\x05right", ""}, {"ann\x00\x00\x00\x00\x00\x00\x00\x05", "right"},
		}
		v := knows("ann")
		cache := newCache(t, v, settings())
		for i, pair := range same {
			refusal := auth.WrongCredential
			if i == 0 {
				refusal = ""
			}
			wants(t, cache, presented(pair[0], pair[1]), refusal, auth.Miss)
		}
	})
}

// TestNginxLDAPAuth103: the decision cache's key lacked the credential, so
// after one success everybody was in.
func TestNginxLDAPAuth103(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		cache := newCache(t, v, settings())
		wants(t, cache, presented("ann", "right"), "", auth.Miss)
		wants(t, cache, presented("ann", "wrong"), auth.WrongCredential, auth.Miss)
		wants(t, cache, presented("ann", ""), auth.WrongCredential, auth.Miss)
		wants(t, cache, presented("Ann", "right"), auth.WrongCredential, auth.Miss)
		wants(t, cache, presented("ann", "right"), "", auth.Hit)
	})
}

// TestCouper964: sprayed wrong passwords filled the cache.
func TestCouper964(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := knows("ann")
		cache := newCache(t, v, settings())
		wants(t, cache, presented("ann", "right"), "", auth.Miss)
		for i := range 1000 {
			wants(t, cache, presented("ann", fmt.Sprint(i)), auth.WrongCredential, auth.Miss)
		}
		wants(t, cache, presented("ann", "right"), "", auth.Hit)
		if got := cache.Len(); got != 11 {
			t.Errorf("%d credentials kept, want 1 accepted and 10 refused", got)
		}
	})
}

// accounts is a source whose tokens are their accounts' names; those that begin
// with "licensed" have a license.
func accounts() *vendor {
	anything, err := auth.NewPattern("*")
	if err != nil {
		panic(err)
	}
	return &vendor{bearer: true, answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
		token := c.Secret.Reveal()
		d := auth.Decision{Subject: token, User: token + "@acme.example"}
		if strings.HasPrefix(token, "licensed") {
			d.Grants = auth.NewGrants(auth.Grant{Repository: anything, Tag: anything, License: "lic_1"})
		}
		return d, nil
	}}
}

func (v *vendor) ask(t *testing.T, cache *auth.Cache, user, token string, want auth.CacheState) {
	t.Helper()
	got, err := cache.Authenticate(t.Context(), presented(user, token))
	if err != nil || got.Refusal != "" || got.Cache != want {
		t.Errorf("%s: %+v, %v; want an acceptance by a %s", user, got, err, want)
	}
}

// TestBound: the one that was used least recently makes room.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		for i := range 100 {
			v.ask(t, cache, fmt.Sprint(i, "@acme.example"), fmt.Sprint(i), auth.Miss)
		}
		v.ask(t, cache, "0@acme.example", "0", auth.Hit)
		for i := 100; i < 150; i++ {
			v.ask(t, cache, fmt.Sprint(i, "@acme.example"), fmt.Sprint(i), auth.Miss)
		}
		if got := cache.Len(); got != 100 {
			t.Errorf("%d credentials kept, want 100", got)
		}
		v.ask(t, cache, "0@acme.example", "0", auth.Hit)
		v.ask(t, cache, "51@acme.example", "51", auth.Hit)
		v.ask(t, cache, "1@acme.example", "1", auth.Miss)
	})
}

// TestOneGoodTokenPushesNobodyOut: one token under 11,000 names made 11,000
// calls, and pushed every customer out of the cache. It is one entry.
func TestOneGoodTokenPushesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		for i := range 50 {
			v.ask(t, cache, fmt.Sprint("licensed", i, "@acme.example"), fmt.Sprint("licensed", i), auth.Miss)
		}
		for i := range 11_000 {
			got, err := cache.Authenticate(t.Context(), presented(fmt.Sprint("name", i), "token"))
			if err != nil || got.Refusal != auth.WrongAccount {
				t.Fatalf("name %d: %+v, %v", i, got, err)
			}
		}
		v.ask(t, cache, " TOKEN@acme.EXAMPLE ", "token", auth.Hit)
		wantAsked(t, v, 51)
		for i := range 50 {
			v.ask(t, cache, fmt.Sprint("licensed", i, "@acme.example"), fmt.Sprint("licensed", i), auth.Hit)
		}
	})
}

// TestOneAccountPushesNobodyOut: neither do many credentials of one licensed account,
// such as the spellings of its user that a database takes for the same one.
func TestOneAccountPushesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ann, bob := foldingCase("ann"), foldingCase("bob")
		v := &vendor{answer: func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if strings.HasPrefix(c.User, "bob") {
				return bob.answer(ctx, c)
			}
			return ann.answer(ctx, c)
		}}
		cache := newCache(t, v, settings())
		v.ask(t, cache, "bob", "right", auth.Miss)
		for i := range 200 {
			v.ask(t, cache, spelling("ann", i), "right", auth.Miss)
		}
		v.ask(t, cache, "ann", "right", auth.Miss) // it was used least recently
		v.ask(t, cache, "bob", "right", auth.Hit)
		v.ask(t, cache, "bob ", "right", auth.Miss)
		v.ask(t, cache, "bob ", "right", auth.Hit) // there is room for new ones
	})
}

// TestCustomersWithinTheHourStay: accounts without a license, however many,
// take no place of a customer who pulled within the hour; when such customers
// fill the bound, new ones are served without an entry.
func TestCustomersWithinTheHourStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		config := settings()
		config.TTL = 3 * time.Hour
		cache := newCache(t, v, config)
		ask := func(name string, want auth.CacheState) { t.Helper(); v.ask(t, cache, name+"@acme.example", name, want) }
		for i := range 60 {
			ask(fmt.Sprint("licensed", i), auth.Miss)
		}
		for i := range 1000 {
			ask(fmt.Sprint("free", i), auth.Miss)
		}
		time.Sleep(59 * time.Minute)
		for i := range 60 {
			ask(fmt.Sprint("licensed", i), auth.Hit)
		}
		for i := 60; i < 100; i++ {
			ask(fmt.Sprint("licensed", i), auth.Miss)
		}
		for range 2 {
			ask("licensed too many", auth.Miss)
		}
		time.Sleep(time.Hour)
		ask("licensed99", auth.Hit)
		ask("licensed too many", auth.Miss)
		ask("licensed too many", auth.Hit)
		if got := cache.Len(); got != 100 {
			t.Errorf("%d credentials kept, want 100", got)
		}
	})
}

// TestPasswordsAreNotShared: where a secret is nothing without its user, two
// users with one password share nothing.
func TestPasswordsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
			return auth.Decision{Subject: c.User, User: c.User, Grants: auth.NewGrants(auth.Grant{License: c.User})}, nil
		}}
		cache := newCache(t, v, settings())
		for range 2 {
			for _, user := range []string{"ann", "bob"} {
				got, err := cache.Authenticate(t.Context(), presented(user, "123456"))
				if err != nil || got.Subject != user || slices.Collect(got.Grants.All())[0].License != user {
					t.Errorf("%s: %+v, %v", user, got, err)
				}
			}
		}
		wantAsked(t, v, 2)
	})
}

// TestSubjectWithoutAName: where the source names no account, a hash of the
// secret does, whoever is typed.
func TestSubjectWithoutAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{bearer: true, answer: func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, nil }}
		cache := newCache(t, v, settings())
		subject := func(user, secret string) string {
			d, err := cache.Authenticate(t.Context(), presented(user, secret))
			if err != nil {
				t.Fatal(err)
			}
			return d.Subject
		}
		one, again, other := subject("ann", "one"), subject("bob", "one"), subject("ann", "other")
		if one != again || one == other || !strings.HasPrefix(one, "token:") || strings.Contains(one, "one") {
			t.Errorf("subjects %s, %s, %s", one, again, other)
		}
	})
}

// TestOneQuestion: 1,000 requests with one new credential ask once.
func TestOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := knows("ann")
		answer := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			<-release
			return answer(ctx, c)
		}
		cache := newCache(t, v, settings())
		var all, waiting sync.WaitGroup
		for range 1000 {
			waiting.Add(1)
			all.Go(func() {
				waiting.Done()
				decision, err := cache.Authenticate(t.Context(), presented("ann", "right"))
				if err != nil || decision.Refusal != "" || decision.Grants.Len() != 1 {
					t.Errorf("%+v, %v", decision, err)
				}
			})
		}
		waiting.Wait()
		close(release)
		all.Wait()
		wantAsked(t, v, 1)
	})
}

// TestCallerLeaves: one that leaves takes nobody with it.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
		cache := newCache(t, v, settings())
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
	})
}

func BenchmarkCacheHit(b *testing.B) {
	cache := newCache(b, knows("ann"), settings())
	ann := presented("ann", "right")
	b.ReportAllocs()
	for b.Loop() {
		if decision, err := cache.Authenticate(b.Context(), ann); err != nil || decision.Refusal != "" {
			b.Fatal(decision, err)
		}
	}
}
