package stack_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

func TestPullThroughTheStack(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts stack.Options
	}{
		{"as shipped", stack.Options{}},
		{"without stream", stack.Options{NoStream: true}},
		{"authsvc on TCP", stack.Options{AuthsvcTCP: true}},
		{"interposed", stack.Options{Interpose: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.opts)
			_, want := push(t, s)
			if got := pull(t, s, "acme/appliance:1.0"); got != want {
				t.Errorf("pulled %s, pushed %s", got, want)
			}
			if got := status(t, s, s.TLSURL); got != 200 {
				t.Errorf("by TLS: %d, want 200", got)
			}
			if (s.Authsvc != nil) != tt.opts.Interpose {
				t.Errorf("interposed server: %v", s.Authsvc)
			}
			if s.Authsvc != nil && s.Authsvc.Received() == 0 {
				t.Error("the interposed server received nothing")
			}
			for _, r := range s.ECR.Bucket.Requests() {
				if r.Header.Get("Authorization") != "" {
					t.Errorf("the bucket got an Authorization for %s", r.URI)
				}
			}
			if s.ECR.Bucket.Received() == 0 {
				t.Error("no blob came from the bucket")
			}
		})
	}
}

func TestIndexAndBigLayer(t *testing.T) {
	s := start(t, stack.Options{})
	index, err := stack.Index("multi", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "acme/multi:1.0", index); err != nil {
		t.Fatal(err)
	}
	pull(t, s, "acme/multi:1.0")
	big, err := stack.BigImage("big", 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Push(t.Context(), "acme/big:1.0", big)
	if err != nil {
		t.Fatal(err)
	}
	if got := pull(t, s, "acme/big:1.0"); got != want {
		t.Errorf("pulled %s, pushed %s", got, want)
	}
}

func TestAuthsvcCanBeTakenAwayAndBroughtBack(t *testing.T) {
	s := start(t, stack.Options{})
	expect := func(what string, want int) {
		t.Helper()
		if got := status(t, s, s.URL); got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", 200)
	do(s.RestartAuthsvc(t.Context()))
	expect("restarted", 200)
	do(s.KillAuthsvc())
	expect("killed", 503)
	do(s.StartAuthsvc(t.Context()))
	expect("started again", 200)
	do(s.PauseAuthsvc())
	do(s.ResumeAuthsvc())
	expect("paused for a moment", 200)
	fake, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Registry-Error-Code", "UNAUTHORIZED")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	do(err)
	expect("replaced", 401)
	if fake.Received() != 1 {
		t.Errorf("the replacement received %d requests, want 1", fake.Received())
	}
}

func TestTokenrefresherRenewsInvalidTokens(t *testing.T) {
	s := start(t, stack.Options{ECR: ecr.Options{}})
	push(t, s)
	s.ECR.InvalidateTokens()
	pull(t, s, "acme/appliance:1.0")
	now := time.Now()
	if err := s.RestartTokenrefresher(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitForToken(t.Context(), now.Add(-time.Hour)); err != nil {
		t.Error(err)
	}
	pull(t, s, "acme/appliance:1.0")
}

func TestReconfigureNginx(t *testing.T) {
	s := start(t, stack.Options{})
	err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
		o.Servers = `server { listen ` + "127.0.0.1:8 nonsense" + `; }`
	})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a bad configuration: error %v, want nginx's words", err)
	}
	if got := status(t, s, s.URL); got != 200 {
		t.Errorf("after a bad configuration: %d, want 200", got)
	}
	err = s.ReconfigureNginx(t.Context(), func(o *stack.Options) {
		o.Servers, o.Server = "", "location = /fleet { return 204; }"
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.URL + "/fleet")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // only the status matters
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("the fleet's location answers %d, want 204", resp.StatusCode)
	}
}

// A failed start says why, shows the log, and leaves nothing behind.
func TestFailedStartLeavesNothing(t *testing.T) {
	before := goroutines()
	bin := t.TempDir()
	script := "#!/bin/sh\necho \"no luck in $PWD\" >&2\nexit 3\n"
	for _, name := range []string{"authsvc", "tokenrefresher"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s, err := stack.Start(t.Context(), stack.Options{BinDir: bin})
	if err == nil {
		t.Fatal(errors.Join(errors.New("the start succeeded"), s.Close()))
	}
	_, dir, ok := strings.Cut(err.Error(), "no luck in ")
	if !ok || !strings.Contains(err.Error(), "tokenrefresher ended (exit status 3)") {
		t.Fatalf("error %v, want the end of tokenrefresher and its log", err)
	}
	dir, _, _ = strings.Cut(dir, "\n")
	wantNothingLeft(t, dir)
	wantGoroutines(t, before)
}

// The children get only the stack's environment, and no secret is on a command
// line.
func TestChildrenGetNothingOfThePersons(t *testing.T) {
	t.Setenv("AWS_PROFILE", "the person's own")
	s := start(t, stack.Options{})
	for _, name := range []string{"nginx", "authsvc", "tokenrefresher", "docker-registry"} {
		pid := s.Process(name).PID()
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(environ), "the person's own") {
			t.Errorf("%s has the person's AWS_PROFILE", name)
		}
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(argv), ecr.SecretAccessKey) || strings.Contains(string(argv), token) {
			t.Errorf("a secret on the command line of %s: %q", name, argv)
		}
	}
	if _, err := s.Process("nginx").CPU(); err != nil {
		t.Error(err)
	}
	if err := s.Process("nginx").Signal(syscall.Signal(0)); err != nil {
		t.Error(err)
	}
}

func TestConfigurationsChangeByKey(t *testing.T) {
	s := start(t, stack.Options{
		Authsvc:        map[string]any{"cache.ttl": "2s", "realm": "other"},
		Tokenrefresher: map[string]any{"interval": "1h"},
		Registry:       map[string]any{"name": "main", "region": ecr.Region},
	})
	resp, err := http.Get(s.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // only the header matters
	http.DefaultClient.CloseIdleConnections()
	if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Basic realm="other"`) {
		t.Errorf("WWW-Authenticate %q", got)
	}
}
