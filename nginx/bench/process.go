package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// clockTicks is USER_HZ, the unit of times in /proc/PID/stat. Linux fixes it at
// 100 on every architecture that Go supports (proc(5), time(7)).
const clockTicks = 100

// A process is a program that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

func start(ctx context.Context, dir, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.Dir = dir
	p.cmd.Stderr = &p.output
	// nginx's master stops its workers when it gets SIGTERM.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w; `nginx/stack/install.sh bench` installs what is missing", name, err)
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// cpuSeconds returns the CPU time, user and system, that processes and their
// children have used.
func cpuSeconds(processes []*process) (float64, error) {
	var ticks float64
	for _, p := range processes {
		pids := []string{strconv.Itoa(p.cmd.Process.Pid)}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", pids[0], pids[0]))
		if err != nil {
			return 0, err
		}
		for _, pid := range append(pids, strings.Fields(string(children))...) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil {
				return 0, err
			}
			// utime and stime are fields 14 and 15; the second, the name,
			// may hold spaces and ends at the last parenthesis.
			fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
			for _, field := range fields[11:13] {
				n, err := strconv.ParseFloat(field, 64)
				if err != nil {
					return 0, err
				}
				ticks += n
			}
		}
	}
	return ticks / clockTicks, nil
}
