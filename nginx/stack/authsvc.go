package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// A socket is where nginx asks authsvc. The stack holds it open, as systemd does,
// so that connections wait while authsvc restarts.
type socket struct {
	network, addr string // where nginx connects
	path          string // authsvc's own unix socket
	listener      *net.UnixListener
	front         *standin.Server // answers nginx instead of authsvc
}

// newSocket chooses the addresses.
func (s *Stack) newSocket() error {
	s.socket = &socket{network: "unix", path: filepath.Join(s.Dir, "authsvc.sock")}
	s.socket.addr = s.socket.path
	if s.opts.AuthsvcTCP {
		port, err := s.port()
		if err != nil {
			return err
		}
		s.socket.network, s.socket.addr = "tcp", fmt.Sprintf("127.0.0.1:%d", port)
	} else if s.opts.Interpose {
		s.socket.addr = filepath.Join(s.Dir, "interposed.sock")
	}
	return nil
}

// listen opens authsvc's unix socket, unless it is already open or TCP is used.
func (s *Stack) listen() error {
	if s.opts.AuthsvcTCP || s.socket.listener != nil {
		return nil
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket.path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("opening authsvc's socket: %w", err)
	}
	s.socket.listener = l
	return nil
}

// unlisten closes and removes the socket: connections are refused.
func (s *Stack) unlisten() error {
	if s.socket == nil || s.socket.listener == nil {
		return nil
	}
	err := s.socket.listener.Close()
	s.socket.listener = nil
	return err
}

// interpose puts an HTTP server between nginx and authsvc.
func (s *Stack) interpose() error {
	l, err := net.Listen("unix", s.socket.addr)
	if err != nil {
		return fmt.Errorf("opening the socket in front of authsvc: %w", err)
	}
	s.interposed = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket.path)
		},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
	proxy := &httputil.ReverseProxy{
		Transport: s.interposed,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "authsvc"})
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that leave
	}
	if s.opts.Judged != nil {
		proxy.ModifyResponse = func(r *http.Response) error {
			s.opts.Judged(r)
			return nil
		}
	}
	if s.Authsvc, err = standin.Start(proxy, standin.Options{Listener: l, Record: s.opts.Record}); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// Program is the path of one of the programs, to run it by hand.
func (s *Stack) Program(name string) string { return filepath.Join(s.binDir, name) }

// StartAuthsvc starts or restarts authsvc and waits until it is ready.
func (s *Stack) StartAuthsvc(ctx context.Context) error {
	if err := s.listen(); err != nil {
		return err
	}
	c := command{argv: []string{s.Program("authsvc"), "--config", s.configFile("authsvc")}, env: append(baseEnv(s.Dir), s.opts.Env...)}
	if l := s.socket.listener; l != nil {
		file, err := l.File()
		if err != nil {
			return fmt.Errorf("passing authsvc its socket: %w", err)
		}
		defer file.Close() //nolint:errcheck // a copy; the child has its own
		// sd_listen_fds(3): only the process itself can set its LISTEN_PID.
		c.argv = append([]string{"/bin/sh", "-c", `export LISTEN_PID=$$; exec "$@"`, "sh"}, c.argv...)
		c.env = append(c.env, "LISTEN_FDS=1", "LISTEN_FDNAMES=authsvc")
		c.files = []*os.File{file}
	}
	p, err := s.start("authsvc", c)
	if err != nil {
		return err
	}
	return poll(ctx, s.opts.Timeout, p, answers(s.client, s.AuthsvcURL()+"/readyz", http.StatusOK))
}

// CheckConfig runs authsvc check-config on the configuration, and returns its output.
func (s *Stack) CheckConfig(ctx context.Context, args ...string) (string, error) {
	argv := append([]string{"check-config", "--config", s.configFile("authsvc")}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir, "authsvc"), argv...)
	cmd.Env = baseEnv(s.Dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// RestartAuthsvc stops authsvc with SIGTERM and starts it, as systemd would: the
// socket stays open.
func (s *Stack) RestartAuthsvc(ctx context.Context) error {
	if err := s.Process("authsvc").Stop(); err != nil {
		return err
	}
	return s.StartAuthsvc(ctx)
}

// KillAuthsvc kills authsvc and removes its socket, so that nginx's connections
// are refused at once. StartAuthsvc brings both back.
func (s *Stack) KillAuthsvc() error {
	s.Process("authsvc").Kill()
	return s.unlisten()
}

// PauseAuthsvc stops authsvc with SIGSTOP: it accepts connections and does not answer.
func (s *Stack) PauseAuthsvc() error {
	p := s.Process("authsvc")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	// The signal stops the threads one by one.
	return poll(context.Background(), s.opts.Timeout, p, func(context.Context) error { return stopped(p.PID()) })
}

// stopped returns nil if all threads of a process are stopped (proc(5), state T).
func stopped(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread) //nolint:gosec // a child process's
		if err != nil {
			return err
		}
		// The second field, the name, may contain anything and ends at the last ")".
		if state := bytes.TrimLeft(stat[bytes.LastIndexByte(stat, ')')+1:], " "); !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("pausing a process: thread %s still runs", thread)
		}
	}
	return nil
}

// ResumeAuthsvc ends PauseAuthsvc.
func (s *Stack) ResumeAuthsvc() error { return s.Process("authsvc").Signal(syscall.SIGCONT) }

// ReplaceAuthsvc kills authsvc and lets h answer nginx instead, until Close. The
// server records nginx's requests and counts its connections.
func (s *Stack) ReplaceAuthsvc(h http.Handler) (*standin.Server, error) {
	if s.opts.Interpose {
		return nil, errors.New("replacing authsvc: Options.Interpose is set; inject faults into Stack.Authsvc instead")
	}
	if s.socket.front != nil {
		return nil, errors.New("replacing authsvc: it has already been replaced")
	}
	if err := s.KillAuthsvc(); err != nil {
		return nil, err
	}
	l, err := net.Listen(s.socket.network, s.socket.addr)
	if err != nil {
		return nil, fmt.Errorf("replacing authsvc: %w", err)
	}
	s.socket.front, err = standin.Start(h, standin.Options{Listener: l})
	return s.socket.front, err
}

func tokenFetchedAt(path string) (time.Time, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the stack's own file
	if err != nil {
		return time.Time{}, err
	}
	var file struct {
		FetchedAt time.Time `json:"fetchedAt"`
	}
	err = json.Unmarshal(text, &file)
	return file.FetchedAt, err
}
