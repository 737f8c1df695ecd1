package auth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// has is a source with one user, whose password is "right"; other users are not its
// own.
func has(user string) *vendor {
	return &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
		switch {
		case c.User != user:
			return auth.Decision{Refusal: auth.NotMine}, nil
		case c.Secret.Reveal() != "right":
			return auth.Decision{Refusal: auth.WrongCredential, Reason: "account suspended"}, nil
		}
		all, _ := auth.NewPattern("*")
		return auth.Decision{Subject: user, User: user, Grants: auth.NewGrants(auth.Grant{Repository: all, Tag: all, License: "lic_1"})}, nil
	}}
}

func down(context.Context, credential.Credential) (auth.Decision, error) {
	return auth.Decision{}, errDown
}

// chained puts sources into a chain, as the program does.
func chained(t testing.TB, sources map[string]*vendor, order ...string) auth.Chain {
	t.Helper()
	numbers, logger, key := prometheus.NewRegistry(), slog.New(slog.DiscardHandler), credential.NewKey([]byte("key"))
	var chain auth.Chain
	for _, name := range order {
		labeled := prometheus.WrapRegistererWith(prometheus.Labels{"source": name}, numbers)
		gate, err := guard.New(guard.Defaults(), labeled, logger)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, auth.Member{Cache: auth.NewCache(auth.Options{Source: sources[name], Name: name, Settings: name,
			Config: settings(), Hashes: key, Guard: gate, Logger: logger, Metrics: labeled})})
	}
	return chain
}

// says asks a chain and returns the answer in words.
func says(t testing.TB, c auth.Chain, user, password string) string {
	t.Helper()
	decision, err := c.Authenticate(t.Context(), presented(user, password))
	switch {
	case err != nil:
		return "outage: " + err.Error()
	case decision.Refusal != "":
		return strings.TrimSuffix("refused: "+string(decision.Refusal)+", "+decision.Reason, ", ")
	}
	return decision.Subject
}

// TestChain: only a source that does not know the user sends the question on.
func TestChain(t *testing.T) {
	for _, test := range []struct {
		name           string
		first, second  *vendor
		user, password string
		want           string
		asked          [2]int64
	}{
		{"the first one's", has("ann"), has("bob"), "ann", "right", "first/ann", [2]int64{1, 0}},
		{"the second one's", has("ann"), has("bob"), "bob", "right", "second/bob", [2]int64{1, 1}},
		{"a refusal ends it", has("ann"), has("ann"), "ann", "wrong", "refused: credential, account suspended", [2]int64{1, 0}},
		{"an outage ends it", &vendor{answer: down}, has("bob"), "bob", "right", "outage: source first: the vendor is down", [2]int64{1, 0}},
		{"nobody's", has("ann"), has("bob"), "eve", "right", "refused: credential", [2]int64{1, 1}},
		{"a wrong password of the second one's", has("ann"), has("bob"), "bob", "wrong", "refused: credential, account suspended", [2]int64{1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain := chained(t, map[string]*vendor{"first": test.first, "second": test.second}, "first", "second")
			for range 3 {
				if got := says(t, chain, test.user, test.password); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
			if asked := [2]int64{test.first.asked.Load(), test.second.asked.Load()}; asked != test.asked {
				t.Errorf("the sources were asked %v times, want %v", asked, test.asked)
			}
		})
	}
}

// TestUsersOfASource: a user's secret goes to the sources for that user alone.
func TestUsersOfASource(t *testing.T) {
	staff, rest := has("ann@vendor.com"), has("bob@acme.example")
	chain := chained(t, map[string]*vendor{"staff": staff, "rest": rest}, "staff", "rest")
	pattern, err := auth.NewPattern("*@vendor.com")
	if err != nil {
		t.Fatal(err)
	}
	chain[0].Users = []auth.Pattern{pattern}
	if got := says(t, chain, "bob@acme.example", "right"); got != "rest/bob@acme.example" || staff.asked.Load() != 0 {
		t.Errorf("%s; the other source was asked %d times", got, staff.asked.Load())
	}
	if got := says(t, chain, "Eve@VENDOR.com", "right"); got != "refused: credential" || staff.asked.Load() != 1 {
		t.Errorf("%s; the source was asked %d times", got, staff.asked.Load())
	}
	chain = chain[:1]
	if got := says(t, chain, "bob@acme.example", "right"); got != "refused: credential" || staff.asked.Load() != 1 {
		t.Errorf("%s; the source was asked %d times", got, staff.asked.Load())
	}
}

// TestKnownCustomersNeedNoOtherSource: a customer of the second source passes while
// the first one is down, and costs it nothing.
func TestKnownCustomersNeedNoOtherSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := has("ann"), has("bob")
		chain := chained(t, map[string]*vendor{"first": first, "second": second}, "first", "second")
		says(t, chain, "bob", "right")
		first.answer = down
		for range 10 {
			time.Sleep(2 * time.Minute)
			if got := says(t, chain, "bob", "right"); got != "second/bob" {
				t.Fatal(got)
			}
		}
		if n := first.asked.Load(); n != 1 {
			t.Errorf("the first source was asked %d times, want 1", n)
		}
	})
}

