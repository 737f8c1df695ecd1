package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// pullers is how many customers pull at a time.
const pullers = 50

// pullWhile lets crane pull 50 images at a time, each with all its layers, and
// disturbs the system again and again until they are done; at least thrice. No
// pull may fail.
func pullWhile(t *testing.T, s *stack.Stack, disturb func()) {
	t.Helper()
	c := crane(t, s)
	for i := range 5 {
		push(t, s, fmt.Sprintf("acme/appliance:%d.0", i))
	}
	var disturbed atomic.Int32
	enough := make(chan struct{})
	done := make(chan struct{})
	var pulls sync.WaitGroup
	for i := range pullers {
		pulls.Go(func() {
			for again := true; again; {
				reference := fmt.Sprintf("%s/acme/appliance:%d.0", s.Host, i%5)
				if out, err := c.run(t, "", "validate", "--insecure", "--remote", reference); err != nil {
					t.Errorf("crane validate %s: %v\n%s", reference, err, out)
				}
				select {
				case <-enough:
					again = false
				default:
				}
			}
		})
	}
	go func() {
		pulls.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(200 * time.Millisecond):
			disturb()
			if disturbed.Add(1) == 3 {
				close(enough)
			}
		}
	}
}

// TestTokenRotatesDuringPulls: ECR ends its token in the middle of pulls.
func TestTokenRotatesDuringPulls(t *testing.T) {
	for name, rejection := range map[string]ecr.Rejection{
		"403 text": ecr.Forbidden403Text, "403 DENIED": ecr.Forbidden403Denied, "401": ecr.Unauthorized401,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, stack.Options{Tokenrefresher: quick})
			s.ECR.RejectWith(rejection)
			issued := s.ECR.TokensIssued()
			rotations := 0
			pullWhile(t, s, func() {
				s.ECR.InvalidateTokens()
				rotations++
			})
			if n := s.ECR.TokensIssued() - issued; n < 3 {
				t.Errorf("%d tokens were fetched for %d rotations: no pull met a rejected one", n, rotations)
			}
			// Only the second of two tries is the customer's answer.
			access, err := os.ReadFile(s.LogFile("access"))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`"upstream_status":"40[13] : [23]0`).Match(access) {
				t.Error("the access log has no request that was tried twice")
			}
		})
	}
}

// TestRestartsDuringPulls: each of the programs can restart while the others
// serve.
func TestRestartsDuringPulls(t *testing.T) {
	tests := map[string]func(*testing.T, *stack.Stack) error{
		"authsvc":        func(t *testing.T, s *stack.Stack) error { return s.RestartAuthsvc(t.Context()) },
		"tokenrefresher": func(t *testing.T, s *stack.Stack) error { return s.RestartTokenrefresher(t.Context()) },
		"tokenrefresher, killed": func(t *testing.T, s *stack.Stack) error {
			s.KillTokenrefresher()
			return s.StartTokenrefresher(t.Context())
		},
		"nginx's configuration": func(t *testing.T, s *stack.Stack) error { return s.ReloadNginx(t.Context()) },
	}
	for name, restart := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, stack.Options{Tokenrefresher: quick})
			pullWhile(t, s, func() {
				if err := restart(t, s); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestKilledAuthsvc: what was in flight is lost, and nothing after it.
func TestKilledAuthsvc(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	s.Process("authsvc").Kill()
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
	}
}
