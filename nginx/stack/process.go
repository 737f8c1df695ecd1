package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a process may take to exit after SIGTERM.
const grace = 10 * time.Second

// A Process is a child of the stack. It leads its own process group, so that
// Ctrl-C in the terminal reaches only the stack, and it dies with the stack.
type Process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	state  string // how it ended; read only after exited is closed
}

// command is what to start.
type command struct {
	name  string // of the log file
	argv  []string
	env   []string // complete: nothing is inherited
	files []*os.File
	dir   string
}

// A starter starts processes from one thread that lives until close: the kernel
// sends Pdeathsig when the forking thread ends, not the process, and Go may end
// threads at any time (golang.org/issue/27505).
type starter struct {
	jobs chan func()
	done chan struct{}
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) close() {
	close(s.jobs)
	<-s.done
}

// start runs c with its output appended to logDir/NAME.log.
func (s *starter) start(c command, logDir string) (*Process, error) {
	p := &Process{name: c.name, log: filepath.Join(logDir, c.name+".log"), exited: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	defer out.Close()                              //nolint:errcheck // the child has its own
	p.cmd = exec.Command(c.argv[0], c.argv[1:]...) //nolint:gosec // the stack's own command lines
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env, p.cmd.ExtraFiles, p.cmd.Dir = c.env, c.files, c.dir
	// SIGTERM, because nginx and dockerd then stop their own children.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	s.jobs <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go p.wait()
	return p, nil
}

// wait kills the rest of the group when its leader has ended. Until the leader is
// reaped, no other group can get the same number.
func (p *Process) wait() {
	defer close(p.exited)
	for {
		err := unix.Waitid(unix.P_PID, p.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // usually nothing is left
	_ = p.cmd.Wait()                            // its error is the state
	p.state = p.cmd.ProcessState.String()
}

// PID is the process ID of the leader and of the group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the leader.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("sending %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop ends the process with SIGTERM, and with SIGKILL if that takes too long. If
// it has already ended, that is not an error.
func (p *Process) Stop() error {
	err := p.Signal(syscall.SIGTERM)
	// A paused process (PauseAuthsvc) handles SIGTERM only when it continues.
	_ = p.Signal(syscall.SIGCONT)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-p.exited:
		return err
	case <-time.After(grace):
	}
	p.Kill()
	return errors.Join(err, fmt.Errorf("stopping %s: still running %s after SIGTERM, so it was killed", p.name, grace))
}

// Kill ends the process and its children with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// CPU returns the CPU time that the group's running processes have used.
func (p *Process) CPU() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", p.name, err)
	}
	// proc(5): after the name in parentheses come state, ppid, pgrp as fields
	// 3 to 5, and utime and stime as 14 and 15, in ticks of 10 ms.
	const tick = 10 * time.Millisecond
	var total time.Duration
	for _, path := range stats {
		text, err := os.ReadFile(path) //nolint:gosec // a path of /proc
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(after)
		if len(f) < 13 || f[2] != strconv.Itoa(p.PID()) {
			continue
		}
		for _, field := range f[11:13] {
			n, err := strconv.Atoi(field)
			if err != nil {
				return 0, fmt.Errorf("CPU time of %s: %w", p.name, err)
			}
			total += time.Duration(n) * tick
		}
	}
	return total, nil
}

// died returns the error for a process that ended by itself.
func (p *Process) died() error {
	return fmt.Errorf("%s ended (%s); the end of its log:\n%s", p.name, p.state, tail(p.log, 20))
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path) //nolint:gosec // the stack's own files
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
