package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/nginx/proof/marks"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// crashEnv makes this program hold its standard input in memory, and crash.
const crashEnv = "PULLGATE_SECRETS_CRASH"

// planted ends the names of planted files.
const planted = "-planted"

// plants shows that the search finds every secret in every encoding in every kind of
// place, and nothing when they are gone.
func (r *rig) plants(ctx context.Context) error {
	text := strings.Join(r.set.Plants(), "\n")
	places := 0
	for _, plant := range []func(context.Context, string) (int, error){r.plantFiles, r.plantProcess, r.plantAnswers, r.plantCore} {
		n, err := plant(ctx, text)
		if err != nil {
			return fmt.Errorf("a search that finds nothing when planted is a failed run: %w", err)
		}
		places += n
	}
	clean := r.set.Searcher()
	if err := errors.Join(r.files(clean), clean.Processes()); err != nil {
		return err
	}
	if leaks := clean.Leaks(allowed); len(leaks) > 0 {
		return fmt.Errorf("before anything was driven, and after the plants were removed, expected no finding, found %d: %v", len(leaks), leaks[:min(10, len(leaks))])
	}
	r.note("found each of %d secrets in each encoding in %d places", r.set.Len(), places)
	return nil
}

// missed is the error for plants that a search did not find.
func missed(search *marks.Searcher, kind, place string) error {
	if m := search.Missed(kind, place); len(m) > 0 {
		return fmt.Errorf("%s %s: planted, but not found: %d, the first %q", kind, place, len(m), m[:min(5, len(m))])
	}
	return nil
}

// plantFiles appends to each log, and makes files of each other kind in each folder.
func (r *rig) plantFiles(_ context.Context, text string) (int, error) {
	var places []string
	for _, dir := range []string{filepath.Join(r.stack.Dir, "log"), r.work} {
		logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil {
			return 0, err
		}
		for _, log := range logs {
			info, err := os.Stat(log)
			if err != nil {
				return 0, err
			}
			defer func() { _ = os.Truncate(log, info.Size()) }() // the next search would find it
			places = append(places, log)
		}
	}
	made := filepath.Join(r.work, "planted")
	if err := os.Mkdir(made, 0o700); err != nil {
		return 0, err
	}
	for _, path := range []string{
		filepath.Join(made, "customers"), filepath.Join(made, "key"), filepath.Join(made, "releases"),
		filepath.Join(r.work, "state", planted), filepath.Join(r.stack.Dir, planted), filepath.Join(r.stack.Dir, "token", planted),
		filepath.Join(r.stack.Dir, "nginx", "tmp", planted), filepath.Join("/tmp", filepath.Base(r.work)+planted), filepath.Join("/var/tmp", filepath.Base(r.work)+planted),
		filepath.Join("/dev/shm", filepath.Base(r.work)+planted),
	} {
		defer os.RemoveAll(path) //nolint:errcheck // likewise
		places = append(places, path)
	}
	for _, path := range places {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		_, err = io.WriteString(file, "\n"+text+"\n")
		if err := errors.Join(err, file.Close()); err != nil {
			return 0, err
		}
	}
	search := r.set.Searcher()
	err := r.files(search)
	for _, path := range places {
		err = errors.Join(err, missed(search, r.kind(path), path))
	}
	return len(places), err
}

// plantProcess starts a shell with all in its arguments and its environment.
func (r *rig) plantProcess(ctx context.Context, text string) (int, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", "sleep 300; :", "sh", text)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PLANTED=" + text}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _, _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL), cmd.Wait() }()
	return 2, until(ctx, func() error { // until exec has happened
		search := r.set.Searcher()
		return errors.Join(search.Processes(), missed(search, marks.ProcessList, "sh"), missed(search, marks.Environment, "sh"))
	})
}

// plantAnswers lets a server show all in a body, in headers, and as a metric.
func (r *rig) plantAnswers(ctx context.Context, text string) (int, error) {
	lines := strings.Split(text, "\n")
	server, err := standin.Start(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/header" {
			w.Header()["X-Planted"] = lines
			return
		}
		_, _ = io.WriteString(w, text)
	}), standin.Options{})
	if err != nil {
		return 0, err
	}
	defer server.Close() //nolint:errcheck // it has no state
	real := r.search
	r.search = r.set.Searcher()
	defer func() { r.search = real }()
	for _, path := range []string{"/header", "/body"} {
		answer, _, err := r.send(ctx, server.URL(), get(path))
		if err != nil {
			return 0, err
		}
		r.answered(path, answer)
	}
	err = r.fetch(ctx, "metrics", "/metrics", server.URL()+"/metrics")
	return 3, errors.Join(err, missed(r.search, "answer", "/header"), missed(r.search, "answer", "/body"), missed(r.search, "metrics", "/metrics"))
}

// plantCore lets this program crash with all in its memory. If the kernel does not
// write core dumps into the working directory, the run says so.
func (r *rig) plantCore(ctx context.Context, text string) (int, error) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		return 0, err
	}
	if strings.ContainsAny(string(pattern), "|/") {
		r.note("core dumps CANNOT BE SEEN here, since kernel.core_pattern is %q", strings.TrimSpace(string(pattern)))
		return 0, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(r.work, "crash")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the next search would find it
	cmd := exec.CommandContext(ctx, self)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, []string{crashEnv + "=1", "GOTRACEBACK=crash"}, strings.NewReader(text)
	if err := cmd.Run(); err == nil {
		return 0, errors.New("expected a program to crash, but it ended well")
	}
	cores, err := filepath.Glob(filepath.Join(dir, "core*"))
	if err != nil || len(cores) != 1 {
		return 0, fmt.Errorf("expected a core dump of a program that allows one, found %q, %w", cores, err)
	}
	search := r.set.Searcher()
	err = r.files(search)
	return 1, errors.Join(err, missed(search, "core dump", cores[0]))
}

// crash is this program's other life.
func crash() {
	held, _ := io.ReadAll(os.Stdin)
	held = slices.Clip(held)
	_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	time.Sleep(time.Minute)
	fmt.Print(len(held)) // so that it stays in memory until here
}
