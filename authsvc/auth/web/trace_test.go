package web_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
)

// TestTrace: the service gets the trace that the question came with, and no other.
func TestTrace(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var sent []string
	w := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header["Traceparent"]
		say(w, http.StatusOK, "{}")
	}, "url: SERVICE/check\n")
	for text, want := range map[string][]string{trace: {trace}, "": nil} {
		_, err := w.Source.Authenticate(auth.WithTraceparent(t.Context(), text), ann)
		if err != nil || !slices.Equal(sent, want) {
			t.Errorf("the service was sent %q, want %q; %v", sent, want, err)
		}
	}
}
