package content_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content"
)

// The environment of a child of TestKilled.
const (
	killConfig = "CONTENT_TEST_CONFIG" // as JSON
	killPath   = "CONTENT_TEST_PATH"
	killAt     = "CONTENT_TEST_KILL_AT"
)

// TestMain is also the child of TestKilled.
func TestMain(m *testing.M) {
	if os.Getenv(killConfig) != "" {
		if err := child(); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child fetches an object, and is killed at an operation on the disk.
func child() error {
	var c content.Config
	if err := json.Unmarshal([]byte(os.Getenv(killConfig)), &c); err != nil {
		return err
	}
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		return err
	}
	files := newFaultFS()
	files.arm(plan{first: at, kill: true})
	s, err := content.New(c, content.Options{FS: files, Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	path := os.Getenv(killPath)
	front := httptest.NewServer(s.Handler())
	defer front.Close()
	r, err := http.NewRequest(http.MethodGet, front.URL, nil)
	if err != nil {
		return err
	}
	r.Header = http.Header{
		"X-Store-Upstream": {"main"}, "X-Store-Path": {path}, "X-Store-Object": {objectOf(path)},
		"Authorization": {token},
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	for { // until it has its final name
		if status, err := s.Status(); err != nil || len(status.Fetches) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return s.Close()
}

// TestKilled: at whichever operation on the disk the process is killed, from its
// start to its end, everything with a final name is complete, and the next start
// leaves no temporary file.
func TestKilled(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.config.Origin.Metrics = nil
	config, err := json.Marshal(w.config)
	if err != nil {
		t.Fatal(err)
	}
	body := bytesOf(100_000, 1)
	path := w.blob(body)
	leftovers := 0
	for n, done := 0, false; !done; n++ {
		if err := os.RemoveAll(w.config.Folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(w.config.Folder, 0o750); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killConfig+"="+string(config), killPath+"="+path, killAt+"="+strconv.Itoa(n))
		out, err := cmd.CombinedOutput()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case err == nil:
			done = true
		case !status.Signaled() || status.Signal() != syscall.SIGKILL:
			t.Fatalf("operation %d: %v\n%s", n, err, out)
		}
		whole := len(w.final())
		if done && whole != 1 {
			t.Errorf("at the end there are %d files", whole)
		}
		leftovers += len(w.temporary())
		w.start(nil)
		if names := w.temporary(); len(names) > 0 {
			t.Errorf("operation %d: temporary files are left: %q", n, names)
		}
		w.get(path).want(t, body)
		w.stored(path)
		w.stop()
	}
	if leftovers == 0 {
		t.Error("no kill left a temporary file, so nothing was tested")
	}
}
