package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// newFail2ban makes a copy of /etc/fail2ban with the examples, installed as they
// say. jail and action are replacements in these.
func newFail2ban(t *testing.T, jail, action map[string]string) string {
	t.Helper()
	operationsTool(t, "fail2ban-server")
	if exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import systemd.journal").Run() != nil {
		t.Fatal("fail2ban reads no journal; " + operationsPackages)
	}
	conf := filepath.Join(t.TempDir(), "fail2ban")
	if err := os.CopyFS(conf, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	for file, replace := range map[string]map[string]string{"filter.d/registry.conf": nil, "jail.d/registry.conf": jail, "action.d/registry.conf": action} {
		writeFile(t, filepath.Join(conf, file), adapted(t, "fail2ban/"+file, replace))
	}
	// Debian's default jail needs a log that this machine may not have.
	writeFile(t, filepath.Join(conf, "jail.local"), "[sshd]\nenabled = false\n")
	writeFile(t, filepath.Join(conf, "fail2ban.local"), strings.ReplaceAll("[Definition]\nsocket = DIR/sock\npidfile = DIR/pid\ndbfile = DIR/db\nlogtarget = DIR/log\nallowipv6 = auto\n", "DIR", filepath.Dir(conf)))
	return conf
}

// newFail2banOf makes one that reads a journal and bans at a stack's nginx, with
// files in the directory denied.
func newFail2banOf(t *testing.T, s *stack.Stack, j *journal, denied string) string {
	t.Helper()
	nginx := fmt.Sprintf("%s -e stderr -p %s -c %s", operationsTool(t, "nginx"), filepath.Dir(s.NginxConf()), s.NginxConf())
	return newFail2ban(t,
		map[string]string{"backend = systemd\n": "backend = systemd[journalpath=" + j.dir + "]\n"},
		map[string]string{"dir    = /var/lib/registry-denied": "dir = " + denied, "nginx  = nginx\n": "nginx = " + nginx + "\n"},
	)
}

// fail2banClient runs fail2ban-client.
func fail2banClient(t *testing.T, conf string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), operationsTool(t, "fail2ban-client"), append([]string{"-c", conf}, args...)...).CombinedOutput()
	return string(out), err
}

// TestFail2banJail: fail2ban accepts the jail as shipped, and with each alternative
// in its comments.
func TestFail2banJail(t *testing.T) {
	log := filepath.Join(t.TempDir(), "registry.log")
	writeFile(t, log, "")
	uncomment := func(lines ...string) map[string]string {
		replace := map[string]string{}
		for _, line := range lines {
			replace["#   "+line] = line
		}
		return replace
	}
	access := uncomment("backend = auto", "mode    = access", "logpath = /var/log/nginx/registry.log")
	access["backend = systemd\n"] = ""
	access["#   logpath = /var/log/nginx/registry.log"] = "logpath = " + log
	filter := uncomment("banaction = nftables-multiport", "port      = https", "action    = %(action_)s")
	filter["action = registry\n"] = ""
	for _, test := range []struct {
		name string
		jail map[string]string
		want []string // among the commands that the server gets
	}{
		{"as shipped", nil, []string{
			"['add', 'registry', 'systemd']", "['set', 'registry', 'maxretry', 300]", "['set', 'registry', 'addjournalmatch', '_SYSTEMD_UNIT=authsvc.service']",
			"['set', 'registry', 'maxmatches', 0]", "['set', 'registry', 'usedns', 'no']", "'10.0.0.0/16'", `"msg":"decision"`, "deny <ip>;",
		}},
		{"the access log", access, []string{"['add', 'registry', 'auto']", `"status":(?:401|429)`, "['set', 'registry', 'addlogpath', '" + log, "deny <ip>;"}},
		{"the packet filter", filter, []string{"['add', 'registry', 'systemd']", `"msg":"decision"`, "nftables", "'https'"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := newFail2ban(t, test.jail, nil)
			if out, err := fail2banClient(t, conf, "-t"); err != nil || strings.Contains(out, "WARN") {
				t.Errorf("fail2ban-client -t: %v\n%s", err, out)
			}
			out, err := fail2banClient(t, conf, "-d")
			if err != nil {
				t.Fatalf("fail2ban-client -d: %v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("expected %s in\n%s", want, out)
				}
			}
		})
	}
}

