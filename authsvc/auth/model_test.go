package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// TestModel lets a vendor change its mind, go down and come back at random,
// and checks each decision of the cache against what it promises:
//
//   - an acceptance was the vendor's word within TTL, or within TTL + StaleTTL
//     if the vendor is down, and the vendor has not refused since;
//   - a refusal was the vendor's word within RefusalTTL;
//   - an error is the vendor's, now.
func TestModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		clock := newClock()
		config := settings(clock)
		config.MaxEntries, config.MaxRefusals = 3, 2
		type word struct {
			at      time.Time
			refused bool
		}
		said := map[string][]word{} // by user, the vendor's words in order
		accepts := map[string]bool{}
		down := false
		v := &vendor{answer: func(_ context.Context, c credential.Credential) (auth.Decision, error) {
			if down {
				return auth.Decision{}, errDown
			}
			said[c.User] = append(said[c.User], word{clock.Now(), !accepts[c.User]})
			if !accepts[c.User] {
				return auth.Decision{Subject: c.User, Refusal: auth.WrongCredential}, nil
			}
			return auth.Decision{Subject: c.User}, nil
		}}
		cache := auth.NewCache(v, config)
		for step := range 300 {
			user := fmt.Sprint(random.IntN(5))
			switch random.IntN(8) {
			case 0:
				accepts[user] = !accepts[user]
			case 1:
				down = !down
			case 2, 3:
				clock.pass(time.Duration(random.Int64N(int64(40 * time.Second))))
			case 4:
				if random.IntN(10) == 0 {
					clock.pass(time.Duration(random.Int64N(int64(20 * time.Minute))))
				}
			default:
				decision, err := cache.Authenticate(t.Context(), presented(user, "x"))
				if got := cache.Len(); got > 5 {
					t.Fatalf("seed %d, step %d: %d entries", seed, step, got)
				}
				if err != nil {
					if !down || !errors.Is(err, errDown) {
						t.Fatalf("seed %d, step %d: error %v", seed, step, err)
					}
					continue
				}
				if len(said[user]) == 0 {
					t.Fatalf("seed %d, step %d: %+v of a customer of whom the vendor said nothing", seed, step, decision)
				}
				last := said[user][len(said[user])-1]
				age := clock.Now().Sub(last.at)
				bound := config.TTL
				if down {
					bound += config.StaleTTL
				}
				if last.refused {
					bound = config.RefusalTTL
				}
				if last.refused != (decision.Refusal != "") || age > bound || decision.Cache == auth.Stale && !down && age > config.TTL+config.StaleTTL {
					// What was served stale may go on for the pause after the end.
					if decision.Cache != auth.Stale || last.refused || age > config.TTL+config.StaleTTL {
						t.Fatalf("seed %d, step %d: %+v, the vendor's last word is %v old: refused %v, down %v", seed, step, decision, age, last.refused, down)
					}
				}
			}
		}
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
