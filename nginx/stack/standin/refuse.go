package standin

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Refuse closes all connections, and refuses new ones until Accept. The port stays
// taken, so that nobody else can get it meanwhile. It ends all faults.
func (s *Server) Refuse() error {
	s.serving.Lock()
	defer s.serving.Unlock()
	if s.port != nil {
		return nil
	}
	if err := s.stop(); err != nil {
		return fmt.Errorf("refusing connections to %s: %w", s.Addr(), err)
	}
	var err error
	if s.port, err = hold(s.addr); err != nil {
		return fmt.Errorf("refusing connections to %s: %w", s.Addr(), err)
	}
	return nil
}

// Accept ends Refuse.
func (s *Server) Accept() error {
	s.serving.Lock()
	defer s.serving.Unlock()
	if s.port == nil {
		return nil
	}
	err := unix.Listen(int(s.port.Fd()), unix.SOMAXCONN)
	var l net.Listener
	if err == nil {
		l, err = net.FileListener(s.port)
	}
	if err != nil {
		return fmt.Errorf("accepting connections to %s: %w", s.Addr(), err)
	}
	s.serve(l)
	return s.release()
}

// hold binds a socket to an address without listening: the kernel then refuses
// connections.
func hold(addr net.Addr) (*os.File, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return nil, errors.New("only a TCP port of IPv4 can be held")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), addr.String())
	// Connections of before may still be closing.
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())})
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// release gives a held port up; a listener that came of it has its own copy.
func (s *Server) release() error {
	if s.port == nil {
		return nil
	}
	err := s.port.Close()
	s.port = nil
	return err
}
