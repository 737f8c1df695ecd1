package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// patience is how long a client waits for an answer before it gives up: where
	// nginx waits for the rest of a body, both would wait forever. What is given up
	// is counted, and is no finding.
	patience = 2 * time.Second
	// exchangesPerConnection bounds what is remembered about a connection.
	exchangesPerConnection = 200
)

// errGivenUp: nginx has answered some of the requests, and waits for more of the
// last.
var errGivenUp = errors.New("no answer")

// A client is one connection, from an address of its own, by which authsvc's
// questions are told apart.
type client struct {
	conn      net.Conn
	reader    *bufio.Reader
	exchanges int

	// HTTP/2
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	stream  uint32
}

// dial connects from a loopback address. With a config it speaks HTTP/2 over TLS.
func dial(ctx context.Context, from net.IP, to string, config *tls.Config) (*client, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn}
	if config == nil {
		c.reader = bufio.NewReader(conn)
		return c, nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.conn = secure
	if err := c.startHTTP2(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting HTTP/2: %w", err), c.close())
	}
	return c, nil
}

func (c *client) close() error { return c.conn.Close() }

// do sends an exchange and returns the answers in the order in which they came. With
// an error the connection cannot be used any more; io.EOF if nginx has closed it.
func (c *client) do(x exchange) ([]answer, error) {
	c.exchanges++
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var answers []answer
	var err error
	if x.http2 {
		answers, err = c.doHTTP2(x)
	} else {
		answers, err = c.doHTTP1(x)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errGivenUp
	case err == nil && c.exchanges >= exchangesPerConnection:
		err = io.EOF
	}
	return answers, err
}

// The sentinel is a request that follows every exchange of HTTP/1. Its answer says
// that everything before it has been answered, however many requests that was.
const (
	sentinelPath   = "/sentinel"
	sentinelAnswer = "sentinel\n"
	sentinel       = "\r\n\r\nGET " + sentinelPath + " HTTP/1.1\r\nHost: docker.vendor.com\r\n\r\n"
)

func (c *client) doHTTP1(x exchange) ([]answer, error) {
	// nginx may answer, and close, before it has read everything. What it has
	// answered can still be read.
	_, sendErr := c.conn.Write(append(x.raw(), sentinel...))
	var answers []answer
	borderless := x.borderless()
	for {
		a, err := readAnswer(c.reader)
		a.doubtful = borderless
		if err == nil && string(a.body) == sentinelAnswer {
			return answers, nil
		}
		if err != nil && borderless {
			return answers, io.EOF
		}
		if err != nil {
			return answers, errors.Join(ended(err), sendErr)
		}
		answers = append(answers, a)
		if a.status == 0 {
			return answers, io.EOF
		}
	}
}

// ended makes io.EOF of the ways in which nginx closes a connection.
func ended(err error) error {
	var network net.Error
	if errors.As(err, &network) && !network.Timeout() || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
