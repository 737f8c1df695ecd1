package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/journal"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A line as authsvc writes it.
func line(id, fields string) string {
	return `{"time":"2026-11-23T12:00:00.5Z","level":"INFO","msg":"decision","request_id":"` + id + `",` + fields + `}` + "\n"
}

var log = "" +
	`{"time":"2026-11-23T11:00:00Z","level":"INFO","msg":"serving","version":"1"}` + "\n" +
	line("aaaaaaaa000000000000000000000001", `"client":"192.0.2.1","subject":"ann@acme.example","license":"lic_1","kind":"manifest","repository":"acme/appliance","reference":"1.9","tag":"","decision":"allow","reason":""`) +
	line("aaaaaaaa000000000000000000000002", `"client":"192.0.2.1","subject":"vendor/ann@acme.example","license":"lic_1","kind":"blob","repository":"acme/appliance","reference":"`+digest+`","tag":"1.9","decision":"allow","reason":""`) +
	line("bbbbbbbb000000000000000000000003", `"client":"2001:db8::1","subject":"user:0123456789ab","license":"","kind":"ping","repository":"","reference":"","decision":"unauthorized","reason":"the e-mail or the API token is wrong"`) +
	line("bbbbbbbb000000000000000000000004", `"client":"192.0.2.2","subject":"account-2","license":"lic_2","kind":"tags","repository":"acme/old","reference":"","decision":"denied","reason":"license \u001b[31m expired; ä","unverified_user":"Bob@acme.example"`) +
	"-- Boot 1 --\n" + "no JSON at all \"msg\":\"decision\"\n" + `{"msg":"decision","request_id":` + "\n" +
	`Nov 23 12:00:00 host authsvc[1]: ` + line("cccccccc000000000000000000000005", `"client":"","subject":"","license":"","kind":"invalid","repository":"","reference":"","decision":"unsupported","reason":"x"`) +
	// Not the message: a stranger's text in another field.
	`{"time":"2026-11-23T12:00:00Z","msg":"other","reason":"\"msg\":\"decision\"","request_id":"aaaaaaaa000000000000000000000006"}` + "\n" +
	strings.TrimSuffix(line("dddddddd000000000000000000000007", `"decision":"allow"`), "\n")

func TestFind(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 5e8, time.UTC)
	for _, test := range []struct {
		name string
		journal.Query
		want string // the ends of the ids
	}{
		{"all", journal.Query{}, "123457"},
		{"a request", journal.Query{Request: "aaaaaaaa000000000000000000000002"}, "2"},
		{"the beginning of a request", journal.Query{Request: "bbbbbbbb"}, "34"},
		{"a user", journal.Query{Names: []string{"ANN@acme.example"}}, "12"},
		{"an unverified user", journal.Query{Names: []string{"bob@acme.example"}}, "4"},
		{"a hash", journal.Query{Names: []string{"nobody", "user:0123456789ab"}}, "3"},
		{"a part of a user", journal.Query{Names: []string{"acme.example"}}, ""},
		{"both", journal.Query{Names: []string{"ann@acme.example"}, Request: "bbbbbbbb"}, ""},
		{"since then", journal.Query{Since: at}, "123457"},
		{"later", journal.Query{Since: at.Add(1)}, ""},
	} {
		got := ""
		n, err := journal.Find(strings.NewReader(log), test.Query, func(line []byte, d journal.Decision) error {
			if !bytes.HasPrefix(line, []byte("{")) || !bytes.HasSuffix(line, []byte("}")) || !bytes.Contains(line, []byte(d.Request)) {
				t.Errorf("%s: the line %q", test.name, line)
			}
			got += d.Request[31:]
			return nil
		})
		if got != test.want || n != len(test.want) || err != nil {
			t.Errorf("%s: found %q, %d of them, %v; want %q", test.name, got, n, err, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	defer func() { time.Local = zone }()
	var out strings.Builder
	table := journal.NewTable(&out)
	if _, err := journal.Find(strings.NewReader(log), journal.Query{Since: time.Unix(1, 0)}, func(_ []byte, d journal.Decision) error { return table.Add(d) }); err != nil {
		t.Fatal(err)
	}
	const want = `TIME                 REQUEST   DECISION          ASKED FOR                                       LICENSE       ADDRESS          REASON
2026-11-23 12:00:00  aaaaaaaa  allow             acme/appliance:1.9                              lic_1         192.0.2.1
2026-11-23 12:00:00  aaaaaaaa  allow             blob acme/appliance@sha256:e3b0c44298fc (by 1.9)  lic_1         192.0.2.1
2026-11-23 12:00:00  bbbbbbbb  unauthorized      ping                                                          2001:db8::1      the e-mail or the API token is wrong
2026-11-23 12:00:00  bbbbbbbb  denied            tags acme/old                                   lic_2         192.0.2.2        license ?[31m expired; ä
2026-11-23 12:00:00  cccccccc  unsupported       invalid                                                                        x
2026-11-23 12:00:00  dddddddd  allow
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestFindAsTheyCome: what is found is passed on before the log has ended, and
// lines that are too long are left out and not kept.
func TestFindAsTheyCome(t *testing.T) {
	in, out := io.Pipe()
	found, stop := make(chan string), errors.New("enough")
	done := make(chan error)
	go func() {
		_, err := journal.Find(in, journal.Query{}, func(_ []byte, d journal.Decision) error {
			found <- d.Request
			if d.Request == "3" {
				return stop
			}
			return nil
		})
		done <- err
	}()
	for _, id := range []string{"1", "2", "3"} {
		_, _ = fmt.Fprintf(out, "%s", line("0", `"reason":"`+strings.Repeat("x", 1<<20)+`"`))
		_, _ = fmt.Fprint(out, line(id, `"decision":"allow"`))
		if got := <-found; got != id {
			t.Errorf("found %q, want %q", got, id)
		}
	}
	if err := <-done; !errors.Is(err, stop) {
		t.Errorf("%v, want the caller's error", err)
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte(log))
	f.Fuzz(func(t *testing.T, text []byte) {
		table := journal.NewTable(io.Discard)
		n, err := journal.Find(bytes.NewReader(text), journal.Query{}, func(_ []byte, d journal.Decision) error { return table.Add(d) })
		if err != nil || n > bytes.Count(text, []byte("decision")) {
			t.Errorf("%d decisions, %v", n, err)
		}
	})
}

// TestJournal: journalctl is asked with fixed arguments, and its failure is told.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	read := func(script string) (string, string, error) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
		var notes strings.Builder
		log, err := journal.Journal(t.Context(), time.Unix(1700000000, 0), &notes)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(log)
		err = errors.Join(err, log.Close()) // after which nobody writes notes
		return string(text), notes.String(), err
	}
	if got, _, err := read(`echo "$@"`); got != "--no-pager --output=cat --since=@1700000000 _SYSTEMD_UNIT=authsvc.service\n" || err != nil {
		t.Errorf("journalctl %q, %v", got, err)
	}
	if _, notes, err := read("echo no right >&2; exit 3"); err == nil || err.Error() != "journalctl: exit status 3" || notes != "no right\n" {
		t.Errorf("%v, and notes %q", err, notes)
	}

	// What is not read to its end is ended, and that is no failure.
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\necho x; exec sleep 1000"), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := journal.Journal(context.Background(), time.Now(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Errorf("ended with %v", err)
	}

	t.Setenv("PATH", t.TempDir())
	if _, err := journal.Journal(t.Context(), time.Now(), io.Discard); err == nil || !strings.Contains(err.Error(), "--file") {
		t.Errorf("without journalctl: %v, want a hint at --file", err)
	}
}
