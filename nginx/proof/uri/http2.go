package main

import (
	"slices"
	"strings"
)

// stream is one request of HTTP/2, as header fields and a body.
// https://www.rfc-editor.org/rfc/rfc9113#section-8.3
func (r random) stream() []part {
	method := "GET"
	if r.one(5) {
		method = pick(r, methods)
	}
	target := r.target()
	fields := []part{{":method", method}, {":scheme", "https"}, {":path", target}, {":authority", "docker.vendor.com"}}
	if r.one(6) {
		fields = pick(r, pseudoTricks)(r, fields)
	}
	for _, line := range slices.Concat(r.credential(), []string{accept}, r.inside(target)) {
		fields = append(fields, fieldsOf(line)...)
	}
	for r.one(3) {
		for _, line := range pick(r, headerTricks)(r) {
			fields = append(fields, fieldsOf(line)...)
		}
	}
	if r.one(6) {
		fields = append(fields, pick(r, fieldTricks)...)
	}
	if r.one(6) {
		body := r.payload()
		if r.one(2) {
			framing, framed := pick(r, framings)(r, body)
			for _, line := range framing {
				fields = append(fields, fieldsOf(line)...)
			}
			body = framed
		}
		fields = append(fields, part{value: body})
	}
	return fields
}

// fieldsOf turns a line of HTTP/1 into a field: usually with a name in lower case,
// as HTTP/2 demands.
func fieldsOf(line string) []part {
	name, value, _ := strings.Cut(line, ":")
	if name == "" {
		return nil
	}
	return []part{{strings.ToLower(name), strings.TrimPrefix(value, " ")}}
}

var pseudoTricks = []func(random, []part) []part{
	func(r random, f []part) []part { i := r.IntN(len(f)); return append(f[:i:i], f[i+1:]...) },     // one is missing
	func(r random, f []part) []part { return append(f, pick(r, f)) },                                // one is there twice
	func(r random, f []part) []part { return append(f, part{":path", r.target()}) },                 // two paths
	func(r random, f []part) []part { return append(f, part{"x", "x"}, part{":path", r.target()}) }, // after a field
	func(r random, f []part) []part { f[r.IntN(len(f))].value = ""; return f },                      // an empty one
	func(r random, f []part) []part {
		r.Shuffle(len(f), func(i, j int) { f[i], f[j] = f[j], f[i] })
		return f
	},
	func(r random, f []part) []part { i := r.IntN(len(f)); f[i].name = strings.ToUpper(f[i].name); return f },
	func(r random, f []part) []part {
		return append(f, pick(r, []part{{":status", "200"}, {":protocol", "websocket"}, {":x", "x"}, {":", "x"}, {":Path", "/v2/"}, {":path ", "/v2/"}, {":authority", "evil.example"}}))
	},
	func(r random, f []part) []part {
		return append(f, part{"host", pick(r, []string{"evil.example", "docker.vendor.com", ""})})
	},
	func(r random, f []part) []part {
		f[1].value = pick(r, []string{"http", "HTTPS", "x", "https://docker.vendor.com/v2/?", "https\r\nx: y"})
		return f
	},
	// A request of HTTP/1 in a value: for a proxy that translates without looking.
	// https://portswigger.net/research/http2
	func(r random, f []part) []part {
		f[r.IntN(len(f))].value += pick(r, []string{" HTTP/1.1\r\nHost: x\r\n\r\n", " HTTP/1.1\r\n\r\nGET ", "\r\nX-Original-URI: ", "\nTransfer-Encoding: chunked\n", "\x00", " "}) + r.base()
		return f
	},
}

var fieldTricks = [][]part{
	{{"transfer-encoding", "chunked"}}, {{"connection", "close"}}, {{"connection", "x-original-uri"}}, {{"upgrade", "h2c"}}, {{"te", "gzip"}}, {{"te", "trailers"}}, {{"keep-alive", "1"}}, {{"proxy-connection", "close"}},
	{{"content-length", "5"}}, {{"content-length", "0"}}, {{"content-length", "x"}}, {{"content-length", "1"}, {"content-length", "2"}}, {{"X-Upper", "x"}}, {{"x y", "x"}}, {{"x:", "x"}}, {{"x\r\ny", "x"}}, {{"x\x00", "x"}},
	{{"x", "a\r\nx-original-uri: /v2/vault/engine/manifests/1.0"}}, {{"x", "a\nb"}}, {{"x", "a\x00b"}}, {{"x", " a "}}, {{"x: y\r\nhost", "evil.example"}}, {{"cookie", "a=b"}, {"cookie", "c=d"}}, {{"expect", "100-continue"}},
	{{"authorization", "Basic eDp5"}}, {{"authorization", "Basic\r\n eDp5"}}, {{"host", "evil.example"}}, {{"x", strings.Repeat("x", 9000)}}, {{"x", strings.Repeat("x", 40000)}}, {{"x_original_uri", "forged"}},
}
