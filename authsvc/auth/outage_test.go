package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// TestBlanketRefusalIsAnOutage: a source that refuses more than half of at
// least ten known customers within a minute is broken, and not the end of all
// customers.
func TestBlanketRefusalIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		for i := range 60 {
			v.ask(t, cache, fmt.Sprint(i, "@acme.example"), fmt.Sprint(i), auth.Miss)
		}
		up := v.answer
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			return auth.Decision{Refusal: auth.WrongCredential}, nil
		}
		time.Sleep(time.Minute)
		refused := 0
		for i := range 60 {
			got, err := cache.Authenticate(t.Context(), presented(fmt.Sprint(i, "@acme.example"), fmt.Sprint(i)))
			switch {
			case err != nil:
				t.Fatal(err)
			case got.Refusal != "":
				refused++
			case got.Cache != auth.Stale:
				t.Errorf("customer %d: %+v", i, got)
			}
		}
		if refused != 9 {
			t.Errorf("%d customers were refused, want those before the tenth", refused)
		}
		v.answer = up
		time.Sleep(time.Minute)
		v.ask(t, cache, "59@acme.example", "59", auth.Miss)

		// One customer of twenty is a withdrawal like any other.
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if c.Secret.Reveal() == "40" {
				return auth.Decision{Refusal: auth.WrongCredential}, nil
			}
			return up(ctx, c)
		}
		time.Sleep(time.Minute)
		for i := 20; i < 60; i++ {
			got, err := cache.Authenticate(t.Context(), presented(fmt.Sprint(i, "@acme.example"), fmt.Sprint(i)))
			if err != nil || (got.Refusal != "") != (i == 40) {
				t.Errorf("customer %d: %+v, %v", i, got, err)
			}
		}
	})
}

// TestStrangersOpenNoBreakerOfCustomers: what strangers' look-ups meet never
// keeps a known customer from being asked about; and a stranger is told at once
// while the breaker is open.
func TestStrangersOpenNoBreakerOfCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if c.Secret.Reveal() != "licensed" {
				return auth.Decision{}, errDown
			}
			return up(ctx, c)
		}
		time.Sleep(time.Minute)
		for i := range 50 {
			if got, err := cache.Authenticate(t.Context(), presented("stranger", fmt.Sprint("s", i))); err == nil {
				t.Fatalf("stranger %d: %+v", i, got)
			}
		}
		if n := v.asked.Load(); n > 11 {
			t.Errorf("the source was asked %d times about strangers while it fails", n-1)
		}
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		v.answer = up
		time.Sleep(6 * time.Second)
		v.ask(t, cache, "new@acme.example", "new", auth.Miss)
	})
}

// TestStrangersLeaveRoomForCustomers: however many wait for the answer about one
// unknown credential, all of which share one look-up, they are bounded; else they
// would take all questions that authsvc answers at once.
func TestStrangersLeaveRoomForCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		config := settings()
		config.MaxStrangers = 5
		cache := newCache(t, v, config)
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			time.Sleep(3 * time.Second)
			return up(ctx, c)
		}
		start, waited := time.Now(), make(chan bool, 20)
		for range 20 {
			go func() {
				_, err := cache.Authenticate(t.Context(), presented("stranger@acme.example", "stranger"))
				waited <- err == nil
			}()
		}
		for range 15 {
			if <-waited {
				t.Error("one more was let wait")
			}
		}
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Hit)
		if time.Since(start) != 0 {
			t.Errorf("they were told after %v", time.Since(start))
		}
		for range 5 {
			if !<-waited {
				t.Error("one who waited got no answer")
			}
		}
		v.answer = up
		v.ask(t, cache, "new@acme.example", "new", auth.Miss) // there is room again
	})
}

// TestSlowSource: a known customer waits 250 ms for a renewal, whose answer
// counts when it comes; one who is not known waits for it.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			time.Sleep(3 * time.Second)
			return up(ctx, c)
		}
		time.Sleep(time.Minute)
		start := time.Now()
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Stale)
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("a known customer waited %v", took)
		}
		v.ask(t, cache, "new@acme.example", "new", auth.Miss)
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Hit)
		wantAsked(t, v, 3)
	})
}

