package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// mostBody is more than any right answer has, in bytes.
const mostBody = 1 << 20

// An answer as a client reads it. One to HTTP/0.9 is only a body.
type answer struct {
	status int // 0 for HTTP/0.9
	header http.Header
	body   []byte
	// doubtful: where the body begins and ends is not certain.
	doubtful bool
}

// readAnswer reads one answer of HTTP/1, and skips interim ones.
//
// It does not need to know what was asked, which is open where requests are
// malformed: an answer to HEAD has a length, but the next answer or the end follows
// instead of a body. No body of ours begins with "HTTP/".
func readAnswer(r *bufio.Reader) (a answer, err error) {
	if start, err := r.Peek(5); err != nil || string(start) != "HTTP/" {
		if len(start) == 0 {
			return a, err
		}
		a.body, err = io.ReadAll(io.LimitReader(r, mostBody))
		return a, err
	}
	for a.status < 200 {
		if a.status, a.header, err = readHeader(r); err != nil {
			return a, err
		}
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified || bodiless(r) {
		return a, nil
	}
	a.body, err = readBody(r, a.header)
	return a, err
}

func readHeader(r *bufio.Reader) (status int, header http.Header, err error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return 0, nil, err
	}
	_, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	if status, err = strconv.Atoi(code); err != nil || status < 100 || status > 999 {
		return 0, nil, fmt.Errorf("expected a status line, found %.100q", line)
	}
	h, err := text.ReadMIMEHeader()
	return status, http.Header(h), err
}

func bodiless(r *bufio.Reader) bool {
	next, err := r.Peek(5)
	return string(next) == "HTTP/" || len(next) == 0 && errors.Is(err, io.EOF)
}

func readBody(r *bufio.Reader, header http.Header) ([]byte, error) {
	if length := header.Get("Content-Length"); length != "" {
		n, err := strconv.ParseUint(length, 10, 20)
		if err != nil {
			return nil, fmt.Errorf("expected a Content-Length, found %q", length)
		}
		body := make([]byte, n)
		_, err = io.ReadFull(r, body)
		return body, err
	}
	if header.Get("Transfer-Encoding") != "chunked" {
		return io.ReadAll(io.LimitReader(r, mostBody))
	}
	var body bytes.Buffer
	text := textproto.NewReader(r)
	for {
		line, err := text.ReadLine()
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(line, 16, 20)
		if err != nil {
			return nil, fmt.Errorf("expected the size of a chunk, found %.100q", line)
		}
		if _, err := io.CopyN(&body, r, int64(n)); err != nil {
			return nil, err
		}
		if line, err := text.ReadLine(); err != nil || line != "" {
			return nil, fmt.Errorf("expected the end of a chunk, found %.100q, %w", line, err)
		}
		if n == 0 {
			return body.Bytes(), nil
		}
	}
}
