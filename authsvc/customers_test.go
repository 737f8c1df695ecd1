package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// hanging is a source that does not answer before its end.
type hanging struct{ asked, end chan struct{} }

func (hanging) Bearer() bool { return false }

func (h hanging) Authenticate(context.Context, credential.Credential) (auth.Decision, error) {
	h.asked <- struct{}{}
	<-h.end
	return auth.Decision{Refusal: auth.WrongCredential}, nil
}

// TestManySourcesBoundStrangers: however many sources share the room for strangers, each
// has a bound. A share of nothing would be none.
func TestManySourcesBoundStrangers(t *testing.T) {
	source := hanging{make(chan struct{}, 2), make(chan struct{})}
	defer close(source.end)
	var all customers
	for range 16 {
		numbers, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
		gate, err := guard.New(guard.Defaults(), numbers, logger)
		if err != nil {
			t.Fatal(err)
		}
		all.members = append(all.members, &member{guard: gate, cache: auth.NewCache(auth.Options{
			Source: source, Hashes: credential.NewKey(nil), Guard: gate, Logger: logger, Metrics: numbers,
		})})
	}
	c := config.Config{Guard: guard.Defaults()}
	c.Cache.MaxStrangers = 8 // listen.max_requests: 16
	if err := all.apply(c); err != nil {
		t.Fatal(err)
	}
	ask := func(user string) error {
		_, err := all.members[0].cache.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: user, Secret: credential.NewSecret("x")}})
		return err
	}
	go func() { _ = ask("first") }()
	<-source.asked
	failed := make(chan error, 1)
	go func() { failed <- ask("second") }()
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), "too many requests") {
			t.Errorf("the second: %v", err)
		}
	case <-source.asked:
		t.Error("the second is asked about too: there is no bound")
	}
}