// TestOutageKeepsOnlyItsOwnCustomers: what a source withdraws ends within its time to
// live, whichever other source is down.
func TestOutageKeepsOnlyItsOwnCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := has("ann"), has("bob")
		chain := chained(t, map[string]*vendor{"first": first, "second": second}, "first", "second")
		says(t, chain, "ann", "right")
		says(t, chain, "bob", "right")
		first.answer = down
		second.answer = func(context.Context, credential.Credential) (auth.Decision, error) {
			return auth.Decision{Refusal: auth.WrongCredential}, nil
		}
		time.Sleep(61 * time.Second)
		if got := says(t, chain, "ann", "right"); got != "first/ann" {
			t.Errorf("a customer of the source that is down: %s", got)
		}
		if got := says(t, chain, "bob", "right"); got != "refused: credential" {
			t.Errorf("a customer whom the other source refuses: %s", got)
		}
	})
}

// TestEndOfACredential: nothing outlives the end that a source gave, neither in the
// cache nor in an outage nor over a restart.
func TestEndOfACredential(t *testing.T) {
	for name, outage := range map[string]bool{"cached": false, "outage": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := time.Now().Add(90 * time.Second)
				source := has("ann")
				answer := source.answer
				source.answer = func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
					decision, err := answer(ctx, c)
					decision.Ends = ends
					return decision, err
				}
				chain := chained(t, map[string]*vendor{"first": source}, "first")
				says(t, chain, "ann", "right")
				time.Sleep(61 * time.Second)
				if outage {
					source.answer = down
				}
				if got := says(t, chain, "ann", "right"); got != "first/ann" {
					t.Fatalf("before the end: %s", got)
				}
				file := filepath.Join(t.TempDir(), "customers")
				if err := chain[0].Save(file, "first"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(29 * time.Second)
				restarted := chained(t, map[string]*vendor{"first": source}, "first")
				if err := restarted[0].Load(file, "first"); err != nil {
					t.Fatal(err)
				}
				want := "refused: credential, the credential has expired"
				if outage {
					want = "outage: source first: the vendor is down"
				}
				for _, chain := range []auth.Chain{chain, restarted} {
					if got := says(t, chain, "ann", "right"); got != want {
						t.Errorf("at the end: %s, want %s", got, want)
					}
				}
			})
		})
	}
}

// TestOtherSettings: what was accepted under other settings counts for nothing.
func TestOtherSettings(t *testing.T) {
	source := has("ann")
	first := chained(t, map[string]*vendor{"first": source}, "first")
	says(t, first, "ann", "right")
	file := filepath.Join(t.TempDir(), "customers")
	if err := first[0].Save(file, "same"); err != nil {
		t.Fatal(err)
	}
	second := chained(t, map[string]*vendor{"second": {answer: down}}, "second")
	if err := second[0].Load(file, "same"); err != nil {
		t.Fatal(err)
	}
	if got := says(t, second, "ann", "right"); got != "outage: source second: the vendor is down" {
		t.Errorf("got %s", got)
	}
}

// TestUsersElsewhere: customers of the second source are no guessers to the first.
func TestUsersElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := has("ann")
		second := &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
			return auth.Decision{Subject: c.User, User: c.User, Grants: auth.NewGrants(auth.Grant{License: "lic_1"})}, nil
		}}
		chain := chained(t, map[string]*vendor{"first": first, "second": second}, "first", "second")
		for i := range 3 * guard.Defaults().Address.Ban {
			time.Sleep(2 * time.Second)
			user := "customer" + strings.Repeat("x", i)
			if got := says(t, chain, user, "right"); got != "second/"+user {
				t.Fatalf("customer %d: %s", i, got)
			}
		}
	})
}