// TestBanIsNoOracle: a banned address is told the same whatever it presents,
// but for a credential that it has used.
func TestBanIsNoOracle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if strings.HasPrefix(c.Secret.Reveal(), "wrong") {
				return auth.Decision{Refusal: auth.WrongCredential}, nil
			}
			return up(ctx, c)
		}
		cache := authtest.NewCache(v, settings())
		from := func(address, user, token string) auth.Decision {
			t.Helper()
			caller := presented(user, token)
			caller.Address = netip.MustParseAddr(address)
			got, err := cache.Authenticate(t.Context(), caller)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		from("198.51.100.1", "licensed1@acme.example", "licensed1")
		from("203.0.113.9", "licensed2@acme.example", "licensed2")
		for i := 0; ; i++ {
			got := from("203.0.113.9", fmt.Sprint("user", i), fmt.Sprint("wrong", i))
			if got.RetryAfter > time.Minute { // longer than any delay: a ban
				break
			}
			if got.Refusal == "" || i > 1000 {
				t.Fatalf("guess %d: %+v", i, got)
			}
			time.Sleep(got.RetryAfter + time.Second)
		}
		right := from("203.0.113.9", "licensed1@acme.example", "licensed1")
		wrong := from("203.0.113.9", "licensed1@acme.example", "wrong again")
		if right.Refusal != auth.TooManyGuesses || right.Refusal != wrong.Refusal || right.RetryAfter != wrong.RetryAfter || right.Subject != "" {
			t.Errorf("a right guess: %+v\na wrong one:   %+v", right, wrong)
		}
		for address, token := range map[string]string{"203.0.113.9": "licensed2", "198.51.100.1": "licensed1", "203.0.113.10": "licensed1"} {
			if got := from(address, token+"@acme.example", token); got.Refusal != "" {
				t.Errorf("%s from %s: %+v", token, address, got)
			}
		}
	})
}

// TestRestart: acceptances survive a restart, without a secret; not under
// another key, of another source, or if a byte was changed.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		before := newCache(t, v, settings())
		for i := range 20 {
			v.ask(t, before, fmt.Sprint("licensed", i, "@acme.example"), fmt.Sprint("licensed", i), auth.Miss)
		}
		file := filepath.Join(t.TempDir(), "customers")
		if err := before.Save(file, "source"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) { return auth.Decision{}, errDown }
		time.Sleep(5 * time.Minute)
		after := newCache(t, v, settings())
		if err := after.Load(file, "source"); err != nil {
			t.Fatal(err)
		}
		v.ask(t, after, "licensed7@acme.example", "licensed7", auth.Stale)
		got, err := after.Authenticate(t.Context(), presented("licensed7@acme.example", "licensed7"))
		if err != nil || got.Subject != "licensed7" || got.Grants.Len() != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(11 * time.Minute) // past stale_ttl
		if got, err := after.Authenticate(t.Context(), presented("licensed8@acme.example", "licensed8")); !errors.Is(err, errDown) {
			t.Errorf("past the bound: %+v, %v", got, err)
		}

		for name, changed := range map[string][]byte{
			"changed": []byte(strings.Replace(string(content), "licensed7", "licensed0", 1)), "half": content[:len(content)/2],
			"empty": {}, "more behind": append(content[:len(content):len(content)], " {}"...),
		} {
			if err := os.WriteFile(file, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := newCache(t, v, settings()).Load(file, "source"); err == nil {
				t.Errorf("a file that was %s is believed", name)
			}
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := newCache(t, v, settings()).Load(file, "other settings"); err == nil {
			t.Error("a file of a source with other settings is believed")
		}
	})
}

