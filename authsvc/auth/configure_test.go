package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// anybody is a source that accepts all, and counts its questions.
type anybody struct{ calls int }

func (*anybody) Bearer() bool { return false }

func (a *anybody) Authenticate(context.Context, credential.Credential) (auth.Decision, error) {
	a.calls++
	return auth.Decision{}, nil
}

// TestConfigure: new bounds hold at once, also for what is remembered already.
func TestConfigure(t *testing.T) {
	source := &anybody{}
	bounds := auth.CacheConfig{TTL: time.Hour, RefusalTTL: time.Hour, MaxEntries: 3, MaxRefusals: 3}
	cache := authtest.NewCache(source, bounds)
	ask := func(user string) {
		t.Helper()
		if _, err := cache.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret("s")}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"a", "b", "c", "c"} {
		ask(user)
	}
	if source.calls != 3 || cache.Len() != 3 {
		t.Fatalf("%d questions, %d entries", source.calls, cache.Len())
	}
	bounds.MaxEntries = 1
	cache.Configure(bounds)
	ask("c")
	if source.calls != 3 {
		t.Error("what was remembered is lost")
	}
	ask("d")
	if cache.Len() != 1 {
		t.Errorf("%d entries, of which one may be kept", cache.Len())
	}
	bounds.TTL = time.Nanosecond
	cache.Configure(bounds)
	ask("d")
	if source.calls != 5 {
		t.Errorf("%d questions: the entry outlives its time", source.calls)
	}
}
