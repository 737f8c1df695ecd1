package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// operationsPackages says how to install the programs that these tests run.
const operationsPackages = "as root: apt-get install -y fail2ban python3-systemd systemd-journal-remote logrotate"

// operationsTool finds an operator's program, even outside of the user's PATH.
func operationsTool(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name, "/lib/systemd/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed; %s", name, operationsPackages)
	return ""
}

// adapted returns an example with this machine's paths instead of a production
// machine's. The example must contain each path that is replaced.
func adapted(t *testing.T, file string, replace map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../examples", file))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range replace {
		if !bytes.Contains(text, []byte(from)) {
			t.Fatalf("%s: expected %q in it", file, from)
		}
		text = bytes.ReplaceAll(text, []byte(from), []byte(to))
	}
	return string(text)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLogrotate: a log is rotated while nginx writes to it. No line is lost, and no
// log is readable by everyone.
func TestLogrotate(t *testing.T) {
	t.Run("the stack's", func(t *testing.T) {
		log := newLog(t, t.TempDir())
		s := start(t, stack.Options{Workers: 2, Server: "access_log " + log + " registry;"})
		rotate(t, log, filepath.Join(filepath.Dir(s.NginxConf()), "nginx.pid"), s.URL, "")
	})
	// The stack's workers are root; these are not, as on a production machine.
	t.Run("an example's", func(t *testing.T) {
		cmd := newExample(t, "../examples/tls.conf", map[string]string{"worker_processes auto;": "user www-data; worker_processes 2;"})()
		dir := filepath.Dir(cmd.Args[4])
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the workers need access from / to the log
			t.Fatal(err)
		}
		log := newLog(t, filepath.Join(dir, "log"))
		run(t, cmd)
		waitFor(t, "nginx", func() bool { return dials(t, "127.0.0.1:1443") })
		rotate(t, log, filepath.Join(dir, "pid"), "https://127.0.0.1:1443", "www-data")
	})
}

// newLog makes the log as the example says.
func newLog(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "registry.log")
	install := []string{"-m", "0640", "/dev/null", log}
	if os.Geteuid() == 0 {
		install = append([]string{"-o", "www-data", "-g", "adm"}, install...)
	}
	if out, err := exec.CommandContext(t.Context(), "install", install...).CombinedOutput(); err != nil {
		t.Fatalf("install %q: %v\n%s", install, err, out)
	}
	return log
}

// rotate rotates a log three times during requests. If nginx's workers are not
// root, they own the log: nginx gives them a log when it reopens it.
func rotate(t *testing.T, log, pid, url, owner string) {
	t.Helper()
	dir := filepath.Dir(log)
	replace := map[string]string{"/var/log/registry/*.log {": dir + "/*.log {", "/run/nginx.pid": pid}
	if os.Geteuid() != 0 {
		replace["www-data adm"] = fmt.Sprintf("%d %d", os.Geteuid(), os.Getegid())
	}
	work := t.TempDir()
	conf := filepath.Join(work, "logrotate.conf")
	writeFile(t, conf, adapted(t, "logrotate.conf", replace))
	logrotate := func() {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), operationsTool(t, "logrotate"), "-f", "-s", filepath.Join(work, "state"), conf)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("logrotate: %v\n%s", err, out)
		}
	}

	sent, stop := requestAllTheTime(t, url)
	for range 3 {
		more := sent() + 20
		waitFor(t, "requests", func() bool { return sent() > more })
		before := readFile(t, log)
		logrotate()
		waitFor(t, "nginx to take up the new log", func() bool {
			info, err := os.Stat(log)
			return err == nil && info.Size() > 0 && !holdsOpen(t, pid, log+".1")
		})
		if after := readFile(t, log+".1"); !strings.HasPrefix(after, before) || before == "" {
			t.Errorf("the rotated log does not begin with what was in the log:\n%.300s\n%.300s", after, before)
		}
	}
	stop()

	files := []string{log, log + ".1", log + ".2.gz", log + ".3.gz"}
	if found, err := filepath.Glob(log + "*"); err != nil || !slices.Equal(found, files) {
		t.Fatalf("logs are %q, %v; want %q", found, err, files)
	}
	for _, file := range files {
		out, err := exec.CommandContext(t.Context(), "stat", "-c", "%a %U %G", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Fields(string(out))
		if got[0] != "640" || os.Geteuid() == 0 && (got[2] != "adm" || owner != "" && got[1] != owner) {
			t.Errorf("%s is %s, want 640 %s adm", filepath.Base(file), got, owner)
		}
	}
	lines := map[string]int{}
	waitFor(t, "a line of each request", func() bool { // written after the answer
		clear(lines)
		for _, file := range files {
			for _, match := range regexp.MustCompile(`/rotated/\d+ `).FindAllString(unpacked(t, file), -1) {
				lines[match]++
			}
		}
		return len(lines) >= sent()
	})
	for uri, n := range lines {
		if n != 1 {
			t.Errorf("%s: %d lines", uri, n)
		}
	}
	t.Logf("%d requests, as many lines", sent())

	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	logrotate() // a machine that has no log yet
}

// requestAllTheTime sends requests without credentials, each with a different path,
// until stop.
func requestAllTheTime(t *testing.T, url string) (sent func() int, stop func()) {
	t.Helper()
	var n atomic.Int64
	var failed atomic.Pointer[error]
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
				response, err := client.Get(fmt.Sprintf("%s/v2/rotated/%d", url, n.Add(1)))
				if err == nil {
					_, err = read(response)
				}
				if err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
		if err := failed.Load(); err != nil {
			t.Errorf("a request failed: %v", *err)
		}
	})
	t.Cleanup(stop)
	return func() int { return int(n.Load()) }, stop
}

// holdsOpen reports whether nginx's master or a worker has a file open.
func holdsOpen(t *testing.T, pid, file string) bool {
	t.Helper()
	master := strings.TrimSpace(readFile(t, pid))
	processes := strings.Fields(readFile(t, fmt.Sprintf("/proc/%s/task/%s/children", master, master)))
	for _, process := range append(processes, master) {
		links, err := filepath.Glob("/proc/" + process + "/fd/*")
		if err != nil || len(links) == 0 {
			t.Fatalf("open files of nginx, process %s: %v", process, err)
		}
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && to == file {
				return true
			}
		}
	}
	return false
}

// unpacked reads a log, compressed or not.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	text := readFile(t, file)
	if !strings.HasSuffix(file, ".gz") {
		return text
	}
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return string(all)
}
