package marks_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/proof/marks"
)

// known is a set with one secret whose encodings are easy to write by hand.
func known() *marks.Set {
	s := marks.NewSet(1)
	s.Add("the token", `q8"z/+w&e<r\t y7u`)
	return s
}

func TestSearch(t *testing.T) {
	const secret = `q8"z/+w&e<r\t y7u`
	b64 := func(e *base64.Encoding, before string) string {
		return e.EncodeToString([]byte(before + secret + "tail"))
	}
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"nothing":                     {"a log line without it", false},
		"empty":                       {"", false},
		"three bytes":                 {"q8\"", false},
		"plain":                       {"token=" + secret + ";", true},
		"the beginning alone":         {`{"t":"q8"z/+w&e<…"}`, true},
		"the end alone":               {"…" + secret[len(secret)-10:], true},
		"too short to be certain":     {secret[:7], false},
		"base64":                      {b64(base64.StdEncoding, ""), true},
		"base64, after one byte":      {b64(base64.StdEncoding, "a"), true},
		"base64, after two":           {b64(base64.StdEncoding, "ab"), true},
		"base64, after an e-mail":     {b64(base64.StdEncoding, "ann@acme.example:"), true},
		"base64 for URLs":             {b64(base64.URLEncoding, ""), true},
		"base64 for URLs, unpadded":   {b64(base64.RawURLEncoding, "ab"), true},
		"hex":                         {fmt.Sprintf("%x", "AWS:"+secret), true},
		"hex in upper case":           {fmt.Sprintf("%X", secret), true},
		"a query":                     {"?p=q8%22z%2F%2Bw%26e%3Cr%5Ct+y7u", true},
		"a query with lower-case hex": {"?p=q8%22z%2f%2bw%26e%3cr%5ct+y7u", true},
		"a path":                      {"/q8%22z%2F+w&e%3Cr%5Ct%20y7u", true},
		"JSON":                        {`{"p":"q8\"z/+w&e<r\\t y7u"}`, true},
		"JSON escaped for HTML":       {`{"p":"q8\"z/+w\u0026e\u003cr\\t y7u"}`, true},
		"nginx's log":                 {`q8\x22z/+w&e<r\x5Ct y7u`, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := known().Searcher()
			r.Text("log", "a.log", tt.text)
			if got := len(r.Findings()) > 0; got != tt.want {
				t.Errorf("found %v in %q, want a finding: %t", r.Findings(), tt.text, tt.want)
			}
		})
	}
}

