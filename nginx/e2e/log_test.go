package e2e_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestLogCommand: `authsvc log` finds in systemd's journal what a customer read on
// the terminal, and what a user asked for, with a wrong token too.
func TestLogCommand(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	s := start(t, stack.Options{Authsvc: map[string]any{"cache.key_file": key}})
	push(t, s, "acme/appliance:1.0")
	served := wantRequestID(t, "a blob", get(t, s, "/v2/acme/appliance/blobs/"+layerOf(t, "acme/appliance:1.0")))
	unlicensed := get(t, s, "/v2/other/appliance/manifests/1.0")
	wrong := send(t, s, request{uri: manifest, user: email, password: "wrong"})
	stranger := send(t, s, request{uri: manifest, user: "eve@acme.example", password: "wrong"})
	for _, a := range []answer{unlicensed, wrong, stranger} {
		decisionOf(t, s, a.header.Get("X-Request-Id"))
	}

	j := newJournal(t)
	j.add(t, readFile(t, s.LogFile("authsvc")), "authsvc.service")
	// Anybody can write to the journal, but not as authsvc.
	j.add(t, strings.ReplaceAll(readFile(t, s.LogFile("authsvc")), "lic_1", "forged"), "other.service")
	j.close(t)
	real := operationsTool(t, "journalctl")
	script := filepath.Join(dir, "journalctl")
	writeFile(t, script, "#!/bin/sh\nexec "+real+" --directory='"+j.dir+"' \"$@\"\n")
	if err := exec.Command("chmod", "0700", script).Run(); err != nil {
		t.Fatal(err)
	}
	find := func(args ...string) string {
		t.Helper()
		args = append([]string{"log", "--config", "", "--kloudless.url", "https://api.example/", "--cache.key_file", key}, args...)
		cmd := exec.CommandContext(t.Context(), s.Program("authsvc"), args...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil || errs.Len() > 0 {
			t.Fatalf("%q: %v\n%s%s", cmd.Args, err, out, errs.String())
		}
		return string(out)
	}

	_, message, err := registryError(unlicensed.body)
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(strings.TrimSuffix(message, ")"), " (request ")
	if got := find("--request", id); strings.Count(got, "\n") != 2 || !strings.Contains(got, "other/appliance:1.0") || !strings.Contains(got, "name_unknown") {
		t.Errorf("by the id %s of the message %q:\n%s", id, message, got)
	}
	if got := find("--request", served); !strings.Contains(got, "(by 1.0)  lic_1 ") || strings.Count(got, "\n") != 2 {
		t.Errorf("a blob:\n%s", got)
	}
	got := find("--user", email, "--json")
	for what, a := range map[string]answer{"not licensed": unlicensed, "a wrong token": wrong} {
		if id := a.header.Get("X-Request-Id"); strings.Count(got, id) != 1 {
			t.Errorf("%s: expected the request %s once in\n%s", what, id, got)
		}
	}
	if strings.Contains(got, stranger.header.Get("X-Request-Id")) || strings.Contains(got, "forged") {
		t.Errorf("somebody else's lines:\n%s", got)
	}
}