// TestFail2banBans runs fail2ban: the 300th wrong credential, and none before it,
// bans an address at nginx. Nobody else is banned, and the ban ends.
func TestFail2banBans(t *testing.T) {
	denied := filepath.Join(t.TempDir(), "denied")
	s := start(t, stack.Options{Server: behindBalancer + "\ninclude " + denied + "/*.conf;"})
	push(t, s, "acme/appliance:1.0")
	j := newJournal(t)
	conf := newFail2banOf(t, s, j, denied)
	stop := startFail2ban(t, conf)

	// The journal gets authsvc's log.
	read := 0
	journalled := func(address string) {
		t.Helper()
		text := logged(t, s, "authsvc", []string{address})
		j.add(t, text[read:], "authsvc.service")
		read = len(text)
	}
	guess := func(address string, n int) {
		t.Helper()
		for i := range n {
			r := request{uri: "/v2/", user: email, password: fmt.Sprint("guess ", i)}
			if a := send(t, s, r.from(address)); a.status != 401 && a.status != 429 {
				t.Fatalf("guess %d from %s: status %d, want 401 or 429", i, address, a.status)
			}
		}
	}
	status := func(of string) string {
		t.Helper()
		out, err := fail2banClient(t, conf, "status", "registry")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, value, _ := strings.Cut(out, of+":\t")
		value, _, _ = strings.Cut(value, "\n")
		return strings.TrimSpace(value)
	}
	statusFrom := func(address string, r request) int {
		t.Helper()
		return send(t, s, r.from(address)).status
	}
	const guesser, other, balancer = "198.51.100.9", "2001:db8::9", "10.0.3.4"
	question, pull := request{uri: "/v2/", anonymous: true}, request{uri: manifest}
	for _, address := range []string{guesser, other, balancer} { // each has a known customer
		if got := statusFrom(address, pull); got != 200 {
			t.Fatalf("a pull from %s: status %d, want 200", address, got)
		}
	}
	guess(balancer, 3)
	guess(other, 20)
	guess(guesser, 299)
	for range 3 {
		statusFrom(guesser, question)
		statusFrom(guesser, pull)
	}
	if got := statusFrom("192.0.2.1", question); got != 401 { // the last line
		t.Fatalf("status %d, want 401", got)
	}
	journalled("192.0.2.1")
	waitFor(t, "fail2ban to count", func() bool { return status("Total failed") == "319" })
	if got := status("Total banned"); got != "0" {
		t.Errorf("%s banned after 299 wrong credentials", got)
	}

	guess(guesser, 1)
	statusFrom("192.0.2.2", question)
	journalled("192.0.2.2")
	waitFor(t, "the ban", func() bool { return statusFrom(guesser, question) == 403 })
	waitFor(t, "the end of the worker that knows of no ban", func() bool { return accepting(t, s.Process("nginx").PID()) == 1 })
	wantError(t, pull, send(t, s, pull.from(guesser)), 403, "DENIED")
	if got := status("Banned IP list"); got != guesser {
		t.Errorf("banned are %q, want %s", got, guesser)
	}
	for _, address := range []string{other, balancer, victim} {
		if got := statusFrom(address, pull); got != 200 {
			t.Errorf("a pull from %s: status %d, want 200", address, got)
		}
	}
	// nginx does not ask authsvc about a banned address.
	statusFrom(guesser, request{uri: "/v2/acme/appliance/manifests/banned"})
	statusFrom("192.0.2.3", question)
	if strings.Contains(logged(t, s, "authsvc", []string{"192.0.2.3"}), `"reference":"banned"`) {
		t.Error("authsvc was asked about a banned address")
	}

	if strings.Contains(readFile(t, filepath.Join(filepath.Dir(conf), "db")), email) {
		t.Error("a customer's e-mail is in fail2ban's database")
	}

	// After a restart, fail2ban restores its bans, and removes leftovers of a killed one.
	stop()
	waitFor(t, "the end of the worker that knows of the ban", func() bool { return accepting(t, s.Process("nginx").PID()) == 1 })
	waitFor(t, "the end of all bans", func() bool { return statusFrom(guesser, pull) == 200 })
	left := filepath.Join(denied, "registry-192.0.2.99.conf")
	writeFile(t, left, "deny 192.0.2.99;\n")
	stop = startFail2ban(t, conf)
	waitFor(t, "the ban after a restart", func() bool { return statusFrom(guesser, pull) == 403 })
	waitFor(t, "the end of a ban that nobody knows of", func() bool {
		_, err := os.Stat(left)
		return errors.Is(err, fs.ErrNotExist)
	})

	// Whatever ends a ban ends it at nginx too.
	for _, args := range [][]string{{"set", "registry", "banip", other}, {"set", "registry", "unbanip", guesser}} {
		if out, err := fail2banClient(t, conf, args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	waitFor(t, "the end of the ban", func() bool { return statusFrom(guesser, pull) == 200 })
	waitFor(t, "a ban by hand", func() bool { return statusFrom(other, pull) == 403 })
	stop()
	waitFor(t, "the end of all bans", func() bool { return statusFrom(other, pull) == 200 })
	if files, err := filepath.Glob(denied + "/*"); err != nil || len(files) != 0 {
		t.Errorf("left behind: %q, %v", files, err)
	}
	log := readFile(t, filepath.Join(filepath.Dir(conf), "log"))
	if strings.Contains(log, "ERROR") || strings.Contains(log, email) {
		t.Errorf("an error or a customer's e-mail is in fail2ban's log:\n%s", log)
	}
}

// accepting returns how many workers of an nginx master accept connections. The
// titles of the others say that they are shutting down.
func accepting(t *testing.T, master int) (n int) {
	t.Helper()
	for _, child := range strings.Fields(readFile(t, fmt.Sprintf("/proc/%d/task/%d/children", master, master))) {
		title, err := os.ReadFile("/proc/" + child + "/cmdline")
		if err == nil && !strings.Contains(string(title), "shutting down") { // or it has ended
			n++
		}
	}
	return n
}

// TestFail2banSaysThatNginxDoesNotListen: without the include, a ban would be a
// file that nothing reads.
func TestFail2banSaysThatNginxDoesNotListen(t *testing.T) {
	s := start(t, stack.Options{})
	denied := filepath.Join(t.TempDir(), "denied")
	conf := newFail2banOf(t, s, newJournal(t), denied)
	startFail2ban(t, conf)
	waitFor(t, "the error in fail2ban's log", func() bool {
		return strings.Contains(readFile(t, filepath.Join(filepath.Dir(conf), "log")), "-- stderr: 'nginx.conf has no \"include "+denied)
	})
}

// startFail2ban starts the server and waits until it answers. The returned function
// stops it.
func startFail2ban(t *testing.T, conf string) (stop func()) {
	t.Helper()
	starts := func() int { // the log continues after a restart
		log, _ := os.ReadFile(filepath.Join(filepath.Dir(conf), "log")) // there is none at first
		return strings.Count(string(log), "Jail 'registry' started")
	}
	before := starts()
	cmd := exec.Command(operationsTool(t, "fail2ban-server"), "-c", conf, "-xf", "start")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			log := strings.Split(readFile(t, filepath.Join(filepath.Dir(conf), "log")), "\n")
			log = slices.DeleteFunc(log, func(line string) bool { return strings.Contains(line, "] Found ") })
			t.Logf("fail2ban:\n%s%s", out.String(), strings.Join(log, "\n"))
		}
	})
	waitFor(t, "fail2ban", func() bool { return starts() > before })
	return stop
}
