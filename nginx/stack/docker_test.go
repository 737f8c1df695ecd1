package stack_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

func TestOwnEngineLeavesNothing(t *testing.T) {
	before := goroutines()
	e, err := stack.Dockerd(t.Context(), stack.EngineOptions{Own: true})
	if err != nil {
		t.Fatal(err)
	}
	socket := strings.TrimPrefix(e.Host, "unix://")
	c, err := e.Client()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Run(t.Context(), "", "info", "--format", "{{.Driver}}")
	if err != nil || out != "vfs" {
		t.Errorf("docker info: driver %q, %v; want vfs", out, err)
	}
	if _, err := c.Run(t.Context(), "", "inspect", "nothing"); err == nil || !strings.Contains(err.Error(), "No such object") {
		t.Errorf("docker inspect nothing: error %v, want what docker said", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Errorf("%s is still there", socket)
	}
	wantGoroutines(t, before)
}

// An engine that was already running is used, and left as it was.
func TestRunningEngineIsUsedAndCleaned(t *testing.T) {
	s := start(t, stack.Options{})
	_, want := push(t, s)
	own := engine(t, stack.EngineOptions{Own: true})
	t.Setenv("DOCKER_HOST", own.Host)
	theirs := engine(t, stack.EngineOptions{})
	if theirs.Own || theirs.Host != own.Host {
		t.Fatalf("engine %s (own: %v), want the running one at %s", theirs.Host, theirs.Own, own.Host)
	}
	c, err := theirs.Client()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Login(t.Context(), s.Host, email, token); err != nil {
		t.Fatal(err, out)
	}
	out, err := c.Pull(t.Context(), s.Host+"/acme/appliance:1.0")
	if err != nil || !strings.Contains(out, want) {
		t.Fatalf("pulled %v %s, want digest %s", err, out, want)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = own.Client(); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Run(t.Context(), "", "image", "ls", "--quiet"); err != nil || out != "" {
		t.Errorf("left in the engine: %q, %v", out, err)
	}
}

func TestRemoteEngineIsNotUsed(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
	var progress strings.Builder
	e := engine(t, stack.EngineOptions{Progress: &progress})
	if !e.Own || !strings.Contains(progress.String(), "another machine") {
		t.Errorf("engine %s (own: %v), said %q", e.Host, e.Own, progress.String())
	}
}

func engine(t *testing.T, opts stack.EngineOptions) *stack.Engine {
	t.Helper()
	e, err := stack.Dockerd(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
