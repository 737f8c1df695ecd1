package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// EngineOptions of Dockerd.
type EngineOptions struct {
	// Own starts a new engine even if one is running: it has no images and no
	// other users.
	Own bool
	// Progress gets a line about the choice; may be nil.
	Progress io.Writer
	// Timeout limits the wait for a new engine; 60 s if zero.
	Timeout time.Duration
}

// An Engine is a running Docker Engine on this machine.
type Engine struct {
	// Host is its address, for DOCKER_HOST.
	Host string
	// Own is true if the stack started it.
	Own bool

	docker  string
	dir     string
	starter *starter
	process *Process
	clients []*DockerClient
}

// Dockerd finds the engine that runs on this machine, or starts a new one that
// touches neither iptables nor the network, which needs root.
func Dockerd(ctx context.Context, opts EngineOptions) (*Engine, error) {
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	docker, err := tool("docker", "docker.io")
	if err != nil {
		return nil, err
	}
	e := &Engine{docker: docker}
	if e.dir, err = os.MkdirTemp("", "pullgate-docker-"); err != nil {
		return nil, fmt.Errorf("starting a Docker Engine: %w", err)
	}
	if !opts.Own {
		if e.Host, err = runningEngine(ctx); err == nil {
			_, _ = fmt.Fprintln(opts.Progress, "using the Docker Engine at "+e.Host)
			return e, nil
		}
		_, _ = fmt.Fprintf(opts.Progress, "starting a Docker Engine (%v)\n", err)
	}
	if err := e.startOwn(ctx, opts.Timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a Docker Engine: %w", err), e.Close())
	}
	return e, nil
}

// runningEngine returns the address of an engine that can reach this machine's
// 127.0.0.1, or why there is none.
func runningEngine(ctx context.Context) (string, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return "", fmt.Errorf("the one at DOCKER_HOST=%s may be on another machine", host)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var info struct {
		OperatingSystem string
		SecurityOptions []string
	}
	if err := engineGet(ctx, path, "/info", &info); err != nil {
		return "", fmt.Errorf("none answers at %s", host)
	}
	// Both have their own network, where 127.0.0.1 is not this machine's.
	if info.OperatingSystem == "Docker Desktop" {
		return "", errors.New("the running one is Docker Desktop, which does not reach this machine's 127.0.0.1")
	}
	for _, option := range info.SecurityOptions {
		if strings.HasPrefix(option, "name=rootless") {
			return "", errors.New("the running one is rootless and does not reach this machine's 127.0.0.1")
		}
	}
	return host, nil
}

func engineGet(ctx context.Context, socket, path string, to any) error {
	t := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s, expected 200", path, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(to)
}

func (e *Engine) startOwn(ctx context.Context, limit time.Duration) error {
	path, err := tool("dockerd", "docker.io")
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("no Docker Engine is running, and starting one needs root: run this with sudo, or start the machine's engine: sudo systemctl start docker")
	}
	in := func(name string) string { return filepath.Join(e.dir, name) }
	// The machine's /etc/docker/daemon.json must not affect this engine.
	if err := os.WriteFile(in("daemon.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	e.Host, e.Own, e.starter = "unix://"+in("sock"), true, newStarter()
	e.process, err = e.starter.start(command{
		name: "dockerd",
		argv: []string{
			path, "--host", e.Host, "--data-root", in("data"), "--exec-root", in("exec"), "--pidfile", in("pid"),
			"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "--log-level=warn",
			"--config-file", in("daemon.json"),
		},
		env: baseEnv(e.dir),
	}, e.dir)
	if err != nil {
		return err
	}
	return poll(ctx, limit, e.process, func(ctx context.Context) error {
		var version struct{ Version string }
		return engineGet(ctx, in("sock"), "/version", &version)
	})
}

// Log returns the last lines of the log, if the stack started the engine.
func (e *Engine) Log() string { return tail(filepath.Join(e.dir, "dockerd.log"), 40) }

// Close stops an engine that the stack started, removes pulled images from any
// other, and removes the directory.
func (e *Engine) Close() error {
	var errs []error
	if !e.Own {
		for _, c := range e.clients {
			errs = append(errs, c.removePulled())
		}
		e.clients = nil
	}
	if e.process != nil {
		errs = append(errs, e.process.Stop())
	}
	if e.starter != nil {
		e.starter.close()
		e.starter = nil
	}
	// dockerd bind-mounts its directory on itself where / is not shared, and does
	// not always unmount it.
	_ = syscall.Unmount(filepath.Join(e.dir, "data"), syscall.MNT_DETACH)
	errs = append(errs, os.RemoveAll(e.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the Docker Engine: %w", err)
	}
	return nil
}

// A DockerClient is the docker command of one person, with its own DOCKER_CONFIG
// directory: it neither reads nor writes ~/.docker.
type DockerClient struct {
	// Config is the directory.
	Config string

	engine *Engine
	pulled []string
}

// Client creates a new person, who is not logged in anywhere.
func (e *Engine) Client() (*DockerClient, error) {
	dir, err := os.MkdirTemp(e.dir, "config-")
	if err != nil {
		return nil, fmt.Errorf("creating a docker configuration: %w", err)
	}
	c := &DockerClient{Config: dir, engine: e}
	e.clients = append(e.clients, c)
	return c, nil
}

// Run runs docker with stdin and returns its output, as on a terminal. The error
// repeats the last line.
func (c *DockerClient) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.engine.docker, args...) //nolint:gosec // that is what it is for
	cmd.Env = append(baseEnv(c.Config), "DOCKER_HOST="+c.engine.Host, "DOCKER_CONFIG="+c.Config)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	text := strings.TrimRight(string(out), "\n")
	if err != nil {
		return text, fmt.Errorf("docker %s: %w: %s", args[0], err, text[strings.LastIndexByte(text, '\n')+1:])
	}
	return text, nil
}

// Login logs in, with the password on standard input.
func (c *DockerClient) Login(ctx context.Context, registry, user, password string) (string, error) {
	return c.Run(ctx, password, "login", "--username", user, "--password-stdin", registry)
}

// Pull pulls ref, as "127.0.0.1:PORT/REPOSITORY:TAG".
func (c *DockerClient) Pull(ctx context.Context, ref string) (string, error) {
	out, err := c.Run(ctx, "", "pull", ref)
	if err == nil {
		c.pulled = append(c.pulled, ref)
	}
	return out, err
}

// Remove removes pulled images.
func (c *DockerClient) Remove(ctx context.Context, refs ...string) error {
	_, err := c.Run(ctx, "", append([]string{"image", "rm", "--force"}, refs...)...)
	return err
}

// removePulled cleans up in an engine that the stack did not start.
func (c *DockerClient) removePulled() error {
	if len(c.pulled) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return c.Remove(ctx, c.pulled...)
}
