package auth_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
)

func pattern(t testing.TB, glob string) auth.Pattern {
	t.Helper()
	p, err := auth.NewPattern(glob)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGrantsAgainstModel compares the index with a walk over all grants.
func TestGrantsAgainstModel(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		pick := func(of ...string) string { return of[random.IntN(len(of))] }
		var list []auth.Grant
		for i := range random.IntN(40) {
			g := auth.Grant{Repository: pattern(t, pick("a", "b", "*", "a/*", "?", `\a`, "a/b")), Tag: pattern(t, pick("1", "2", "1*", "*", "[12]", `\1`)),
				License: fmt.Sprint(i), Withdrawn: random.IntN(6) == 0}
			if random.IntN(3) > 0 {
				g.Expires = now.Add(time.Duration(random.IntN(9)-4) * time.Hour)
			}
			list = append(list, g)
		}
		grants := auth.NewGrants(list...)
		if got := slices.Collect(grants.All()); !slices.Equal(got, list) || grants.Len() != len(list) {
			t.Fatalf("seed %d: %v, want %v", seed, got, list)
		}
		for _, repository := range []string{"a", "b", "a/b", "c/d", ""} {
			for _, tag := range []string{"1", "2", "12", "3"} {
				var valid, ended []auth.Grant
				for _, g := range list {
					switch {
					case !g.Repository.Match(repository) || !g.Tag.Match(tag):
					case g.ValidAt(now):
						valid = append(valid, g)
					default:
						ended = append(ended, g)
					}
				}
				inForce, over := grants.In(repository).At(now)
				for _, half := range []struct {
					got  auth.Range
					want []auth.Grant
				}{{inForce, valid}, {over, ended}} {
					got, ok := half.got.ForTag(tag)
					if ok != (len(half.want) > 0) || ok && !slices.Contains(half.want, got) {
						t.Fatalf("seed %d, %s:%s: got %v, %t; want one of %v", seed, repository, tag, got, ok, half.want)
					}
					for _, other := range half.want {
						if !got.Withdrawn && (other.Withdrawn || !got.Expires.IsZero() && !other.Expires.After(got.Expires)) {
							continue
						}
						if got.Withdrawn == other.Withdrawn && (got.Expires.IsZero() || !other.Expires.IsZero() && !other.Expires.After(got.Expires)) {
							continue
						}
						t.Fatalf("seed %d, %s:%s: %v is named, and %v ends later", seed, repository, tag, got, other)
					}
				}
			}
		}
	}
}

// BenchmarkManyGrants is what one decision takes of a customer with 10,000
// grants, and of one with one.
func BenchmarkManyGrants(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		var list []auth.Grant
		for i := range n {
			list = append(list, auth.Grant{Repository: pattern(b, fmt.Sprint("acme/product", i%100)), Tag: pattern(b, fmt.Sprint("1.", i)), License: "lic"})
		}
		grants := auth.NewGrants(list...)
		now := time.Now()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				valid, _ := grants.In("acme/product0").At(now)
				if _, ok := valid.ForTag("1.0"); !ok {
					b.Fatal("no grant")
				}
			}
		})
	}
}

// TestGrantsStaySmall: a customer with many patterns who invents repositories
// takes no more memory than a few times what the grants themselves take.
func TestGrantsStaySmall(t *testing.T) {
	list := make([]auth.Grant, 10_000)
	for i := range list {
		list[i] = auth.Grant{Repository: pattern(t, "acme/*"), Tag: pattern(t, fmt.Sprint(i, ".*")), License: "lic_1"}
	}
	grants := auth.NewGrants(list...)
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	for i := range 60 {
		grants.In(fmt.Sprint("acme/", i))
	}
	if took := int64(inUse()) - int64(before); took > 20<<20 {
		t.Errorf("60 repositories of a customer with 10,000 grants took %d MB", took>>20)
	}
	runtime.KeepAlive(grants)
}
