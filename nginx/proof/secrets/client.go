package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// A request is one of a customer's.
type request struct {
	method, uri string // GET if empty
	header      http.Header
	body        string
	// from is an address of loopback, 127.0.0.1 if empty.
	from string
	// raw is sent as it is instead, over plain HTTP.
	raw string
}

// as adds a Basic credential.
func (q request) as(c customer) request { return q.with(basic(c.user, c.token)) }

// with adds Authorization headers.
func (q request) with(authorizations ...string) request {
	q.header = q.header.Clone()
	if q.header == nil {
		q.header = http.Header{}
	}
	q.header["Authorization"] = authorizations
	return q
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func get(uri string) request { return request{uri: uri} }

const accept = "application/vnd.docker.distribution.manifest.v2+json"

// ask sends a request by HTTP/1.1 and over TLS by HTTP/2, and searches the answers:
// status line, headers and body. It returns the last status.
func (r *rig) ask(ctx context.Context, what string, q request) (int, error) {
	if q.raw != "" {
		return r.askRaw(ctx, what, q)
	}
	status := 0
	for _, url := range []string{r.stack.URL, r.stack.TLSURL} {
		text, got, err := r.send(ctx, url, q)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", what, err)
		}
		r.answered(what, text)
		status = got
	}
	return status, nil
}

func (r *rig) send(ctx context.Context, url string, q request) (string, int, error) {
	transport := r.stack.Transport()
	defer transport.CloseIdleConnections()
	transport.DisableCompression = true
	if q.from != "" {
		transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(q.from)}}).DialContext
	}
	hr, err := http.NewRequestWithContext(ctx, q.method, url, strings.NewReader(q.body))
	if err != nil {
		return "", 0, err
	}
	if q.body == "" {
		hr.Body, hr.ContentLength = http.NoBody, 0
	}
	hr.URL.Opaque = q.uri // as it is written
	if hr.Header = q.header.Clone(); hr.Header == nil {
		hr.Header = http.Header{}
	}
	hr.Header.Set("Accept", accept)
	transport.ResponseHeaderTimeout = time.Minute
	response, err := transport.RoundTrip(hr) // follows no redirect
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	text, err := httputil.DumpResponse(response, true)
	return string(text), response.StatusCode, err
}

// askRaw sends bytes that are no valid request.
func (r *rig) askRaw(ctx context.Context, what string, q request) (int, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.stack.Host)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // it is read
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(q.raw, "\n", "\r\n")); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	var text bytes.Buffer
	_, _ = io.Copy(&text, conn) // what came before nginx closed the connection
	r.answered(what, text.String())
	status := 0
	_, _ = fmt.Sscanf(text.String(), "HTTP/1.1 %d", &status) // 0 if there was none
	return status, nil
}

// answered searches an answer, and notes its error code.
func (r *rig) answered(what, text string) {
	r.learn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	r.search.Text("answer", what, text)
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	var failure struct {
		Errors []struct{ Code string }
	}
	if json.Unmarshal([]byte(body), &failure) == nil && len(failure.Errors) == 1 {
		r.codes[failure.Errors[0].Code]++
	}
}

// want asks and expects one of the statuses.
func (r *rig) want(ctx context.Context, what string, q request, statuses ...int) error {
	got, err := r.ask(ctx, what, q)
	if err != nil {
		return err
	}
	for _, status := range statuses {
		if got == status {
			return nil
		}
	}
	return fmt.Errorf("%s: expected status %v, found %d", what, statuses, got)
}

// eventually asks until the status is the expected one.
func (r *rig) eventually(ctx context.Context, what string, q request, status int) error {
	return until(ctx, func() error { return r.want(ctx, what, q, status) })
}

// until tries for a minute at most.
func until(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// fetch searches a page that is not a customer's.
func (r *rig) fetch(ctx context.Context, kind, place, url string) error {
	hr, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(hr)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it is read
	text, err := httputil.DumpResponse(response, true)
	if err != nil {
		return err
	}
	r.learn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.search.Text(kind, place, string(text))
	return nil
}

func serverTLS(certificate tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
}
