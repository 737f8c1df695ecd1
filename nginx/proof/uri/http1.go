package main

import (
	"fmt"
	"strconv"
	"strings"
)

// request is one request of HTTP/1, or what looks like one. Its lines are parts, so
// that a finding can be made shorter line by line.
func (r random) request() []part {
	method, version, end := "GET", "HTTP/1.1", "\r\n"
	if r.one(5) {
		method = pick(r, methods)
	}
	if r.one(12) {
		version = pick(r, versions)
	}
	if r.one(25) {
		end = pick(r, []string{"\n", "\r\r\n", "\r", " \r\n", "\n\r\n"})
	}
	if r.one(60) { // HTTP/0.9 has no version and no headers
		return []part{{value: "GET " + r.target() + end}}
	}
	target := r.target()
	lines := []string{method + " " + target + " " + version}
	if r.one(40) {
		lines[0] = pick(r, lineTricks)(lines[0])
	}
	lines = append(lines, r.host()...)
	lines = append(lines, r.credential()...)
	lines = append(lines, accept)
	lines = append(lines, r.inside(target)...)
	for r.one(3) {
		lines = append(lines, pick(r, headerTricks)(r)...)
	}
	var body string
	if r.one(6) {
		var framing []string
		framing, body = pick(r, framings)(r, r.payload())
		lines = append(lines, framing...)
	}
	var parts []part
	for _, line := range lines {
		parts = append(parts, part{value: line + end})
	}
	parts = append(parts, part{value: end})
	if body != "" {
		parts = append(parts, part{value: body})
	}
	return parts
}

var (
	methods = []string{
		"HEAD", "HEAD", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MOVE", "COPY", "PURGE", "PRI", "get", "Get", "GETX", "GET_", "G", "GET\t", "GET ", " GET",
		"GET\x00", "HEAD,GET", "GET:", "\"GET\"", "\r\nGET", "\xef\xbb\xbfGET",
	}
	versions = []string{
		"HTTP/1.0", "HTTP/1.0", "HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.10", "HTTP/2.0", "HTTP/2", "HTTP/3.0", "http/1.1", "HTTP/1", "HTTP/", "HTTP/1.1 ", "HTTP/1.1\t", " HTTP/1.1", "HTTP/01.1", "HTTP/1.1 HTTP/1.1",
		"HTTP/1.1\x00", "HTTP/1,1", "HTTP/-1.1", "ICY", "",
	}
	lineTricks = []func(string) string{
		func(l string) string { return "\r\n\r\n" + l },
		func(l string) string { return strings.ReplaceAll(l, " ", "  ") },
		func(l string) string { return strings.ReplaceAll(l, " ", "\t") },
		func(l string) string { return strings.Replace(l, " ", "\r\n ", 1) },
		func(l string) string { return strings.Replace(l, " ", "\x00", 1) },
		func(l string) string { return l + "\r" },
		func(l string) string { return l + "\r\n" + l },
		func(l string) string { return strings.ReplaceAll(l, " ", "\u00a0") },
	}
)

func (r random) host() []string {
	switch r.IntN(20) {
	case 0:
		return pick(r, [][]string{
			nil, {"Host:"}, {"Host: evil.example"}, {"Host: docker.vendor.com", "Host: evil.example"}, {"Host: docker.vendor.com, evil.example"}, {"Host : docker.vendor.com"},
			{"Host: docker.vendor.com/v2/"}, {"Host: 123456789012.dkr.ecr.eu-central-1.amazonaws.com"}, {"Host: authsvc"}, {"Host: docker.vendor.com:99999"}, {"Host: [::1"}, {"Host: docker.vendor.com\x00"},
			{" Host: docker.vendor.com"}, {"Host: ../../etc"}, {"Host: a b"}, {"Host: docker.vendor.com\tx"}, {"Host: @docker.vendor.com"},
		})
	default:
		return []string{"Host: docker.vendor.com"}
	}
}

// credential is usually the customer's.
func (r random) credential() []string {
	good := authorization()
	if !r.one(8) {
		return []string{"Authorization: " + good}
	}
	return pick(r, [][]string{
		nil, nil, {"Authorization: Basic"}, {"Authorization:"}, {"Authorization: Bearer x"}, {"Authorization: Basic QVdTOng="}, {"Authorization: basic " + good[6:]}, {"Authorization: Basic  " + good[6:]},
		{"Authorization: " + good, "Authorization: " + good}, {"Authorization: Basic eDp5", "Authorization: " + good}, {"Authorization: " + good + ", " + good}, {"authorization: " + good},
		{"Authorization : " + good}, {"Authorization:" + good}, {"Authorization: Basic\r\n " + good[6:]}, {"Authorization: " + good + "\x00"}, {"Authorization: " + good + "\x01"}, {"Authorization: \x7f" + good},
		{"Authorization: Basic\t" + good[6:]}, {"Authorization: " + good + "="}, {"Authorization: " + good + " x"}, {"Authorization_: " + good}, {"Proxy-Authorization: " + good}, {"Cookie: Authorization=" + good},
		{"Authorization: Basic " + strings.Repeat("QUFB", 2000)}, {"Authorization: Basic eDp5"}, {"Authorization: \xff"}, {"X-Ecr-Authorization: " + good, "Authorization: " + good},
	})
}

