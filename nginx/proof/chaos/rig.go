package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// The file systems of the programs' states, small enough to be filled.
const (
	stateFolder = "authsvc"        // customers, their key, releases
	tokenFolder = "tokenrefresher" // the token
	folderSize  = "size=32m"
)

// A rig is the stack, with everything that can be broken.
type rig struct {
	stack  *stack.Stack
	clock  *clock
	engine *stack.Engine
	images images
	root   string // of the repository
	dir    string // of this run

	mounted []string
	relays  []*relay
}

// startRig starts everything, and shows that the clock can be shifted.
func startRig(ctx context.Context, stdout io.Writer) (r *rig, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("this mounts file systems and starts a Docker Engine, which needs root; run it with sudo")
	}
	r = &rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.root, err = repository(); err != nil {
		return r, err
	}
	fmt.Fprintln(stdout, "building authsvc and tokenrefresher with a clock that can be shifted")
	binaries, err := build(ctx, r.root)
	if err != nil {
		return r, err
	}
	if r.dir, err = os.MkdirTemp("", "pullgate-chaos-"); err != nil {
		return r, err
	}
	for _, folder := range []string{stateFolder, tokenFolder} {
		if err := r.mount(folder); err != nil {
			return r, err
		}
	}
	if r.clock, err = newClock(r.dir); err != nil {
		return r, err
	}
	if err := r.startStack(ctx, stdout, binaries); err != nil {
		return r, err
	}
	if r.images, err = pushImages(ctx, r.stack); err != nil {
		return r, err
	}
	if err := r.clock.prove(ctx, r.stack); err != nil {
		return r, err
	}
	fmt.Fprintf(stdout, "the clock of nginx, authsvc, and tokenrefresher can be shifted (tried: %[1]v ahead and behind); their timers do not follow it\n"+
		"not shifted: file times (the kernel's), the clients, and the stand-ins for AWS and the vendor's API\n", proven)
	r.engine, err = stack.Dockerd(ctx, stack.EngineOptions{Own: true, Progress: stdout, Timeout: patience})
	return r, err
}

func (r *rig) startStack(ctx context.Context, stdout io.Writer, binaries string) (err error) {
	env, err := r.clock.env()
	if err != nil {
		return err
	}
	r.stack, err = stack.Start(ctx, stack.Options{
		BinDir: binaries, Progress: stdout, Timeout: patience, Env: env, Main: keepEnv,
		Record: -1, Upstreams: r.regions(),
		Authsvc: map[string]any{
			"cache.file":     filepath.Join(r.folder(stateFolder), "customers"),
			"cache.key_file": filepath.Join(r.folder(stateFolder), "key"),
			"release.file":   filepath.Join(r.folder(stateFolder), "releases"),
			// So short that everything is asked again within each fault.
			"cache.ttl":       "2s",
			"release.tag_ttl": "2s",
			// So long that a slow machine is no fault.
			"release.timeout": "60s",
		},
		Settings: map[string]string{"authsvc-timeouts.conf": "proxy_read_timeout 180s;\n"},
		// Tokens expire early more often than in the world.
		Tokenrefresher: map[string]any{"control.min_interval": "1s"},
	})
	return err
}

// The region that serves, and the one that stands by.
const first, second = "eu", "us"

// regions are both, with their tokens in a file system that can be broken.
func (r *rig) regions() []stack.UpstreamOptions {
	regions := []stack.UpstreamOptions{
		{Name: first, Prefixes: []any{"/"}, Standby: second},
		{Name: second, ECR: ecr.Options{Region: "us-east-1"}},
	}
	for i := range regions {
		region := &regions[i]
		region.ECR.Record = -1
		region.Registry = map[string]any{"file": r.tokenFile(region.Name)}
		region.Authsvc = map[string]any{"token_file": r.tokenFile(region.Name), "timeout": "60s", "refresh_timeout": "60s"} // like release.timeout
	}
	return regions
}

func (r *rig) tokenFile(region string) string {
	return filepath.Join(r.folder(tokenFolder), region+".json")
}

func (r *rig) folder(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) mount(folder string) error {
	path := r.folder(folder)
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, folderSize+",mode=0700"); err != nil {
		return fmt.Errorf("mounting a file system at %s: %w", path, err)
	}
	r.mounted = append(r.mounted, path)
	return nil
}

// newClient starts a client of its own address.
func (r *rig) newClient(i int, program string) (*client, error) {
	from := fmt.Sprintf("127.30.0.%d", 1+i)
	// Where a redirect leads from 127.0.0.1 to 127.0.0.1, regctl takes its password
	// along, which S3 refuses. From any other address, crane does not follow it.
	at := "127.0.0.1"
	if program == "regctl" {
		at = from
	}
	relay, err := startRelay(at, from, r.stack.Host)
	if err != nil {
		return nil, err
	}
	r.relays = append(r.relays, relay)
	c, err := newClient(program, r.root, filepath.Join(r.dir, "client"+strconv.Itoa(i)), relay.host())
	if err == nil && program == "docker" {
		c.docker, err = r.engine.Client()
	}
	return c, err
}

func (r *rig) close() error {
	var errs []error
	for _, relay := range r.relays {
		errs = append(errs, relay.Close())
	}
	if r.engine != nil {
		errs = append(errs, r.engine.Close())
	}
	if r.stack != nil {
		errs = append(errs, r.stack.Close())
	}
	for _, path := range r.mounted {
		errs = append(errs, unix.Unmount(path, unix.MNT_DETACH))
	}
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// workers are nginx's children.
func (r *rig) workers() ([]int, error) {
	master := r.stack.Process("nginx").PID()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		return nil, err
	}
	var all []int
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		all = append(all, pid)
	}
	return all, nil
}

// repository is the root of the repository, at or above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "nginx", "proof", "chaos", "excuses.md")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this inside the repository")
		}
	}
	return "", err
}

// fill writes a file until the file system is full.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // its content does not matter
	for block := make([]byte, 1<<20); ; {
		_, err := file.Write(block)
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// waitFor waits until ready returns nil, for a time that is long enough for a slow
// machine.
func waitFor(ctx context.Context, ready func() error) error {
	end := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v: %w", patience, err)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
