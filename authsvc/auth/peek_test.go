package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// asking is a source with one customer; calls counts its questions.
type asking struct {
	calls int
	err   error
}

func (a *asking) Bearer() bool { return false }

func (a *asking) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	a.calls++
	switch {
	case a.err != nil:
		return auth.Decision{}, a.err
	case presented.User != "ann":
		return auth.Decision{Refusal: auth.NotMine}, nil
	case presented.Secret.Reveal() != "s3cret":
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	return auth.Decision{Subject: "account-1", User: "ann"}, nil
}

// telling tells licenses without a secret.
type telling map[string]auth.Grants

func (t telling) Grants(_ context.Context, a auth.Account) (auth.Grants, error) {
	if a.User == "down" {
		return auth.Grants{}, errors.New("no answer")
	}
	return t[a.User], nil
}

// TestPeek: it answers as the chain would, before and after the chain has been asked,
// and remembers nothing.
func TestPeek(t *testing.T) {
	source := &asking{}
	chain := auth.Chain{{Cache: authtest.NewCache(source, auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Minute, StaleTTL: time.Hour, MaxEntries: 10, MaxRefusals: 10})}}
	caller := func(user, secret string) auth.Caller {
		return auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret(secret)}}
	}
	callers := []auth.Caller{caller("ann", "s3cret"), caller("ann", "wrong"), caller("bob", "s3cret")}
	for i, c := range callers {
		for range 2 { // a second one asks again
			calls := source.calls
			peek := &auth.Peek{Chain: chain}
			got, err := peek.Authenticate(t.Context(), c)
			if err != nil || source.calls != calls+1 || chain[0].Len() != i {
				t.Fatalf("%s: %v, %d questions, %d entries", c.User, err, source.calls-calls, chain[0].Len())
			}
			if peek.Findings[0].How != auth.Asked || got.Cache != auth.Miss {
				t.Errorf("%s: found by %s, %s", c.User, peek.Findings[0].How, got.Cache)
			}
		}
		want, err := chain.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		calls := source.calls
		peek := &auth.Peek{Chain: chain}
		got, err := peek.Authenticate(t.Context(), c)
		if err != nil || got.Refusal != want.Refusal || got.Subject != want.Subject || got.Cache != auth.Hit || source.calls != calls || peek.Findings[0].How != auth.Cached {
			t.Errorf("%s: got %+v, %v; want %+v", c.User, got, err, want)
		}
	}
	source.err = errors.New("down")
	if _, err := (&auth.Peek{Chain: chain}).Authenticate(t.Context(), caller("carl", "x")); !errors.Is(err, source.err) {
		t.Errorf("in an outage: %v", err)
	}
}

// TestPeekWithoutSecret: what a source tells without it, else nothing.
func TestPeekWithoutSecret(t *testing.T) {
	pattern, err := auth.NewPattern("*")
	if err != nil {
		t.Fatal(err)
	}
	source := &asking{}
	chain := auth.Chain{{Cache: authtest.Telling(source, telling{"ann": auth.NewGrants(auth.Grant{Repository: pattern, Tag: pattern})},
		auth.CacheConfig{TTL: time.Minute, RefusalTTL: time.Minute, MaxEntries: 10, MaxRefusals: 10}, guard.Defaults())}}
	look := func(user string) (auth.Decision, []auth.Finding, error) {
		peek := &auth.Peek{Chain: chain, NoSecret: true}
		got, err := peek.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret("-")}})
		return got, peek.Findings, err
	}
	if got, found, err := look("ann"); err != nil || got.Grants.Len() != 1 || found[0].How != auth.Told {
		t.Errorf("%+v, %v, %+v", got, err, found)
	}
	if _, _, err := look("bob"); !errors.Is(err, auth.ErrUntold) {
		t.Errorf("of an unknown user: %v", err)
	}
	if _, _, err := look("down"); err == nil || errors.Is(err, auth.ErrUntold) {
		t.Errorf("in an outage: %v", err)
	}
	if source.calls != 0 {
		t.Error("the source was asked about a credential")
	}
}
