package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// engine is the Docker Engine of all tests. The first test that needs it starts it.
var engine = sync.OnceValues(func() (*stack.Engine, error) {
	return stack.Dockerd(background, stack.EngineOptions{Own: true})
})

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if e, err := engine(); err == nil {
			if err := e.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// person returns a new docker client that is not logged in anywhere.
func person(t *testing.T) *stack.DockerClient {
	t.Helper()
	started.Store(true)
	e, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login logs a person in.
func login(t *testing.T, s *stack.Stack, user, password string) *stack.DockerClient {
	t.Helper()
	c := person(t)
	if out, err := c.Login(t.Context(), s.Host, user, password); err != nil || !strings.Contains(out, "Login Succeeded") {
		t.Fatalf("docker login: %v\n%s", err, out)
	}
	return c
}

// wantPulled pulls and expects the digest in docker's output.
func wantPulled(t *testing.T, c *stack.DockerClient, reference, digest string) {
	t.Helper()
	out, err := c.Pull(t.Context(), reference)
	if err != nil || !strings.Contains(out, "Digest: "+digest) {
		t.Fatalf("docker pull %s: %v, want digest %s\n%s", reference, err, digest, out)
	}
	if err := c.Remove(t.Context(), reference); err != nil {
		t.Fatal(err)
	}
}

// wantRefused pulls and expects the words in docker's output.
func wantRefused(t *testing.T, c *stack.DockerClient, reference string, words ...string) {
	t.Helper()
	out, err := c.Pull(t.Context(), reference)
	if err == nil {
		t.Fatalf("docker pull %s: allowed\n%s", reference, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("docker pull %s: expected %q, found\n%s", reference, word, out)
		}
	}
}

// A tool is a client program that keeps its login in the test's directory.
type tool struct {
	path, home string
	global     []string // options before the command
}

// newTool finds a program on PATH or in .build/bin.
func newTool(t *testing.T, name, install string) tool {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("..", "..", ".build", "bin", name)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s is not installed; %s", name, install)
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return tool{path: path, home: t.TempDir()}
}

func (x tool) run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), x.path, slices.Concat(x.global, args)...)
	cmd.Env = []string{
		"HOME=" + x.home, "DOCKER_CONFIG=" + x.home, "REGISTRY_AUTH_FILE=" + filepath.Join(x.home, "auth.json"),
		"XDG_RUNTIME_DIR=" + x.home, "TMPDIR=" + x.home, "PATH=" + os.Getenv("PATH"),
	}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a command that must succeed.
func (x tool) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := x.run(t, stdin, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(x.path), args, err, out)
	}
	return out
}

func crane(t *testing.T, s *stack.Stack) tool {
	t.Helper()
	x := newTool(t, "crane", "nginx/stack/install.sh test")
	x.must(t, secret, "auth", "login", "--insecure", "--username", email, "--password-stdin", s.Host)
	return x
}

func skopeo(t *testing.T, s *stack.Stack) tool {
	t.Helper()
	x := newTool(t, "skopeo", "as root: apt-get install skopeo")
	x.must(t, secret, "login", "--tls-verify=false", "--username", email, "--password-stdin", s.Host)
	return x
}

// podman keeps its images in the test's directory.
func podman(t *testing.T, s *stack.Stack) tool {
	t.Helper()
	x := newTool(t, "podman", "as root: apt-get install podman")
	x.global = []string{"--root", filepath.Join(x.home, "images"), "--runroot", filepath.Join(x.home, "run"), "--storage-driver", "vfs"}
	x.must(t, secret, "login", "--tls-verify=false", "--username", email, "--password-stdin", s.Host)
	return x
}
