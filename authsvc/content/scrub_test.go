package content_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/control"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// spoil changes a file as a failing disk does. It returns its path.
func (w *world) spoil(path string, change func(body []byte) []byte) string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.config.Folder, fileOf(path)+"*"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%d files of %s, %v", len(found), path, err)
	}
	body, err := os.ReadFile(found[0])
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(found[0], change(body), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return found[0]
}

func flip(body []byte) []byte { body[len(body)/2] ^= 4; return body }

func gone(file string) bool {
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// TestScrub finds what a disk has changed, in the background, and removes it.
func TestScrub(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Scrub.Pause = time.Second })
	right, longer, shorter, flipped := w.blob(bytesOf(3<<20, 1)), w.blob(bytesOf(1000, 2)), w.blob(bytesOf(1000, 3)), w.manifest(image, ociImage)
	for _, path := range []string{right, longer, shorter, flipped} {
		w.get(path)
		w.stored(path)
	}
	w.idle()
	files := []string{
		w.spoil(longer, func(b []byte) []byte { return append(b, 0) }),
		w.spoil(shorter, func(b []byte) []byte { return b[:len(b)-1] }),
		w.spoil(flipped, flip),
	}
	for _, file := range files {
		eventually(t, "removed "+file, func() bool { return gone(file) })
	}
	if len(w.final()) != 1 {
		t.Error("the right file is gone")
	}
	if n := w.metric("authsvc_content_removed_files_total", "wrong"); n != 3 {
		t.Errorf("%d were wrong", n)
	}
	w.get(flipped).want(t, []byte(image))
}

// TestScrubOfADiskThatCannotDelete tries again: nginx would serve the file.
func TestScrubOfADiskThatCannotDelete(t *testing.T) {
	w := newWorld(t, nil)
	files := newFaultFS()
	w.restart(files)
	path := w.blob(bytesOf(1000, 1))
	w.get(path)
	w.stored(path)
	w.idle()
	file := w.spoil(path, flip)
	files.arm(plan{err: syscall.EROFS, all: true})
	if n, err := w.store.Verify(t.Context(), nil); n != 1 || err != nil {
		t.Errorf("%d files, %v", n, err)
	}
	eventually(t, "it was tried again", func() bool { return w.metric("authsvc_content_delete_failures_total", "") > 1 })
	files.heal()
	eventually(t, "removed", func() bool { return gone(file) })
}

// TestControl: what the commands ask.
func TestControl(t *testing.T) {
	w := newWorld(t, nil)
	l, err := listen.Listen(t.Context(), "unix:"+w.config.Control, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(control.NewHandler(w.store))
	server.Listener = l
	server.Start()
	defer server.Close()
	client := control.NewClient(w.config.Control)

	path, spoiled := w.blob(bytesOf(1000, 1)), w.blob(bytesOf(2000, 2))
	for _, p := range []string{path, spoiled} {
		w.get(p)
		w.stored(p)
	}
	w.idle()
	release := w.held(100_000)
	w.begin(w.blob(bytesOf(200_000, 3)))
	status, err := client.Status(t.Context())
	if err != nil || status.Store.Files != 2 || status.Store.Bytes != 3000 || status.Store.Reserved != 200_000 || len(status.Fetches) != 1 ||
		status.Fetches[0].Size != 200_000 || status.Fetches[0].Readers != 1 || status.Fetches[0].Subject != "ann" {
		t.Errorf("%+v, %v", status, err)
	}
	release()
	w.idle()
	w.spoil(spoiled, flip)
	var wrong []string
	files, err := client.Verify(t.Context(), func(object string) { wrong = append(wrong, object) })
	if err != nil || files != 3 || !slices.Equal(wrong, []string{"blob " + sha256Of(bytesOf(2000, 2))}) {
		t.Errorf("%d files, wrong %q, %v", files, wrong, err)
	}
	for _, want := range [][]string{{"blob " + sha256Of(bytesOf(1000, 1))}, {}} {
		if dropped, err := client.Drop(t.Context(), sha256Of(bytesOf(1000, 1))); err != nil || !slices.Equal(dropped, want) {
			t.Errorf("dropped %q, %v; want %q", dropped, err, want)
		}
	}
	if _, err := client.Drop(t.Context(), "sha256:x"); err == nil || !strings.Contains(err.Error(), "expected a digest") {
		t.Errorf("a malformed digest: %v", err)
	}
	server.Close()
	if _, err := client.Status(context.Background()); err == nil || !strings.Contains(err.Error(), "must be running") {
		t.Errorf("without a store: %v", err)
	}
}

// TestOneProcess: two would remove each other's temporary files.
func TestOneProcess(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := content.New(w.config, content.Options{Metrics: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "expected no other process") {
		t.Errorf("a second store: %v", err)
	}
}

// TestForeignFiles are left alone, and never served.
func TestForeignFiles(t *testing.T) {
	w := newWorld(t, nil)
	body := bytesOf(1000, 1)
	path := w.blob(body)
	w.stop()
	file := filepath.Join(w.config.Folder, fileOf(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".txt", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	w.get(path).want(t, body)
	if strings.Count(w.log.String(), "is not the store's") != 2 {
		t.Errorf("the log says nothing: %s", w.log)
	}
}
