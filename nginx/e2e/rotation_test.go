package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// pullers is how many customers pull in parallel.
const pullers = 50

// pullWhile pulls 50 images in parallel with crane, with all layers, and keeps
// disturbing the system until they are done, at least three times. No pull may fail. On a
// busy machine it disturbs more rarely: a request is tried again once, and nobody promises
// that it survives two disturbances.
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
		begun := time.Now()
		get(t, s, "/v2/acme/appliance/manifests/0.0")
		select {
		case <-done:
			return
		case <-time.After(max(200*time.Millisecond, 5*time.Since(begun))):
			disturb()
			if disturbed.Add(1) == 3 {
				close(enough)
			}
		}
	}
}

// TestTokenRotatesDuringPulls: ECR invalidates its token during pulls.
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
			// The customer sees only the second of two tries.
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

// TestRestartsDuringPulls: each program can restart while the others serve.
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

// TestKilledAuthsvc: only requests in flight are lost, none after them.
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

// TestRestartLeavesDeadConnections: nginx can accept many requests before it sees
// that a restarting authsvc has closed every kept connection. A retry must not use
// another one of these.
func TestRestartLeavesDeadConnections(t *testing.T) {
	const clients = 20
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	var connections []net.Conn
	for range clients {
		conn, err := net.DialTimeout("tcp", s.Host, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // the answers are read
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		connections = append(connections, conn)
	}
	readers := map[net.Conn]*bufio.Reader{}
	ask := func() {
		for _, conn := range connections {
			readers[conn] = bufio.NewReader(conn)
			if _, err := fmt.Fprintf(conn, "GET /v2/ HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", s.Host, basic(email, secret)); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantAnswers := func() {
		for _, conn := range connections {
			response, err := http.ReadResponse(readers[conn], nil)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := read(response); err != nil || a.status != http.StatusOK {
				t.Errorf("status %d, %v, want 200: %s", a.status, err, a.body)
			}
		}
	}
	signal := func(sig syscall.Signal) { // to the group, so the workers too
		if err := syscall.Kill(-s.Process("nginx").PID(), sig); err != nil {
			t.Fatal(err)
		}
	}

	// While authsvc does not answer, each request needs its own connection.
	if err := s.PauseAuthsvc(); err != nil {
		t.Fatal(err)
	}
	ask()
	waitFor(t, "each client's question at authsvc", func() bool { return connectionsTo(t, s) >= clients })
	if err := s.ResumeAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantAnswers()

	// First come the requests, then the connections close.
	signal(syscall.SIGSTOP)
	ask()
	if err := s.RestartAuthsvc(t.Context()); err != nil {
		signal(syscall.SIGCONT)
		t.Fatal(err)
	}
	signal(syscall.SIGCONT)
	wantAnswers()
}

// connectionsTo returns how many connections nginx has to authsvc, as listed by the
// kernel: accepted ones and waiting ones.
func connectionsTo(t *testing.T, s *stack.Stack) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), filepath.Join(s.Dir, "authsvc.sock")) - 1 // the listener
}
