package fetch

import (
	"io"
	"sync"
)

const (
	// pipeSize is how far reading may be ahead of writing.
	pipeSize = 128 << 10
	// readSize is read at a time: two records of TLS.
	readSize = 32 << 10
)

// A pipe reads a body in the background, while what came before is hashed and
// written. What has come meanwhile is taken as one piece, so that a fast body needs
// few writes, and a slow one is passed on at once.
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond
	came    []byte // and was not taken
	taken   []byte // in use until the next call of next
	err     error  // after what came
	closed  bool
	done    chan struct{}
}

// newPipe begins to read. Close the body, and then the pipe.
func newPipe(body io.Reader) *pipe {
	p := &pipe{came: make([]byte, 0, pipeSize), taken: make([]byte, 0, pipeSize), done: make(chan struct{})}
	p.changed.L = &p.mu
	go p.fill(body)
	return p
}

func (p *pipe) fill(body io.Reader) {
	defer close(p.done)
	buffer := make([]byte, readSize)
	for {
		n, err := body.Read(buffer)
		if !p.put(buffer[:n], err) {
			return
		}
	}
}

// put adds what was read. It says whether to go on.
func (p *pipe) put(b []byte, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.came)+len(b) > pipeSize && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return false
	}
	p.came, p.err = append(p.came, b...), err
	p.changed.Signal()
	return err == nil
}

// next returns what has come since the last call, or waits for it. The error comes
// after all that was read before it.
func (p *pipe) next() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.came) == 0 && p.err == nil {
		p.changed.Wait()
	}
	if len(p.came) == 0 {
		return nil, p.err
	}
	p.came, p.taken = p.taken[:0], p.came
	p.changed.Signal()
	return p.taken, nil
}

// close ends the reading.
func (p *pipe) close() {
	p.mu.Lock()
	p.closed = true
	p.changed.Signal()
	p.mu.Unlock()
	<-p.done
}
