// Command deploytest deploys to real machines and tries to take them down.
//
// It debootstraps a Debian, boots as many machines of it as needed with
// systemd-nspawn, gives each an nginx with an unrelated site, and deploys over ssh
// with the playbook, as ansible/README.md says. There are stand-ins only for AWS
// (ECR, instance metadata, the VPC's name server) and the vendor's API; they have
// the originals' names, addresses, and ports, in a network of their own.
//
//	make deploy-test [SUITE=trixie]
//
// It prints a line for each step, and exits with 1 if one fails. steps.go has the
// steps in their order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// insideEnv tells the second process, inside the namespaces, where the first one
// put everything.
const insideEnv = "PULLGATE_DEPLOYTEST_DIR"

// options are the command line's.
type options struct {
	suite, run string
	short      bool
}

func main() {
	var o options
	flag.StringVar(&o.suite, "suite", "bookworm", "the Debian to deploy to, as debootstrap names it")
	flag.BoolVar(&o.short, "short", false, "one machine, without the steps that take minutes")
	flag.StringVar(&o.run, "run", "", "only the steps that match this regular expression; they must include those that boot and deploy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	run := outside
	if os.Getenv(insideEnv) != "" {
		run = inside
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "deploytest:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

// outside prepares what needs the network and starts the rest in namespaces,
// because AWS's addresses, a name server on port 53, and another /etc must not
// touch the host. Everything started inside ends with the process namespace.
func outside(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("systemd-nspawn needs root: sudo make deploy-test")
	}
	if err := lookForTools(); err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("/var/tmp", "pullgate-deploy-") // not /tmp, which may be small
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work), removeGroups(filepath.Base(work)+"-*")) }()
	p := paths{root: root, work: work, suite: o.suite}
	if err := prepare(ctx, p); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", self, "-suite", o.suite, fmt.Sprintf("-short=%t", o.short), "-run", o.run) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), insideEnv+"="+work)
	cmd.Dir = root
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the deployment test failed: %w", err)
	}
	return nil
}

// inside runs the steps.
func inside(ctx context.Context, o options) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, paths{root: root, work: os.Getenv(insideEnv), suite: o.suite})
	if err != nil {
		return err
	}
	return w.runSteps(ctx, o.steps())
}

// paths are the directories.
type paths struct {
	root  string // of the project
	work  string // of this run
	suite string // of the Debian
}

// base is the Debian that machines are made from, kept between runs.
func (p paths) base() string { return filepath.Join(p.root, ".build", "deploy", p.suite) }

// packages is the directory with the packages of a version.
func (p paths) packages(version string) string { return filepath.Join(p.work, "packages", version) }

// deb is the package of a program.
func (p paths) deb(version, program, arch string) string {
	return filepath.Join(p.packages(version), program+"_"+version+"_"+arch+".deb")
}

// in returns a path in this run's directory.
func (p paths) in(parts ...string) string {
	return filepath.Join(append([]string{p.work}, parts...)...)
}
