package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

const (
	// behindBalancer: the test acts as nginx's load balancer, and sends the
	// client's address.
	behindBalancer = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"
	// victim is the address that hostile requests try to get banned. It sends
	// nothing.
	victim = "203.0.113.7"
)

// from returns a request from an address behind the balancer. Its client claims to
// be the victim wherever it can.
func (r request) from(address string) request {
	r.header = append([]string{
		"X-Forwarded-For: " + victim + ", " + address, "X-Real-IP: " + victim, "Forwarded: for=" + victim,
		`X-Request-ID: x","client":"` + victim, "X-Auth-Subject: " + victim, "X-Registry-Error-Code: UNAUTHORIZED",
	}, r.header...)
	return r
}

// A try is a request, and whether its credential is wrong.
type try struct {
	what string
	request
	status int
	wrong  bool
}

// tries are the requests that the filter must tell apart.
func tries() []try {
	wrong := func(what string, r request) try {
		if r.user == "" {
			r.user = email
		}
		if r.password == "" {
			r.password = "wrong"
		}
		return try{what, r, 401, true}
	}
	all := []try{
		// How docker login and a pull begin, and successful requests.
		{"no credential", request{uri: "/v2/", anonymous: true}, 401, false},
		{"no credential, HTTP/2", request{proto: "HTTP/2", uri: manifest, anonymous: true}, 401, false},
		{"no credential for a list", request{uri: tagsList, anonymous: true}, 401, false},
		{"a login", request{uri: "/v2/"}, 200, false},
		{"a pull", request{uri: manifest}, 200, false},
		{"a pull, HTTP/2", request{proto: "HTTP/2", uri: manifest}, 200, false},
		{"a list", request{uri: tagsList}, 200, false},
		// Not licensed, does not exist, or not in the API.
		{"an expired license", request{uri: "/v2/old/appliance/manifests/1.0"}, 403, false},
		{"no license", request{uri: "/v2/other/appliance/manifests/1.0"}, 404, false},
		{"no license for a list", request{uri: "/v2/other/appliance/tags/list"}, 404, false},
		{"no such tag", request{uri: "/v2/acme/appliance/manifests/2.0"}, 404, false},
		{"a malformed tag", request{uri: "/v2/acme/appliance/manifests/-"}, 400, false},
		{"a push", request{method: "PUT", uri: manifest}, 405, false},
		{"a path outside", request{uri: "/v2"}, 404, false},
		// Not a possible credential.
		{"another scheme", request{uri: "/v2/", anonymous: true, header: []string{"Authorization: Bearer x"}}, 401, false},
		{"no base64", request{uri: "/v2/", anonymous: true, header: []string{"Authorization: Basic !"}}, 401, false},
		{"no password", request{uri: "/v2/", user: email}, 401, false},
		{"not UTF-8", request{uri: "/v2/", user: "\xff", password: "wrong"}, 401, false},

		wrong("a password", request{uri: "/v2/"}),
		wrong("the same, from the cache", request{uri: "/v2/"}),
		wrong("HTTP/1.0", request{proto: "HTTP/1.0", uri: "/v2/"}),
		wrong("HTTP/2", request{proto: "HTTP/2", uri: "/v2/"}),
		wrong("HEAD", request{method: "HEAD", uri: manifest}),
		wrong("a manifest", request{uri: manifest, user: "bob@acme.example"}),
		wrong("a list", request{uri: tagsList}),
		wrong("the catalog", request{uri: "/v2/_catalog"}),
		wrong("with a body", request{uri: manifest, body: "x"}),
		wrong("another's token", request{uri: "/v2/", user: "bob@acme.example", password: secret}),
		wrong("letters of another alphabet", request{uri: "/v2/", user: "анна"}),
		wrong("a long name", request{uri: "/v2/", user: strings.Repeat(`"\`, 2000)}),
	}
	for i, text := range hostileTexts() {
		what := func(as string) string { return fmt.Sprintf("hostile text %d as %s", i, as) }
		agent := []string{"User-Agent: " + text}
		uri := manifest + "?x=" + strings.NewReplacer(" ", "+", "\t", "+").Replace(text)
		name := hostileName(text)
		all = append(all,
			try{what("User-Agent"), request{uri: "/v2/", header: agent, anonymous: true}, 401, false},
			try{what("URI and User-Agent"), request{uri: uri, header: agent, anonymous: true}, 400, false},
			try{what("a customer's URI and User-Agent"), request{uri: uri, header: agent}, 400, false},
			try{what("a customer's name and User-Agent"), request{uri: "/v2/", header: agent, user: name, password: hostileToken(i)}, 200, false},
			try{what("a customer's name and User-Agent, not licensed"), request{uri: "/v2/other/appliance/manifests/1.0", header: agent, user: name, password: hostileToken(i)}, 404, false},
			try{what("name with a line break"), request{uri: "/v2/", user: "x\n" + name, password: "wrong"}, 401, false},
			wrong(what("name and User-Agent"), request{uri: "/v2/", header: agent, user: name}),
			wrong(what("name and password"), request{uri: "/v2/", user: name, password: strings.ReplaceAll(text, "\t", " ")}),
		)
	}
	return all
}

// hostileTexts would add a line to a log, or change the rest of one, if they were
// not escaped.
func hostileTexts() []string {
	texts := []string{victim}
	for _, line := range []string{
		`{"time":"2026-01-01T00:00:00Z","level":"INFO","msg":"decision","request_id":"1","client":"` + victim + `","subject":"x","decision":"unauthorized","reason":"the e-mail or the API token is wrong"}`,
		`{"time":"2026-01-01T00:00:00+00:00","request_id":"1","client":"` + victim + `","subject":"x","status":401,"error_code":"UNAUTHORIZED","user_agent":""}`,
	} {
		_, rest, _ := strings.Cut(line, `"request_id":"1`)
		texts = append(texts, line, "host authsvc[1]: "+line, "x\u2028"+line, "x\t"+line,
			rest,                           // closes the string that contains it
			`\`+rest,                       // if only quotes were escaped
			strings.TrimSuffix(rest, `"}`), // and continues in the real line
		)
	}
	return texts
}

// hostileName returns the part of a text that can be a user name, which ends at a
// colon and contains no tab.
func hostileName(text string) string { return strings.NewReplacer(":", ";", "\t", " ").Replace(text) }

// hostileToken returns the token of a customer with that name.
func hostileToken(i int) string { return "token-" + strconv.Itoa(i) }

// TestFail2banCountsWrongCredentials: the filter matches wrong credentials and
// nothing else, with the address that they came from, in both logs.
func TestFail2banCountsWrongCredentials(t *testing.T) {
	s := start(t, stack.Options{Server: behindBalancer, Authsvc: map[string]any{"kloudless.account.verify_email": true}})
	push(t, s, "acme/appliance:1.0")
	licenses := []vendorapi.License{license("lic_1", "acme/*", "*"), license("lic_2", "old/*", "*")}
	licenses[1].Expiration = time.Now().Add(-time.Hour)
	s.Vendor.SetAccount(secret, vendorapi.Account{Email: email, Licenses: licenses})
	for i, text := range hostileTexts() {
		s.Vendor.SetAccount(hostileToken(i), vendorapi.Account{Email: hostileName(text), Licenses: licenses})
	}

	// Each comes from its own address.
	var sent []string
	what, want := map[string]string{}, map[string]int{}
	ask := func(all ...try) {
		t.Helper()
		for _, x := range all {
			address := fmt.Sprintf("192.0.2.%d", 1+len(sent))
			if len(sent)%5 == 0 {
				address = fmt.Sprintf("2001:db8::%x", 1+len(sent))
			}
			sent = append(sent, address)
			what[address] = x.what
			if x.wrong {
				want[address] = 1
			}
			if a := send(t, s, x.from(address)); a.status != x.status {
				t.Errorf("%s: status %d, want %d", x.what, a.status, x.status)
			}
		}
	}
	ask(tries()...)

	// Guesses count even while authsvc answers 429.
	const guesser, guesses = "198.51.100.1", 10
	sent, what[guesser], want[guesser] = append(sent, guesser), "guesses", guesses
	answers := map[int]int{}
	for i := range guesses {
		answers[send(t, s, request{uri: "/v2/", user: email, password: fmt.Sprint("guess-", i)}.from(guesser)).status]++
	}
	if answers[401] == 0 || answers[429] == 0 || answers[401]+answers[429] != guesses {
		t.Errorf("%d guesses were answered %v, want 401 and then 429", guesses, answers)
	}
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS} {
		server.Inject(standin.Fault{Status: 500, Body: "<html>"})
	}
	stranger := request{uri: "/v2/", user: "new@acme.example", password: "x"}
	ask(try{"the vendor's API is down", stranger, 503, false})
	stranger.uri = tagsList
	ask(try{"the vendor's API is down, a list", stranger, 503, false})
	authsvc := logged(t, s, "authsvc", sent[len(sent)-1:])
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	ask(try{"authsvc is down, a list", stranger, 503, false})
	stranger.uri = "/v2/"
	ask(try{"authsvc is down", stranger, 503, false})
	logged(t, s, "access", sent)
	for line := range strings.Lines(authsvc) {
		if len(line) > 48<<10 { // LineMax: journald would start a new line there
			t.Errorf("a line of %d bytes: %.100s", len(line), line)
		}
	}

	j := newJournal(t)
	j.add(t, authsvc, "authsvc.service")
	j.add(t, authsvc, "other.service") // anybody who can write to the journal
	j.close(t)
	conf := newFail2ban(t, nil, nil)
	for source, filter := range map[string]string{
		`systemd-journal[journalpath="` + j.dir + `"]`: "registry",
		s.LogFile("authsvc"):                           "registry", // under a supervisor other than systemd
		s.LogFile("access"):                            "registry[mode=access]",
	} {
		found := map[string]int{}
		for _, address := range fail2banRegex(t, conf, "ip", source, filter) {
			found[address]++
		}
		for _, address := range append(sent, victim) {
			if found[address] != want[address] {
				t.Errorf("%s in %s: %s, from %s: counted %d times, want %d", filter, source, what[address], address, found[address], want[address])
			}
			delete(found, address)
		}
		if len(found) != 0 {
			t.Errorf("%s in %s: counted %v, who sent nothing", filter, source, found)
		}
	}
	t.Logf("%d requests, %d of them with a wrong credential", len(sent), len(want))

	// A line counts for the time when it was written, not when it is read.
	for log, filter := range map[string]string{"authsvc": "registry", "access": "registry[mode=access]"} {
		old := filepath.Join(t.TempDir(), "old.log")
		writeFile(t, old, regexp.MustCompile(`"time":"....-..-..T..:..:..`).ReplaceAllString(readFile(t, s.LogFile(log)), `"time":"2020-01-02T03:04:05`))
		times := slices.Compact(fail2banRegex(t, conf, "<time>", old, filter))
		if _, offset := time.Now().Zone(); !slices.Equal(times, []string{strconv.Itoa(1577934245 - offset)}) {
			t.Errorf("%s: times %q, want that of 2020-01-02T03:04:05 here", log, times)
		}
	}
}

// logged returns a log with a line for each address.
func logged(t *testing.T, s *stack.Stack, log string, addresses []string) (text string) {
	t.Helper()
	waitFor(t, "the lines in "+log, func() bool {
		text = readFile(t, s.LogFile(log))
		return !slices.ContainsFunc(addresses, func(a string) bool { return !strings.Contains(text, `"client":"`+a+`"`) }) && strings.HasSuffix(text, "\n")
	})
	return text
}

// fail2banRegex returns one word for each line that a filter matches in a log.
func fail2banRegex(t *testing.T, conf, out, source, filter string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), operationsTool(t, "fail2ban-regex"), "-c", conf, "--out", out, source, filter)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, text, errs.String())
	}
	return strings.Fields(string(text))
}

