package standin_test

import (
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

func TestRefuseAndAccept(t *testing.T) {
	s := start(t, standin.Options{})
	s.Inject(standin.Fault{Status: 500})
	for range 3 {
		for range 2 { // twice is once
			if err := s.Refuse(); err != nil {
				t.Fatal(err)
			}
		}
		if status, text := get(t.Context(), s.URL()); status != 0 || !strings.Contains(text, "connection refused") {
			t.Errorf("status %d %q, want a refused connection", status, text)
		}
		for range 2 {
			if err := s.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		if status, body := get(t.Context(), s.URL()); status != 200 || body != "served" {
			t.Errorf("afterwards: %d %q", status, body)
		}
	}
	if err := s.Refuse(); err != nil { // and Close, by the test's end
		t.Fatal(err)
	}
}
