package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The kernel uses ports from 32768 up for outgoing connections. A lower port that
// is free now is still free when a child binds it.
const firstPort, lastPort = 20000, 32000

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // allocated by this process
)

// freePort returns a port of 127.0.0.1 that nothing listens on.
func freePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	var last error
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // not a secret
		if ports[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("looking for a free port: %w", err)
		}
		ports[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("looking for a free port between %d and %d: %w", firstPort, lastPort, last)
}

func releasePort(port int) {
	portsMu.Lock()
	defer portsMu.Unlock()
	delete(ports, port)
}