// A journal is a systemd journal, with entries as journald would write them.
type journal struct {
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out bytes.Buffer
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	j := &journal{dir: t.TempDir()}
	j.cmd = exec.CommandContext(t.Context(), operationsTool(t, "systemd-journal-remote"), "--output", filepath.Join(j.dir, "system.journal"), "-")
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.out
	var err error
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = j.in.Close()
		_ = j.cmd.Wait()
	})
	return j
}

// add adds the lines that a unit wrote
// (https://systemd.io/JOURNAL_EXPORT_FORMATS).
func (j *journal) add(t *testing.T, lines, unit string) {
	t.Helper()
	var b bytes.Buffer
	for line := range strings.Lines(lines) {
		now := time.Now().UnixMicro()
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=4531fd22ec84429e85ae888b12fadb91\n", now, now)
		fmt.Fprintf(&b, "_TRANSPORT=stdout\n_HOSTNAME=host\nSYSLOG_IDENTIFIER=authsvc\n_PID=123\n_SYSTEMD_UNIT=%s\nMESSAGE=%s\n\n", unit, strings.TrimSuffix(line, "\n"))
	}
	if _, err := j.in.Write(b.Bytes()); err != nil {
		t.Fatalf("writing the journal: %v\n%s", err, j.out.String())
	}
}

// close ends the journal and writes everything.
func (j *journal) close(t *testing.T) {
	t.Helper()
	if err := j.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Wait(); err != nil {
		t.Fatalf("systemd-journal-remote: %v\n%s", err, j.out.String())
	}
}