// TestChunks: a secret is found wherever it lies in a large place, and told where.
func TestChunks(t *testing.T) {
	for _, at := range []int{0, 1, 1<<20 - 9, 1 << 20, 1<<20 + 8, 1<<20 + 60, 2<<20 - 1, 3<<20 - 17} {
		text := bytes.Repeat([]byte{'.'}, 3<<20)
		copy(text[at:], `q8"z/+w&e<r\t y7u`)
		r := known().Searcher()
		if err := r.Search("log", "big", bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if got := r.Findings(); len(got) != 1 || got[0].Offset != int64(at) || got[0].Form != "plain" {
			t.Errorf("at %d: %v", at, got)
		}
		if got := r.Tallies()["log"]; got.Bytes != int64(len(text)) || got.Places != 1 {
			t.Errorf("tally %+v", got)
		}
	}
}

// TestPlants: every plant of every secret is found, and no other secret in it.
func TestPlants(t *testing.T) {
	s := marks.NewSet(7)
	for i := range 20 {
		s.New(fmt.Sprint("token ", i))
		s.Awkward(fmt.Sprint("password ", i))
	}
	s.Add("a long token", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a7\xff3\x01longer"), 200)))
	plants := s.Plants()
	r := s.Searcher()
	r.Text("log", "all", strings.Join(plants, "\n"))
	if missed := r.Missed("log", "all"); len(missed) > 0 {
		t.Errorf("missed %q", missed)
	}
	for i, plant := range plants {
		r := s.Searcher()
		r.Text("log", "one", plant)
		marks := map[string]bool{}
		for _, f := range r.Findings() {
			marks[f.Mark] = true
		}
		if len(marks) != 1 {
			t.Errorf("plant %d: found %v, want one secret", i, r.Findings())
		}
	}
	empty := s.Searcher()
	if got := len(empty.Missed("log", "all")); got < 41*8 {
		t.Errorf("a search that found nothing missed %d, want every secret in every form", got)
	}
}

// TestRepeats: a seed repeats a run, and another one does not.
func TestRepeats(t *testing.T) {
	one, same, other := marks.NewSet(3), marks.NewSet(3), marks.NewSet(4)
	a, b, c := one.New("x")+one.Awkward("y"), same.New("x")+same.Awkward("y"), other.New("x")+other.Awkward("y")
	if a != b || a == c {
		t.Errorf("seeds 3, 3, 4 gave %q, %q, %q", a, b, c)
	}
}

func TestTree(t *testing.T) {
	s := known()
	dir := t.TempDir()
	const secret = `q8"z/+w&e<r\t y7u`
	old := filepath.Join(dir, "old")
	for path, text := range map[string]string{"a/b/c.log": secret, "skipped/x": secret, "old": secret, "clean": "nothing"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	hexed := fmt.Sprintf("%x", secret)
	if err := os.WriteFile(filepath.Join(dir, hexed), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(hexed, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r := s.Searcher()
	err := r.Tree(dir, time.Now().Add(-time.Minute), func(p string) bool { return filepath.Base(p) == "skipped" }, func(string) string { return "file" })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings() {
		got = append(got, strings.TrimPrefix(f.Place, dir+"/")+" "+f.Kind)
	}
	slices.Sort(got)
	want := []string{hexed + " file name", "a/b/c.log file", "link file name"}
	if !slices.Equal(got, want) {
		t.Errorf("found in %q, want %q", got, want)
	}
}

func TestProcesses(t *testing.T) {
	s := marks.NewSet(uint64(os.Getpid()))
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.Args[0] = "sleep"
	cmd.Env = []string{"PASSWORD=" + s.New("in the environment")}
	shell := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60; true", s.New("in the arguments"))
	for _, c := range []*exec.Cmd{cmd, shell} {
		c.WaitDelay = time.Second
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = c.Process.Kill(), c.Wait() }()
	}
	r := s.Searcher()
	deadline := time.Now().Add(30 * time.Second) // exec may not have happened yet
	for len(r.Findings()) < 2 && time.Now().Before(deadline) {
		if err := r.Processes(); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]string{}
	for _, f := range r.Findings() {
		found[f.Mark] = f.Kind + " of " + f.Place
	}
	if found["in the environment"] != "environment of sleep" || found["in the arguments"] != "process list of sh" {
		t.Errorf("found %v", found)
	}
}

// TestReport: an allowed place is counted and not told; a leak is told by name.
func TestReport(t *testing.T) {
	s := marks.NewSet(5)
	token, password := s.New("the registry's token"), s.New("a customer's password")
	r := s.Searcher()
	r.Text("file", "/x/token/main.json", token+password)
	r.Text("log", "/x/log/authsvc.log", password)
	var out strings.Builder
	allowed := []marks.Allowed{{Kind: "file", Place: "main.json", Mark: "the registry's token", Reason: "that is where it belongs"}}
	if err := r.Report(&out, allowed); err != nil {
		t.Fatal(err)
	}
	leaks := r.Leaks(allowed)
	if len(leaks) != 2 || leaks[0].Place != "/x/token/main.json" || leaks[0].Mark != "a customer's password" || leaks[1].Kind != "log" {
		t.Errorf("leaks %v", leaks)
	}
	for _, want := range []string{"LEAK: log /x/log/authsvc.log, at byte 0: a customer's password (plain)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	again := s.Searcher()
	if again.Text("report", "report", out.String()); len(again.Findings()) > 0 {
		t.Errorf("the report shows a secret:\n%s", out.String())
	}
}
