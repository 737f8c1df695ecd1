package listen_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// states are what systemd is told, in order, on the socket that it would pass.
func states(t *testing.T) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		for b := make([]byte, 1024); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			told <- string(b[:n])
		}
	}()
	return told
}

// wait returns once systemd is told state.
func wait(t *testing.T, told <-chan string, state string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case found := <-told:
			if found == state {
				return
			}
		case <-limit:
			t.Fatalf("systemd was not told %s", state)
		}
	}
}

// serving serves until the returned function is called, which waits.
func serving(t *testing.T, healthz http.HandlerFunc) (stop func() error) {
	t.Helper()
	private, err := listen.Listen(t.Context(), "unix:"+filepath.Join(t.TempDir(), "private.sock"), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- listen.Serve(ctx, slog.New(slog.DiscardHandler), listen.Bounds{ReadHeader: time.Second, HeaderBytes: 1 << 10, Shutdown: time.Second},
			private, map[net.Listener]http.Handler{private: healthz})
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

func watchdog(t *testing.T, every time.Duration) {
	t.Helper()
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(every.Microseconds()))
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
}

func TestNotify(t *testing.T) {
	told := states(t)
	watchdog(t, 20*time.Millisecond)
	var asked atomic.Value
	stop := serving(t, func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Path) })
	wait(t, told, "READY=1")
	wait(t, told, "WATCHDOG=1")
	wait(t, told, "WATCHDOG=1")
	if asked.Load() != "/healthz" {
		t.Errorf("the program was asked %v", asked.Load())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	wait(t, told, "STOPPING=1")
}

// TestReload: systemd waits for the end of a reload.
func TestReload(t *testing.T) {
	told := states(t)
	listen.Reload(slog.New(slog.DiscardHandler), func() {
		if found := <-told; !strings.HasPrefix(found, "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("systemd was told %q", found)
		}
		mark(t)
	})
	wait(t, told, "MARK=1")
	wait(t, told, "READY=1")
}

// TestSickProgram: one that does not answer itself lets the watchdog bite.
func TestSickProgram(t *testing.T) {
	told := states(t)
	watchdog(t, 20*time.Millisecond)
	var sick atomic.Bool
	asked := make(chan struct{}, 1000)
	stop := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			asked <- struct{}{}
		}
	})
	wait(t, told, "WATCHDOG=1")
	sick.Store(true)
	<-asked
	mark(t) // what was told before comes before
	for range 3 {
		<-asked
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	wait(t, told, "MARK=1")
	if found := <-told; found != "STOPPING=1" {
		t.Errorf("a sick program told %s", found)
	}
}

// mark tells as systemd is told.
func mark(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // written, or not
	if _, err := conn.Write([]byte("MARK=1")); err != nil {
		t.Fatal(err)
	}
}

// TestNoWatchdog: without systemd nobody is told, and nothing is asked.
func TestNoWatchdog(t *testing.T) {
	for _, usec := range []string{"", "soon"} {
		t.Setenv("WATCHDOG_USEC", usec)
		told := states(t)
		stop := serving(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s", r.URL) })
		wait(t, told, "READY=1")
		if err := stop(); err != nil {
			t.Error(err)
		}
		if found := <-told; !strings.HasPrefix(found, "STOPPING=") {
			t.Errorf("told %s", found)
		}
	}
}
