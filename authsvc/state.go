package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/google/renameio/v2"

	"github.com/pullgate/pullgate/authsvc/credential"
)

// keep loads a file, and saves to it periodically. stop saves one last time. After
// a kill, what was not saved is learned again.
func keep(what, file string, every time.Duration, load, save func(string) error, logger *slog.Logger) (stop func()) {
	if err := load(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("starting without the saved state", "what", what, "error", err)
	}
	store := func() {
		if err := save(file); err != nil {
			logger.Error("saving state failed", "what", what, "error", err)
		}
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(every):
				store()
			case <-stopped:
				store()
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// keyBytes is the length of a new key, and the minimum for an existing one.
const keyBytes = 32

// readKey reads the hash key.
func readKey(file string) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if err == nil && len(secret) < keyBytes {
		return nil, fmt.Errorf("expected at least %d bytes in %s, found %d", keyBytes, file, len(secret))
	}
	return secret, err
}

// newKey reads the hash key. If it cannot be used, newKey makes a new one; then
// saved credentials are not trusted, and hashes in the log change.
func newKey(file string, logger *slog.Logger) *credential.Key {
	if file == "" {
		return credential.NewKey(nil)
	}
	secret, err := readKey(file)
	if err == nil {
		return credential.NewKey(secret)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("making a new hash key: the one in cache.key_file cannot be used", "file", file, "error", err)
	}
	secret = make([]byte, keyBytes)
	_, _ = rand.Read(secret) // it never fails
	if err := renameio.WriteFile(file, secret, 0o600); err != nil {
		logger.Warn("the hash key could not be saved, so known customers are forgotten at the next restart", "file", file, "error", err)
	}
	return credential.NewKey(secret)
}