// licenses is a Licenser with the licenses of one account.
type licenses struct{ account auth.Account }

func (l licenses) Grants(_ context.Context, account auth.Account) (auth.Grants, error) {
	if account != l.account {
		return auth.Grants{}, errors.New("expected another account")
	}
	return auth.NewGrants(auth.Grant{License: "lic_2"}), nil
}

// TestGrantsFrom: another source's licenses are those of the confirmed account, never
// of a user who was merely typed.
func TestGrantsFrom(t *testing.T) {
	source := auth.WithGrants(has("ann"), licenses{auth.Account{Subject: "ann", User: "ann"}})
	decision, err := source.Authenticate(t.Context(), presented("ann", "right").Credential)
	if err != nil || decision.Grants.Len() != 1 {
		t.Errorf("%+v, %v", decision, err)
	}
	if decision, err = source.Authenticate(t.Context(), presented("ann", "wrong").Credential); err != nil || decision.Refusal != auth.WrongCredential {
		t.Errorf("%+v, %v", decision, err)
	}
	anybody := auth.WithGrants(&vendor{bearer: true, answer: func(context.Context, credential.Credential) (auth.Decision, error) {
		return auth.Decision{}, nil
	}}, licenses{})
	if decision, err = anybody.Authenticate(t.Context(), presented("ann", "right").Credential); !errors.Is(err, auth.ErrUnreadable) {
		t.Errorf("%+v, %v", decision, err)
	}
}

// tells is a Licenser by a function.
type tells func() error

func (t tells) Grants(context.Context, auth.Account) (auth.Grants, error) {
	return auth.NewGrants(auth.Grant{License: "lic_3"}), t()
}

// TestOutageOfGrantsKeepsNoWithdrawnCustomer: while the source that grants_from names is
// down, customers keep what they had; but whoever is withdrawn at the source that checks
// the password is refused within its time to live.
func TestOutageOfGrantsKeepsNoWithdrawnCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		withdrawn, outage := "", error(nil)
		users := &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
			if c.User == withdrawn || c.Secret.Reveal() != "right" {
				return auth.Decision{Refusal: auth.WrongCredential}, nil
			}
			return auth.Decision{Subject: c.User, User: c.User}, nil
		}}
		cache := newCache(t, auth.WithGrants(users, tells(func() error { return outage })), settings())
		ask := func(user string) string {
			got, err := cache.Authenticate(t.Context(), presented(user, "right"))
			if err != nil {
				return err.Error()
			}
			return string(got.Refusal) + string(got.Cache)
		}
		for i := range 20 {
			ask(fmt.Sprint("user", i))
		}
		outage = errDown
		time.Sleep(45 * time.Second)
		for range 6 {
			time.Sleep(15 * time.Second)
			for i := range 19 {
				if got := ask(fmt.Sprint("user", i)); got != "stale" {
					t.Errorf("user %d: %s", i, got)
				}
			}
		}
		if trouble := cache.Trouble(); trouble == "" {
			t.Error("nothing tells of the outage")
		}
		withdrawn = "user19"
		if got := ask(withdrawn); got != "credentialmiss" {
			t.Errorf("the customer who was withdrawn: %s", got)
		}
		if got, err := cache.Authenticate(t.Context(), presented("user1", "wrong")); err != nil || got.Refusal != auth.WrongCredential {
			t.Errorf("a wrong password: %+v, %v", got, err)
		}
		outage = nil
		time.Sleep(time.Minute)
		if got := ask("user1"); got != "miss" || cache.Trouble() != "" {
			t.Errorf("after the outage: %s, %q", got, cache.Trouble())
		}
	})
}

// TestCleanReason: a source's reason is one line, and cannot play tricks on a terminal.
func TestCleanReason(t *testing.T) {
	for text, want := range map[string]string{
		"account suspended: unpaid":        "account suspended: unpaid",
		" two\r\nlines\t ":                 "two lines",
		"\x1b[31mred\x07":                  "[31mred",
		"abc\u202egpj.exe\u200b":           "abcgpj.exe",
		"\xff":                             "�",
		strings.Repeat("ä", 300):           strings.Repeat("ä", 199) + "…",
		`"}],"errors":[{"code":"` + "\x00": `"}],"errors":[{"code":"`,
	} {
		if got := auth.CleanReason(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
