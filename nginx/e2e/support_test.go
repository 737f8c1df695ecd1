package e2e_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestSupportTable tries each row of ansible/README.md's "When a customer cannot
// pull": it causes the situation, reads what the customer does, types what the row
// says, and looks for what is to be read.
func TestSupportTable(t *testing.T) {
	rows := supportTable(t)
	s := startSupport(t)
	tried := map[string]bool{}
	for _, r := range rows {
		situation, ok := situations[r.cell]
		if !ok || tried[r.cell] {
			t.Fatalf("the row %q has no situation of its own", r.cell)
		}
		tried[r.cell] = true
		t.Run(r.cell, func(t *testing.T) { r.try(t, s, situation) })
	}
	for cell := range situations {
		if !tried[cell] {
			t.Errorf("no row of the table is %q", cell)
		}
	}
}

// A supportRow is a row of the table. One that begins with "the same" continues the
// row above it.
type supportRow struct {
	cell string   // the first one, as it is
	says []string // what the customer reads
	// earlier are the commands of the rows that it continues, and found is what
	// they must have shown.
	earlier, found []string
	commands, read []string
}

var (
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	beforeColon = regexp.MustCompile("^(?:[^`:]|`[^`]*`)*:")
)

func codeSpans(text string) (spans []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		spans = append(spans, m[1])
	}
	return spans
}

// supportTable reads the table.
func supportTable(t *testing.T) (rows []supportRow) {
	t.Helper()
	_, section, _ := strings.Cut(readFile(t, "../../ansible/README.md"), "\n### When a customer cannot pull\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, table, _ := strings.Cut(section, "\n| The customer says | Type | Read |\n| --- | --- | --- |\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 {
			break
		}
		r := supportRow{cell: strings.TrimSpace(cells[0]), says: codeSpans(cells[0]), commands: codeSpans(cells[1]), read: codeSpans(beforeColon.FindString(cells[2]))}
		if strings.HasPrefix(r.cell, "the same") && len(rows) > 0 {
			above := rows[len(rows)-1]
			r.says, r.found, r.earlier = above.says, r.says, slices.Concat(above.earlier, above.commands)
		}
		if len(r.says) == 0 || len(r.commands) == 0 || len(r.read) == 0 {
			t.Fatalf("the row %q: expected code in each cell, and in the last one before a colon", r.cell)
		}
		rows = append(rows, r)
	}
	if len(rows) < 10 {
		t.Fatalf("ansible/README.md has a table of %d rows", len(rows))
	}
	return rows
}

func (r supportRow) try(t *testing.T, s *support, of situation) {
	sees := of.cause(t, s)
	typed := strings.NewReplacer(
		"ann@acme.example", cmp.Or(of.user, email),
		"acme/appliance:1.9", cmp.Or(of.image, "acme/appliance:1.9"),
		"/v2/acme/appliance/blobs/sha256:…", "/v2/acme/appliance/blobs/"+s.unlicensed,
		"5f3a9c01", requestOf(sees),
		"https://docker.vendor.com/", strings.Replace(s.TLSURL, "127.0.0.1", stack.ServerName, 1)+"/",
		"/var/log/nginx/error.log", s.LogFile("nginx-error"),
	)
	for _, text := range r.says {
		if !phrase(typed.Replace(text)).MatchString(sees) {
			t.Errorf("the customer does not read %q, but:\n%s", text, sees)
		}
	}
	s.wantShown(t, r.earlier, r.found, typed, of.token)
	s.wantShown(t, r.commands, r.read, typed, of.token)
}

var idInMessage = regexp.MustCompile(`\(request ([0-9a-f]{8})\)`)

// requestOf returns the id in what a customer reads. Docker shows none of an outage.
func requestOf(sees string) string {
	if m := idInMessage.FindStringSubmatch(sees); m != nil {
		return m[1]
	}
	return "5f3a9c01"
}

// phrase matches a text of the table, as whole words: … is anything, and a space the
// space between columns.
func phrase(text string) *regexp.Regexp {
	pattern := strings.NewReplacer("…", ".*", " ", "[ \t]+").Replace(regexp.QuoteMeta(text))
	return regexp.MustCompile(`(?m)(?:^|\W)` + pattern + `(?:\W|$)`)
}

// wantShown runs commands, and waits until they show the phrases: logs are written a
// moment after the answer.
func (s *support) wantShown(t *testing.T, commands, phrases []string, typed *strings.Replacer, token string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var out strings.Builder
		for _, command := range commands {
			out.WriteString(s.typed(t, typed.Replace(command), token))
		}
		missing := slices.DeleteFunc(slices.Clone(phrases), func(text string) bool {
			return phrase(typed.Replace(text)).MatchString(out.String())
		})
		switch {
		case len(missing) == 0:
			return
		case time.Now().After(deadline):
			t.Fatalf("%q: expected %q, found:\n%s", commands, missing, out.String())
		}
	}
}

// typed runs a command as on a machine of the fleet, and returns what it shows.
func (s *support) typed(t *testing.T, command, token string) string {
	t.Helper()
	j := newJournal(t)
	j.add(t, readFile(t, s.LogFile("authsvc")), "authsvc.service")
	j.close(t)
	bin := t.TempDir()
	for name, runs := range map[string]string{
		"authsvc":        fmt.Sprintf(`'%s' "$@" --config '%s'`, s.Program("authsvc"), filepath.Join(s.Dir, "authsvc.yaml")),
		"tokenrefresher": fmt.Sprintf(`'%s' "$@" --config '%s'`, s.Program("tokenrefresher"), filepath.Join(s.Dir, "tokenrefresher.yaml")),
		"journalctl":     fmt.Sprintf(`'%s' --directory='%s' "$@"`, operationsTool(t, "journalctl"), j.dir),
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nexec "+runs+"\n"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + bin, "CURL_CA_BUNDLE=" + s.CAFile()}
	cmd.Stdin = strings.NewReader(token)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // a refusal has an exit status
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}
