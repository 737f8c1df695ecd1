// Package stacktest starts a stack for a test, and stops it when the test ends.
package stacktest

import (
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// Start starts a stack that stops when the test ends. If the test fails, it shows
// what the programs logged.
func Start(t *testing.T, opts stack.Options) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"access", "nginx-error", "authsvc", "tokenrefresher"} {
				t.Logf("%s:\n%s", name, s.Log(name))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
