package server_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// TestHealth: what nginx asks for a balancer. It tells nothing but the reason, and
// whoever asks often fills no log and takes no customer's place.
func TestHealth(t *testing.T) {
	err := error(nil)
	f := newFixture(t, func(o *server.Options) {
		o.MaxRequests = 0
		o.Registries = routes(tokenSource{func() (tokenfile.Token, error) { return token("t0ken"), err }})
	})
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{{nil, 200, ""}, {errors.New("expired, on 10.0.0.1"), 503, "TOKEN"}, {nil, 200, ""}} {
		err = test.err
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
		got := w.Result()
		body, readErr := io.ReadAll(got.Body)
		if got.StatusCode != test.status || got.Header.Get("X-Registry-Error-Code") != test.code || len(body) != 0 || readErr != nil {
			t.Errorf("with %v: %d %v %q %v, want %d and the code %q", test.err, got.StatusCode, got.Header, body, readErr, test.status, test.code)
		}
		got.Header.Del("Content-Length")
		got.Header.Del("X-Registry-Error-Code")
		if len(got.Header) != 0 {
			t.Errorf("the answer also has %v", got.Header)
		}
	}
	if f.log.Len() != 0 {
		t.Errorf("health checks are logged: %s", f.log)
	}
}