// TestRestartWithADistantEnd: a license that ends on 9999-12-31, which is how
// many say never, ends in the year 10000, for which JSON has no time. It must
// not keep everybody from being saved.
func TestRestartWithADistantEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		anything, err := auth.NewPattern("*")
		if err != nil {
			t.Fatal(err)
		}
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			end := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 1)
			return auth.Decision{Subject: "acme", Grants: auth.NewGrants(auth.Grant{Repository: anything, Tag: anything, Expires: end})}, nil
		}
		before := newCache(t, v, settings())
		v.ask(t, before, "acme", "licensed", auth.Miss)
		file := filepath.Join(t.TempDir(), "customers")
		if err := before.Save(file, "source"); err != nil {
			t.Fatal(err)
		}
		after := newCache(t, v, settings())
		if err := after.Load(file, "source"); err != nil {
			t.Fatal(err)
		}
		got, err := after.Authenticate(t.Context(), presented("acme", "licensed"))
		if err != nil || got.Cache != auth.Hit || got.Grants.Len() != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		for g := range got.Grants.All() {
			if !g.ValidAt(time.Now()) || g.Expires.Year() != 9999 {
				t.Errorf("the grant ends at %v", g.Expires)
			}
		}
	})
}

// FuzzLoad: no file that this key has not signed is taken over.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("00\n{}"))
	f.Add([]byte(strings.Repeat("0", 64) + "\n" + `{"version":1,"source":"source","entries":[]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		file := filepath.Join(t.TempDir(), "customers")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		cache := authtest.NewCache(accounts(), settings())
		if err := cache.Load(file, "source"); err == nil || cache.Len() != 0 {
			t.Errorf("%q was taken over: %v", content, err)
		}
	})
}

// TestHangingSource: when the breaker has opened, known customers do not wait
// for a source that hangs, but for the one by whom it is tried again.
func TestHangingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		ask := func(i int, want auth.CacheState) {
			t.Helper()
			v.ask(t, cache, fmt.Sprint("licensed", i, "@acme.example"), fmt.Sprint("licensed", i), want)
		}
		for i := range 50 {
			ask(i, auth.Miss)
		}
		up := v.answer
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			time.Sleep(5 * time.Second)
			return auth.Decision{}, errDown
		}
		time.Sleep(time.Minute)
		for i := range 10 { // the breaker opens when these have failed
			ask(i, auth.Stale)
		}
		time.Sleep(5 * time.Second)
		asked := v.asked.Load()
		for range 60 { // seconds
			start := time.Now()
			for i := range 50 {
				ask(i, auth.Stale)
			}
			if took := time.Since(start); took > 250*time.Millisecond {
				t.Fatalf("50 known customers waited %v", took)
			}
			time.Sleep(time.Second)
		}
		if n := v.asked.Load() - asked; n < 4 || n > 7 {
			t.Errorf("the source was tried %d times a minute, want once in 10 s", n)
		}
		v.answer = up
		time.Sleep(10 * time.Second) // the breaker opened again less than 10 s ago
		for range 2 {                // the second finds the answer to the first
			if got, err := cache.Authenticate(t.Context(), presented("licensed0@acme.example", "licensed0")); err != nil || got.Refusal != "" {
				t.Errorf("%+v, %v", got, err)
			}
			time.Sleep(time.Second)
		}
		ask(0, auth.Hit)
	})
}

// TestOneCustomersFaultIsNobodyElses: a customer about whom the source cannot
// answer, such as one with a license that cannot be read, is not asked about at
// each request when the last answer is too old to serve; that would open the
// breaker for all.
func TestOneCustomersFaultIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		v.ask(t, cache, "broken@acme.example", "broken", auth.Miss)
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if c.Secret.Reveal() == "broken" {
				return auth.Decision{}, errDown
			}
			return up(ctx, c)
		}
		time.Sleep(20 * time.Minute)
		before := v.asked.Load()
		for i := range 50 {
			got, err := cache.Authenticate(t.Context(), presented("broken@acme.example", "broken"))
			if !errors.Is(err, errDown) {
				t.Fatalf("request %d: %+v, %v, want the outage", i, got, err)
			}
		}
		if n := v.asked.Load() - before; n != 1 {
			t.Errorf("the source was asked %d times about one customer within a moment", n)
		}
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
	})
}

// TestUnreadableAnswersOpenNoBreaker: licenses that cannot be read are the
// vendor's mistake about some customers, and the others are asked about as ever.
func TestUnreadableAnswersOpenNoBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		for i := range 10 {
			v.ask(t, cache, fmt.Sprint("known", i, "@acme.example"), fmt.Sprint("known", i), auth.Miss)
		}
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if !strings.HasPrefix(c.Secret.Reveal(), "licensed") {
				return auth.Decision{}, fmt.Errorf("license 1 of the list: %w", auth.ErrUnreadable)
			}
			return up(ctx, c)
		}
		time.Sleep(time.Minute)
		for i := range 10 {
			v.ask(t, cache, fmt.Sprint("known", i, "@acme.example"), fmt.Sprint("known", i), auth.Stale)
			if got, err := cache.Authenticate(t.Context(), presented("new", fmt.Sprint("new", i))); !errors.Is(err, auth.ErrUnreadable) {
				t.Errorf("new customer %d: %+v, %v", i, got, err)
			}
		}
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		v.ask(t, cache, "licensed2@acme.example", "licensed2", auth.Miss)
	})
}

// TestUnreadableAnswersCostTheGuesser: tokens to which the source says neither
// yes nor no are no way to ask it without end.
func TestUnreadableAnswersCostTheGuesser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := authtest.NewCache(v, settings())
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if strings.HasPrefix(c.Secret.Reveal(), "odd") {
				return auth.Decision{}, fmt.Errorf("status 400: %w", auth.ErrUnreadable)
			}
			return up(ctx, c)
		}
		start := time.Now()
		for i := range 500 {
			guess := presented("guesser", fmt.Sprint("odd", i))
			guess.Address = netip.MustParseAddr("198.51.100.7")
			_, _ = cache.Authenticate(t.Context(), guess)
		}
		limit := guard.Defaults()
		if n, most := v.asked.Load(), int64(limit.AddressBurst)+int64(1+time.Since(start)/time.Second)*int64(limit.AddressPerSecond); n > most {
			t.Errorf("the source was asked %d times, want %d at most", n, most)
		}
		v.ask(t, cache, "new@acme.example", "new", auth.Miss)
	})
}

// TestBanTellsNothingOfARenewal: a banned address is told so at once, also for
// the right credential of somebody whose entry is due; the time and the question
// to the source would tell that it is right.
func TestBanTellsNothingOfARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := authtest.NewCache(v, settings())
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		elsewhere := func(password string) auth.Caller {
			c := presented("licensed@acme.example", password)
			c.Address = netip.MustParseAddr("198.51.100.7")
			return c
		}
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if c.Secret.Reveal() != "licensed" {
				return auth.Decision{Refusal: auth.WrongCredential}, nil
			}
			return up(ctx, c)
		}
		ban := guard.Defaults().Pair.Ban
		for i := range 2 * ban {
			_, _ = cache.Authenticate(t.Context(), elsewhere(fmt.Sprint("guess", i)))
			time.Sleep(40 * time.Second)
		}
		time.Sleep(time.Minute)
		before, start := v.asked.Load(), time.Now()
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			time.Sleep(time.Second)
			return auth.Decision{}, errDown
		}
		for _, password := range []string{"licensed", "another guess"} {
			got, err := cache.Authenticate(t.Context(), elsewhere(password))
			if err != nil || got.Refusal != auth.TooManyGuesses {
				t.Errorf("%s: %+v, %v", password, got, err)
			}
		}
		if n := v.asked.Load() - before; n != 0 || time.Since(start) != 0 {
			t.Errorf("the source was asked %d times, in %v", n, time.Since(start))
		}
	})
}

// TestWaveCountsACustomerOnce: those who were refused in a wave are asked about
// again every few seconds; they must not keep it up by themselves.
func TestWaveCountsACustomerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		cache := newCache(t, v, settings())
		for i := range 30 {
			v.ask(t, cache, fmt.Sprint(i, "@acme.example"), fmt.Sprint(i), auth.Miss)
		}
		up, refuses := v.answer, func(i string) bool { return len(i) == 2 && i < "25" } // 10 to 24
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if refuses(c.Secret.Reveal()) {
				return auth.Decision{Refusal: auth.WrongCredential}, nil
			}
			return up(ctx, c)
		}
		ask := func(i int) (auth.Decision, error) {
			return cache.Authenticate(t.Context(), presented(fmt.Sprint(i, "@acme.example"), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		for i := 10; i < 25; i++ { // fifteen licenses end at a time
			if _, err := ask(i); err != nil {
				t.Fatal(err)
			}
		}
		for range 30 { // for 3 minutes, in which fifteen others are renewed
			for i := range 30 {
				if _, err := ask(i); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(6 * time.Second)
		}
		for i := 10; i < 25; i++ {
			if got, err := ask(i); err != nil || got.Refusal == "" {
				t.Errorf("customer %d is still let through: %+v, %v", i, got, err)
			}
		}
	})
}

// TestWaveCountsAnAccountOnce: a database finds a user in any letter case, so one
// password is many credentials, and an account may have many tokens. A customer whose
// account is withdrawn cannot look like a wave of refusals by that, and go on.
func TestWaveCountsAnAccountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := foldingCase("ann")
		cache := newCache(t, v, settings())
		for i := range 20 {
			v.ask(t, cache, spelling("ann", i), "right", auth.Miss)
		}
		v.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			return auth.Decision{Refusal: auth.WrongCredential}, nil
		}
		time.Sleep(time.Minute)
		for i := range 20 {
			if got, err := cache.Authenticate(t.Context(), presented(spelling("ann", i), "right")); err != nil || got.Refusal == "" {
				t.Errorf("credential %d is still let through: %+v, %v", i, got, err)
			}
		}
	})
}

// foldingCase is a source that finds a licensed user in any letter case and with any
// spaces after it, as MariaDB does.
func foldingCase(user string) *vendor {
	all, _ := auth.NewPattern("*")
	return &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
		if !strings.EqualFold(strings.TrimSpace(c.User), user) || c.Secret.Reveal() != "right" {
			return auth.Decision{Refusal: auth.WrongCredential}, nil
		}
		return auth.Decision{Subject: user, User: user, Grants: auth.NewGrants(auth.Grant{Repository: all, Tag: all, License: "lic_1"})}, nil
	}}
}

// spelling is one of many ways to write a user.
func spelling(user string, i int) string { return user + strings.Repeat(" ", i) }

// TestPanickingSource: a source that panics is an outage, and not the end of
// the program.
func TestPanickingSource(t *testing.T) {
	v := &vendor{bearer: true, answer: func(context.Context, credential.Credential) (auth.Decision, error) { panic("source") }}
	if got, err := newCache(t, v, settings()).Authenticate(t.Context(), presented("ann", "right")); err == nil {
		t.Errorf("%+v", got)
	}
}

// TestBadCredentialsShutOutNobody: credentials at which the source fails do not
// keep others from logging in, as long as it answers known customers.
func TestBadCredentialsShutOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := accounts()
		up := v.answer
		v.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
			if strings.HasPrefix(c.Secret.Reveal(), "odd") {
				return auth.Decision{}, errDown
			}
			return up(ctx, c)
		}
		cache := newCache(t, v, settings())
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		time.Sleep(time.Minute)
		v.ask(t, cache, "licensed@acme.example", "licensed", auth.Miss)
		for i := range 20 {
			if _, err := cache.Authenticate(t.Context(), presented("guesser", fmt.Sprint("odd", i))); !errors.Is(err, errDown) {
				t.Fatalf("token %d: %v", i, err)
			}
		}
		v.ask(t, cache, "new@acme.example", "new", auth.Miss)
	})
}
