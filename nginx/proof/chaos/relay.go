package main

import (
	"io"
	"net"
	"sync"
)

// A relay gives a client its own address: it passes connections on to nginx from
// there, byte for byte.
type relay struct {
	listener net.Listener
	open     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// startRelay listens on a port of the address at, and connects to to from the
// address from.
func startRelay(at, from, to string) (*relay, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, conns: map[net.Conn]bool{}}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	r.open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.open.Go(func() { r.pass(conn, dialer, to) })
		}
	})
	return r, nil
}

func (r *relay) host() string { return r.listener.Addr().String() }

func (r *relay) pass(in net.Conn, dialer *net.Dialer, to string) {
	defer in.Close() //nolint:errcheck // both directions have ended
	out, err := dialer.Dial("tcp", to)
	if err != nil {
		return // nginx is dead, and so is the client's connection
	}
	defer out.Close() //nolint:errcheck // likewise
	r.keep(in, out, true)
	defer r.keep(in, out, false)
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, err := io.Copy(pair[0], pair[1])
			if err != nil { // a reset stays one as far as possible
				_ = in.Close()
				_ = out.Close()
				return
			}
			_ = pair[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

func (r *relay) keep(in, out net.Conn, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range []net.Conn{in, out} {
		if open {
			r.conns[conn] = true
		} else {
			delete(r.conns, conn)
		}
	}
}

// Close ends the relay with its connections.
func (r *relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.open.Wait()
	return err
}
