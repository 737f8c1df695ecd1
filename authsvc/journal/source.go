package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Open opens a file, or in for "-".
func Open(file string, in io.Reader) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(in), nil
	}
	return os.Open(file)
}

// Journal runs journalctl, which prints what authsvc.service itself has logged since
// a time. What journalctl has to say, such as a missing right, goes to stderr. Close
// ends it, and reports how it ended.
func Journal(ctx context.Context, since time.Time, stderr io.Writer) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "journalctl", "--no-pager", "--output=cat", //nolint:gosec // a number is no option
		"--since=@"+strconv.FormatInt(since.Unix(), 10), "_SYSTEMD_UNIT=authsvc.service")
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading the journal: %w; name a file with --file FILE, or - for standard input", err)
	}
	return &process{out, cmd, cancel, false}, nil
}

type process struct {
	io.Reader
	cmd   *exec.Cmd
	end   func()
	ended bool // its output
}

func (p *process) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.ended = p.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close implements io.Closer. If the output was not read to its end, it does not
// matter how the process ends.
func (p *process) Close() error {
	if !p.ended {
		p.end()
	}
	err := p.cmd.Wait()
	p.end()
	if err != nil && p.ended {
		return fmt.Errorf("journalctl: %w", err)
	}
	return nil
}
