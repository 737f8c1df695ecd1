package monitoring_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A store is a running content store, with one file in it.
type store struct {
	t       *testing.T
	program string
	dir     string
	private string // HOST:PORT
	file    string // the one in the store
	process *os.Process
}

// newStore starts one. Its registry does not exist: what it fetches is of no matter
// here.
func newStore(t *testing.T, program string) *store {
	t.Helper()
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, program: program, dir: t.TempDir(), private: free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%x", sha256.Sum256([]byte("right")))
	s.file = filepath.Join(s.dir, "files", "blobs", "sha256", name[:2], name[2:])
	if err := os.MkdirAll(filepath.Dir(s.file), 0o750); err != nil {
		t.Fatal(err)
	}
	s.write(s.file, "right")
	s.write(s.config(), fmt.Sprintf(`
upstreams: [{name: main, host: registry.example}]
listen: {address: "unix:%[1]s/store.sock"}
served: {address: "unix:%[1]s/served.sock"}
control: {address: "unix:%[1]s/control.sock"}
private: {address: "%[2]s"}
folder: %[1]s/files
min_free: 1MB
`, s.dir, s.private))
	s.start()
	return s
}

func (s *store) config() string { return filepath.Join(s.dir, "content.yaml") }

func (s *store) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) start() {
	s.t.Helper()
	s.process = run(s.t, filepath.Join(s.dir, "log"), exec.Command(s.program, "content", "--config", s.config()))
	s.await("ready", true)
}

// stop ends it at once.
func (s *store) stop() {
	s.t.Helper()
	if err := s.process.Signal(syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.await("gone", false)
}

func (s *store) await(what string, serves bool) {
	s.t.Helper()
	waitFor(s.t, func() string {
		response, err := http.Get("http://" + s.private + "/readyz")
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil && response.StatusCode == http.StatusOK) != serves {
			return fmt.Sprintf("the content store to be %s: %v", what, err)
		}
		return ""
	})
}

// storeIsOld asks as nginx with includes of another version might.
func storeIsOld(w *world) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.store.dir, "store.sock"))
	}}}
	defer client.CloseIdleConnections()
	w.until(func() {
		response, err := client.Get("http://store/v2/")
		if err != nil {
			w.t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusBadRequest {
			w.t.Errorf("status %d, %v", response.StatusCode, err)
		}
	}, "ContentStoreMisunderstood")
}

// fileIsWrong: the disk has changed what was written.
func fileIsWrong(w *world) {
	w.store.write(w.store.file, "wrong")
	out, err := exec.CommandContext(w.t.Context(), w.store.program, "content", "verify", "--config", w.store.config()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "1 files read, 1 wrong") {
		w.t.Errorf("content verify: %v\n%s", err, out)
	}
	w.until(nothing, "ContentStoreFilesWrong")
}

// storeIsDown: nobody is called so who is not.
func storeIsDown(w *world) {
	w.store.stop()
	w.until(nothing, "ContentStoreDown")
	if w.active("AuthsvcDown") || w.active("TokenrefresherDown") || w.active("ContentStoreMissing") {
		w.t.Error("the content store alone is down, and other alerts say that they are")
	}
	w.store.start()
}
