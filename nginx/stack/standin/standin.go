// Package standin has what the stack's stand-ins share: an HTTP server on loopback
// that records requests, counts connections, and can fail on command (fault.go).
package standin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// defaultRecord is how many requests are kept if Options.Record is zero.
const defaultRecord = 4096

// Options of a Server.
type Options struct {
	// TLS makes it an HTTPS server; nil for plain HTTP.
	TLS *tls.Config
	// Record is how many of the last requests are kept: 0 means 4096, negative
	// means none (for load tests).
	Record int
	// Listener is served, and closed, instead of a port of its own.
	Listener net.Listener
}

// A Request is a request as it arrived, before any check.
type Request struct {
	Time   time.Time
	Proto  string // such as "HTTP/1.1"
	Method string
	// URI is the request target byte for byte, like http.Request.RequestURI.
	URI    string
	Host   string
	Header http.Header
	// ServerName is the SNI name, empty without TLS or SNI.
	ServerName string
	RemoteAddr string
}

// A Server serves one handler, by default on a free port of 127.0.0.1.
type Server struct {
	handler http.Handler
	addr    net.Addr
	tls     *tls.Config // nil for plain HTTP
	faults  faults

	serving sync.Mutex // held while it starts or stops
	http    *http.Server
	served  chan struct{}
	port    *os.File // while connections are refused

	received    atomic.Int64
	connections atomic.Int64

	watch atomic.Pointer[func(*http.Request)]

	limit    int
	mu       sync.Mutex
	requests []Request
}

// Start listens and serves until Close.
func Start(h http.Handler, opts Options) (*Server, error) {
	l := opts.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listening for a stand-in: %w", err)
		}
	}
	s := &Server{handler: h, addr: l.Addr(), tls: opts.TLS, limit: opts.Record}
	if s.limit == 0 {
		s.limit = defaultRecord
	}
	s.faults.released = make(chan struct{})
	s.serve(l)
	return s, nil
}

// serve serves a listener until close.
func (s *Server) serve(l net.Listener) {
	server := &http.Server{
		Handler: s,
		// The tests make clients leave in the middle of a handshake, which
		// is of no interest.
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         s.tls.Clone(), // ServeTLS changes it
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		},
	}
	served := make(chan struct{})
	s.http, s.served = server, served
	go func() {
		defer close(served)
		defer l.Close() //nolint:errcheck // close has closed it, unless it came before the start
		// Both return ErrServerClosed after close. Other errors need no
		// handling: the client notices a broken listener at once.
		if s.tls != nil {
			_ = server.ServeTLS(l, "", "")
			return
		}
		_ = server.Serve(l)
	}()
}

// ServeHTTP records the request, and lets a fault or the handler answer it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.received.Add(1)
	s.record(r)
	if watch := s.watch.Load(); watch != nil {
		(*watch)(r)
	}
	if f, ok := s.faults.take(r); ok {
		if s.faults.apply(w, r, f) {
			return
		}
		if f.Truncate {
			w = cutter{w}
		}
	}
	s.handler.ServeHTTP(w, r)
}

func (s *Server) record(r *http.Request) {
	if s.limit < 0 {
		return
	}
	req := Request{
		Time: time.Now(), Proto: r.Proto, Method: r.Method, URI: r.RequestURI,
		Host: r.Host, Header: r.Header.Clone(), RemoteAddr: r.RemoteAddr,
	}
	if r.TLS != nil {
		req.ServerName = r.TLS.ServerName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= 2*s.limit {
		s.requests = append([]Request(nil), s.requests[s.limit:]...)
	}
	s.requests = append(s.requests, req)
}

// Requests returns the last requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := max(0, len(s.requests)-s.limit)
	return append([]Request(nil), s.requests[from:]...)
}

// Forget drops the recorded requests and resets both counters to zero. Open
// connections stay open and are not counted again.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	s.received.Store(0)
	s.connections.Store(0)
}

// Watch lets see look at each request from now on, as it arrives, before any fault.
// It must not change the request, and runs in several goroutines at once.
func (s *Server) Watch(see func(*http.Request)) { s.watch.Store(&see) }

// Received is the number of requests since the start or Forget.
func (s *Server) Received() int64 { return s.received.Load() }

// Connections is the number of connections accepted since the start or Forget.
func (s *Server) Connections() int64 { return s.connections.Load() }

// Inject replaces answers as f says. Earlier faults go first.
func (s *Server) Inject(f Fault) { s.faults.add(f) }

// ClearFaults ends all faults and releases hanging requests.
func (s *Server) ClearFaults() { s.faults.clear() }

// Addr is "127.0.0.1:PORT", or the address of the given listener.
func (s *Server) Addr() string { return s.addr.String() }

// Port is the port of Addr, 0 without one.
func (s *Server) Port() int {
	if addr, ok := s.addr.(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// URL is the base URL without a trailing slash, such as "http://127.0.0.1:PORT".
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Close ends the server, its connections, and hanging requests.
func (s *Server) Close() error {
	s.serving.Lock()
	defer s.serving.Unlock()
	return errors.Join(s.stop(), s.release())
}

// stop ends the connections, and closes the listener.
func (s *Server) stop() error {
	s.faults.clear()
	err := s.http.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	<-s.served
	return err
}
