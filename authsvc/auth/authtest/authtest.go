// Package authtest makes caches for the tests and benchmarks of packages that use
// package auth.
package authtest

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/guard"
)

// NewCache returns a cache before a source, with a guard of the default bounds
// and a key of its own.
func NewCache(source auth.Source, config auth.CacheConfig) *auth.Cache {
	return Guarded(source, config, guard.Defaults())
}

// Guarded is NewCache with a guard of other bounds.
func Guarded(source auth.Source, config auth.CacheConfig, bounds guard.Config) *auth.Cache {
	return Telling(source, nil, config, bounds)
}

// Telling is Guarded with licenses that are known without the secret.
func Telling(source auth.Source, licenses auth.Licenser, config auth.CacheConfig, bounds guard.Config) *auth.Cache {
	numbers, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	gate, err := guard.New(bounds, numbers, logger)
	if err != nil {
		panic(err) // of the caller's making
	}
	return auth.NewCache(auth.Options{
		Source: source, Licenses: licenses, Config: config, Hashes: credential.NewKey([]byte("key")), Guard: gate, Logger: logger, Metrics: numbers,
	})
}