// contract are the headers between nginx, authsvc, and the registry, and others that
// change what a request means. A client must not be believed, and none of them goes
// to the registry.
var contract = []string{
	"X-Original-Method", "X-Original-URI", "X-Real-IP", "X-Request-ID", "X-Upstream-Rejected", "X-Upstream-Rejected-Token", "X-Upstream-Status", "X-Upstream-Token-Id", "X-Ecr-Authorization", "X-Ecr-Registry", "X-Ecr-Token-Id", "X-Ecr-Path", "X-Ecr-Standby",
	"X-Auth-Subject", "X-Auth-License", "X-Registry-Status", "X-Registry-Error-Code", "X-Registry-Error-Message", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Target", "Proxy-Authorization", "Cookie", "TE", "Trailer", "Upgrade", "Expect",
}

var headerTricks = []func(random) []string{
	func(r random) []string { return []string{pick(r, contract) + ": " + r.forged()} },
	func(r random) []string {
		return []string{strings.ReplaceAll(pick(r, contract), "-", "_") + ": " + r.forged()}
	},
	func(r random) []string {
		name := pick(r, contract)
		return []string{name + ": x", name + ": " + r.forged()}
	},
	func(r random) []string {
		return []string{"Connection: " + pick(r, append([]string{"close", "keep-alive", "Upgrade", "Authorization", "Host", "X-Original-URI, Authorization", "close, Host", "TE", "Content-Length", "x\x00"}, contract...))}
	},
	func(r random) []string {
		return pick(r, [][]string{
			{"Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"}, {"Upgrade: websocket", "Connection: Upgrade"}, {"Expect: 100-continue"}, {"Expect: 200-ok"}, {"TE: trailers"},
			{"Range: bytes=0-9"}, {"Range: bytes=0-0,2-3"}, {"Range: bytes=9999999-"}, {"Range: x"}, {"If-None-Match: *"}, {"If-None-Match: \"x\""}, {"If-Match: \"x\""}, {"If-Modified-Since: x"}, {"If-Range: x"},
			{"Accept: */*"}, {"Accept: application/vnd.oci.image.index.v1+json"}, {"Accept: text/html"}, {"Accept-Encoding: gzip, br"}, {"Content-Type: text/html"}, {"Content-Encoding: gzip"}, {"Keep-Alive: 300"},
			{"Keep-Alive: -1"}, {"Max-Forwards: 0"}, {"Origin: null"}, {"Cache-Control: only-if-cached"}, {"Destination: /v2/vault/engine/manifests/1.0"}, {"Overwrite: T"}, {"Depth: infinity"}, {"X-Accel-Redirect: /v2/"},
		})
	},
	// Names and values that are none, and folded lines.
	func(r random) []string {
		return pick(r, [][]string{
			{"X"}, {": x"}, {"X : x"}, {" X: x"}, {"\tX: x"}, {"X\x00: x"}, {"X: \x00"}, {"X: a\x00b"}, {"X: a\rb"}, {"X: a", " b: c"}, {"X: a", "\t b"}, {"X: a\r\n \r\n b"}, {"X: a\nX-Original-URI: /v2/vault/engine/manifests/1.0"},
			{"X(): x"}, {"X\xff: x"}, {"é: x"}, {"X: \xff\xfe"}, {"X:"}, {"X:\t\t"}, {strings.Repeat("X", 300) + ": x"}, {"{: x"}, {"=: x"}, {"X: a\vb"}, {"X;: x"}, {"X.Y: x"},
		})
	},
	func(r random) []string {
		return []string{"X: " + strings.Repeat("x", pick(r, []int{1000, 4000, 8200, 33000}))}
	},
	func(r random) []string {
		lines := make([]string, pick(r, []int{20, 101, 200}))
		for i := range lines {
			lines[i] = "X-" + strconv.Itoa(i) + ": x"
		}
		return lines
	},
}

