package auth_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/credential"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" // the specification's example

func TestParseTraceparent(t *testing.T) {
	if got := auth.ParseTraceparent(trace); got != trace {
		t.Errorf("got %q, want the same", got)
	}
	for name, text := range map[string]string{
		"nothing": "", "in upper case": strings.ToUpper(trace), "of another version": "01" + trace[2:], "of version ff": "ff" + trace[2:],
		"with more": trace + "-00", "with a line break": trace + "\n", "cut off": trace[:54], "with a space": " " + trace,
		"two": trace + "," + trace, "no trace id": "00-" + strings.Repeat("0", 32) + trace[35:], "no parent id": trace[:36] + strings.Repeat("0", 16) + "-01",
		"not hexadecimal": strings.Replace(trace, "4b", "4g", 1), "without flags": trace[:53] + "xx",
	} {
		if got := auth.ParseTraceparent(text); got != "" {
			t.Errorf("%s: got %q, want it dropped", name, got)
		}
	}
}

// TestSharedLookUpCarriesTheFirstTrace: the source is asked once for all who wait,
// in the trace of whoever came first, even if that one has left.
func TestSharedLookUpCarriesTheFirstTrace(t *testing.T) {
	asked, answer := make(chan string, 10), make(chan struct{})
	v := &vendor{answer: func(ctx context.Context, c credential.Credential) (auth.Decision, error) {
		asked <- auth.Traceparent(ctx)
		<-answer
		return auth.Decision{Subject: c.User}, ctx.Err()
	}}
	cache := newCache(t, v, settings())
	ctx, leave := context.WithCancel(auth.WithTraceparent(t.Context(), trace))
	var callers sync.WaitGroup
	callers.Go(func() { _, _ = cache.Authenticate(ctx, presented("ann", "right")) })
	if got := <-asked; got != trace {
		t.Errorf("the source was asked in the trace %q, want %q", got, trace)
	}
	leave()
	callers.Go(func() {
		other := auth.WithTraceparent(t.Context(), strings.Replace(trace, "4bf9", "0000", 1))
		if _, err := cache.Authenticate(other, presented("ann", "right")); err != nil {
			t.Errorf("the second caller: %v", err)
		}
	})
	close(answer)
	callers.Wait()
	if len(asked) != 0 {
		t.Errorf("the source was asked again, in the trace %q", <-asked)
	}
	if got := auth.Traceparent(auth.WithTraceparent(t.Context(), "")); got != "" {
		t.Errorf("without a trace: %q", got)
	}
}
