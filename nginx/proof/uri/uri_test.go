package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func world1(t *testing.T) *world {
	t.Helper()
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestGrammar: a seed repeats a run, whatever is generated can be a file of the
// corpus, and all of the tricks come up.
func TestGrammar(t *testing.T) {
	w := world1(t)
	first, second := newGrammar(7, w), newGrammar(7, w)
	var all strings.Builder
	for k := range uint64(5000) {
		x := first.exchange(k)
		if again := second.exchange(k); x.String() != again.String() {
			t.Fatalf("exchange %d is not the same again:\n%s\n%s", k, x, again)
		}
		read, err := parseCorpus(x.format(w.replacer(true)), w.replacer(false))
		if err != nil || len(read) != 1 {
			t.Fatalf("exchange %d: %d exchanges, %v\n%s", k, len(read), err, x)
		}
		if !bytes.Equal(read[0].raw(), x.raw()) || read[0].String() != x.String() {
			t.Fatalf("exchange %d was read as something else:\n%s\n%s", k, x, read[0])
		}
		all.WriteString(x.String())
	}
	for _, trick := range []string{
		"%2e", "/../", "//", ";", "?", "#", `\x00`, `\r\n`, `\t`, "http://", `\u202e`, `\xc0\xaf`, "* 40", "Content-Length", "Transfer-Encoding", "Authorization: Basic\\r\\n ", `":path"`, `":protocol"`, "TRACE", "HTTP/1.0", "http2\n", "X_Original_URI",
		"vendor//", "vendor/../prod-eu/", "/v2/prod-eu/app/manifests/1.0", "User-Agent: fake s=ready&p=/v2/prod-eu/app/", "p=|/v2/", "|a.1|/", "{many}", "X-Proof-Behavior: eu 503", "eu reset", "us link", "jp 307-dot",
	} {
		if !strings.Contains(all.String(), trick) {
			t.Errorf("%q never comes up", trick)
		}
	}
}

func TestTargets(t *testing.T) {
	for raw, want := range map[string][]string{
		"GET /a HTTP/1.1\r\nHost: x\r\nX-Original-URI: /forged\r\n\r\n": {"/a"},
		"GET  /a\tHTTP/1.1\n\nPUT /b HTTP/1.1\n\n":                      {"/a", "/b"},
		"GET http://h/a?b HTTP/1.1\r\n\r\n":                             {"http://h/a?b", "/a?b"},
		"GET http://h?b\r\n":                                            {"http://h?b", "?b"},
		"X: y\r\n /folded z\r\n":                                        {"z"},
		"":                                                              nil,
	} {
		if got := targetsOf(raw); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func TestCorpusIsStrict(t *testing.T) {
	for _, text := range []string{`"x"`, "http1\nx", "http1\n\"x", "http1\n\"a\" \"b\"", "http2\n\"\" \"b\"", "http1\n\"a\" * x", "http1\n\"a\" * 99999999", "http1\n\"a\" b"} {
		if got, err := parseCorpus(text, strings.Clone); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	if _, err := readCorpus(t.TempDir(), strings.Clone); err == nil {
		t.Error("a folder without a corpus was read")
	}
}

// TestAnswers: answers are told apart without knowing what was asked.
func TestAnswers(t *testing.T) {
	text := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + // to HEAD
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n{\"an\":\"answer to 0.9\"}"
	r := bufio.NewReader(strings.NewReader(text))
	for _, want := range []answer{{status: 200}, {status: 200, body: []byte("{}")}, {status: 200, body: []byte("ab")}, {status: 304}, {body: []byte(`{"an":"answer to 0.9"}`)}} {
		got, err := readAnswer(r)
		if err != nil || got.status != want.status || string(got.body) != string(want.body) {
			t.Errorf("got %d %q, %v, want %d %q", got.status, got.body, err, want.status, want.body)
		}
	}
	if _, err := readAnswer(r); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

// TestCheck: the oracle refuses what no client may read.
func TestCheck(t *testing.T) {
	w := world1(t)
	header := func(more ...string) http.Header {
		h := http.Header{"Server": {"nginx"}, "Content-Type": {"application/json"}, "Docker-Distribution-Api-Version": {"registry/2.0"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	const refusal = `{"errors":[{"code":"DENIED","message":"no","detail":null}]}`
	for _, right := range []answer{
		{status: 403, header: header(), body: []byte(refusal)}, {status: 403, header: header()}, {body: []byte(refusal)}, {status: 200, header: header(), body: []byte("{}")},
		{status: 401, header: header("Www-Authenticate", `Basic realm="x"`), body: []byte(refusal)}, {status: 200, header: header(), body: []byte(`{"name":"acme/appliance","tags":["1.0"]}`)},
		{status: 200, header: header(), body: w.manifests[w.names["{manifest}"]]}, {status: 206, header: header(), body: w.manifests[w.names["{manifest}"]][5:9]},
	} {
		if err := w.expect(exchange{}).check(right); err != nil {
			t.Errorf("%d %.100q: %v", right.status, right.body, err)
		}
	}
	for what, wrong := range map[string]answer{
		"marked content":        {status: 200, header: header(), body: []byte(`{"x":"` + mark + `"}`)},
		"another tag":           {status: 200, header: header(), body: []byte(`{"name":"acme/appliance","tags":["1.0","2.0"]}`)},
		"another repository":    {status: 200, header: header(), body: []byte(`{"repositories":["acme/other"]}`)},
		"other content":         {status: 200, header: header(), body: []byte("x")},
		"an outage":             {status: 503, header: header(), body: []byte(refusal)},
		"HTML":                  {status: 400, header: header("Content-Type", "text/html"), body: []byte("<html>")},
		"no JSON":               {status: 400, header: header(), body: []byte("<html>")},
		"no JSON in HTTP/0.9":   {body: []byte("<html>")},
		"no challenge":          {status: 401, header: header(), body: []byte(refusal)},
		"a header of ours":      {status: 404, header: header("X-Ecr-Authorization", "x"), body: []byte(refusal)},
		"a header of ECR's":     {status: 200, header: header("X-Amzn-Requestid", "x"), body: []byte("{}")},
		"a token":               {status: 200, header: header("X-Copy", "Basic QVdTOng="), body: []byte("{}")},
		"the credential":        {status: 400, header: header(), body: []byte(strings.Replace(refusal, "no", secret, 1))},
		"the account's number":  {status: 404, header: header(), body: []byte(strings.Replace(refusal, "no", "123456789012", 1))},
		"another server":        {status: 200, header: header("Server", "AmazonECR"), body: []byte("{}")},
		"a redirect to a page":  {status: 301, header: header("Location", "/")},
		"a redirect with bytes": {status: 307, header: header(), body: []byte("x")},
	} {
		if err := w.expect(exchange{}).check(wrong); err == nil {
			t.Errorf("%s: nothing was found", what)
		}
	}
}

// TestPlantedHolesAreFound runs the fuzzer against fronts with holes, and without
// one: it finds each, and nothing else.
func TestPlantedHolesAreFound(t *testing.T) {
	// The grammar alone must find it.
	pull := filepath.Join(t.TempDir(), "pull.txt")
	if err := os.WriteFile(pull, []byte("http1\n\"GET /v2/acme/appliance/manifests/1.0 HTTP/1.1\\r\\n{customer}\\r\\n\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(plants(), plant{}) {
		t.Run("hole "+p.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-seed", "1", "-for", "5m", "-corpus", filepath.Dir(pull), "-plant", p.name}
			want := "FOUND"
			if p.name == "" {
				args, want = []string{"-seed", "1", "-for", "3s", "-corpus", "testdata"}, "to repeat: -seed 1"
			}
			var stdout, stderr strings.Builder
			began := time.Now()
			code := run(t.Context(), args, &stdout, &stderr)
			t.Logf("%.1f s\n%s%s", time.Since(began).Seconds(), stdout.String(), stderr.String())
			if found := code == 1; found != (p.name != "") || code > 1 || !strings.Contains(stdout.String(), want) {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-plant", "x"}, {"x"}, {"-for", "x"}, {"-for", "0s", "-nginx", "/nothing"}} {
		var stderr strings.Builder
		if code := run(t.Context(), args, io.Discard, &stderr); code != 2 || stderr.String() == "" {
			t.Errorf("%q: exit status %d, %q", args, code, stderr.String())
		}
	}
}