// forged is a value that nobody may believe.
func (r random) forged() string {
	return pick(r, []string{"forged", r.base(), "200", "502", "ready", "serves", "eu.1", hostOf("us"), "GET", "127.0.0.1", authorization(), "chunked", "evil.example", "", "1"})
}

// payload is what a body holds: best of all another request.
func (r random) payload() string {
	switch r.IntN(4) {
	case 0:
		return pick(r, []string{"x", "{}", "\r\n", "0\r\n\r\n", strings.Repeat("x", 1500), strings.Repeat("y", 70000)})
	default:
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: docker.vendor.com\r\nAuthorization: %s\r\n\r\n", r.base(), authorization())
	}
}

func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

// framings are bodies, and headers that disagree about where they end.
// https://portswigger.net/research/http-desync-attacks-request-smuggling-reborn
var framings = []func(random, string) (header []string, body string){
	func(_ random, b string) ([]string, string) { return []string{length(len(b))}, b },
	func(_ random, b string) ([]string, string) {
		return []string{"Transfer-Encoding: chunked"}, chunked(b)
	},
	func(_ random, b string) ([]string, string) {
		return []string{length(len(b)), "Transfer-Encoding: chunked"}, "0\r\n\r\n" + b
	},
	func(_ random, b string) ([]string, string) {
		return []string{"Transfer-Encoding: chunked", length(4)}, chunked(b)
	},
	func(r random, b string) ([]string, string) {
		n := len(b)
		return []string{pick(r, []string{
			"Content-Length: 0", "Content-Length:", "Content-Length: -1", "Content-Length: +" + strconv.Itoa(n), fmt.Sprintf("Content-Length: 0x%x", n), fmt.Sprintf("Content-Length: %d, %d", n, n), fmt.Sprintf("Content-Length: %d,0", n),
			fmt.Sprintf("Content-Length: %d ", n), fmt.Sprintf("Content-Length : %d", n), fmt.Sprintf("Content_Length: %d", n), fmt.Sprintf("Content-Length: 0%d", n), fmt.Sprintf("Content-Length: %d\x00", n), fmt.Sprintf("Content-Length: %de0", n),
			"Content-Length: 18446744073709551616", "Content-Length: 4294967296", fmt.Sprintf("content-length: %d", n), fmt.Sprintf("Content-Length:\v%d", n), fmt.Sprintf("X: x\nContent-Length: %d", n), length(n + 4), length(max(0, n-4)),
		})}, b
	},
	func(r random, b string) ([]string, string) {
		two := []string{length(len(b)), length(pick(r, []int{0, len(b), 1, len(b) + 9}))}
		r.Shuffle(2, func(i, j int) { two[i], two[j] = two[j], two[i] })
		return two, b
	},
	func(r random, b string) ([]string, string) {
		te := pick(r, []string{
			"Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: identity",
			"Transfer-Encoding: chunked\x00", "Transfer-Encoding: \vchunked", "Transfer-Encoding:\n chunked", "X: x\nTransfer-Encoding: chunked", "Transfer_Encoding: chunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;q=1",
			"Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunKed", "Transfer-Encoding:",
		})
		if r.one(2) {
			return []string{te}, chunked(b)
		}
		return []string{length(len(b)), te}, "0\r\n\r\n" + b
	},
	func(r random, b string) ([]string, string) {
		n := len(b)
		return []string{"Transfer-Encoding: chunked"}, pick(r, []string{
			fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", n, b), fmt.Sprintf("%x\n%s\n0\n\n", n, b), fmt.Sprintf("0x%x\r\n%s\r\n0\r\n\r\n", n, b), fmt.Sprintf("%x \r\n%s\r\n0\r\n\r\n", n, b), fmt.Sprintf("fffffffffffffff%x\r\n%s\r\n0\r\n\r\n", n, b),
			fmt.Sprintf("-%x\r\n%s\r\n0\r\n\r\n", n, b), fmt.Sprintf("%x\r\n%s0\r\n\r\n", n, b), fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Original-URI: x\r\n\r\n", n, b), fmt.Sprintf("%x\r\n%s\r\n00000000000000000\r\n\r\n", n, b), fmt.Sprintf("%x;\n%s\r\n0\r\n\r\n", n, b),
			fmt.Sprintf("%x\r\n%s\r\n", n, b), "0\r\n\r\n", "\r\n0\r\n\r\n", fmt.Sprintf("%x\r%s\r0\r\r", n, b), fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 9\r\n\r\n", n, b), fmt.Sprintf("1%016x\r\n%s\r\n0\r\n\r\n", n, b),
		})
	},
}

func length(n int) string { return "Content-Length: " + strconv.Itoa(n) }
