// Package dns is a name server on loopback. A test can change its answers while it
// runs, to see whether a proxy resolves again.
package dns

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Server answers A queries for the names it was given, with NXDOMAIN for other
// names and with an empty answer for other types.
type Server struct {
	udp, tcp *dns.Server
	addr     string
	done     sync.WaitGroup

	mu      sync.Mutex
	records map[string]record
	queries map[string]int
	failing int // rcode; 0 for none
}

type record struct {
	ips []net.IP
	ttl time.Duration
}

func newServer() *Server {
	return &Server{records: map[string]record{}, queries: map[string]int{}}
}

// StartAt listens at address, HOST:PORT, over UDP and TCP.
func StartAt(address string) (*Server, error) {
	s := newServer()
	if err := s.listen(address); err != nil {
		return nil, fmt.Errorf("starting the name server: %w", err)
	}
	return s, nil
}

// Start listens on a free port of 127.0.0.1, over UDP and TCP.
func Start() (*Server, error) {
	s := newServer()
	// The UDP port may be in use for TCP: then try another one.
	var err error
	for range 20 {
		if err = s.listen("127.0.0.1:0"); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("starting the name server: %w", err)
}

func (s *Server) listen(address string) error {
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	stream, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	s.addr = packets.LocalAddr().String()
	s.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(s.answer)}
	s.tcp = &dns.Server{Listener: stream, Handler: dns.HandlerFunc(s.answer)}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		s.done.Go(func() {
			_ = server.ActivateAndServe() // Shutdown ends it
		})
		<-ready
	}
	return nil
}

// Addr returns "HOST:PORT", the format of nginx's resolver directive.
func (s *Server) Addr() string { return s.addr }

// Set makes name resolve to ips, which are IPv4 addresses. ttl is in whole seconds
// and may be 0. Without ips the name does not exist.
func (s *Server) Set(name string, ttl time.Duration, ips ...string) error {
	r := record{ttl: ttl}
	for _, text := range ips {
		ip := net.ParseIP(text).To4()
		if ip == nil {
			return fmt.Errorf("address of %s: %q is not an IPv4 address", name, text)
		}
		r.ips = append(r.ips, ip)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(ips) == 0 {
		delete(s.records, canonical(name))
		return nil
	}
	s.records[canonical(name)] = r
	return nil
}

// Fail answers every question with SERVFAIL until it is called with false.
func (s *Server) Fail(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = dns.RcodeSuccess
	if on {
		s.failing = dns.RcodeServerFailure
	}
}

// Queries returns the number of queries for name, of any type.
func (s *Server) Queries(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[canonical(name)]
}

func (s *Server) answer(w dns.ResponseWriter, question *dns.Msg) {
	reply := new(dns.Msg).SetReply(question)
	reply.Authoritative = true
	s.mu.Lock()
	reply.Rcode = s.failing
	for _, q := range question.Question {
		s.queries[canonical(q.Name)]++
		r, ok := s.records[canonical(q.Name)]
		switch {
		case reply.Rcode != dns.RcodeSuccess:
		case !ok:
			reply.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA && q.Qclass == dns.ClassINET:
			for _, ip := range r.ips {
				reply.Answer = append(reply.Answer, &dns.A{
					Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: uint32(r.ttl.Seconds())},
					A:   ip,
				})
			}
		}
	}
	s.mu.Unlock()
	_ = w.WriteMsg(reply) // a client that has left needs no error
}

func canonical(name string) string { return dns.CanonicalName(strings.ToLower(name)) }

// Close stops the server.
func (s *Server) Close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.done.Wait()
	return err
}
