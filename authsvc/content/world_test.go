package content_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/disk"
	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
)

var silent = log.New(io.Discard, "", 0)

// A world is a store with a registry, and nginx's side of the contract.
type world struct {
	*remote
	config  content.Config
	store   *content.Store
	metrics *prometheus.Registry
	log     *logBuffer
	client  *http.Client
	stop    func()
}

// A logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns the log so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newWorld starts a store. change changes its configuration.
func newWorld(t *testing.T, change func(*content.Config)) *world {
	t.Helper()
	r := newRemote(t)
	dir := t.TempDir()
	w := &world{remote: r, config: content.Config{
		Listen:  content.Listen{Address: "unix:" + filepath.Join(dir, "store.sock"), MaxRequests: 100},
		Served:  filepath.Join(dir, "served.sock"),
		Control: filepath.Join(dir, "control.sock"),
		Folder:  filepath.Join(memory(t), "files"),
		Limits:  stock.Limits{MaxBytes: 1 << 30},
		Origin: origin.Options{
			Upstreams: []origin.Upstream{{Name: "main", Host: host(r.registry)}},
			Redirects: []string{host(r.storage)}, CAFile: r.authority.File,
			Connect: 10 * time.Second, Header: 10 * time.Second, Stall: 10 * time.Second,
		},
		Fetch:     fetch.Limits{Total: 100, PerCustomer: 100, MaxBlob: 1 << 30, MaxManifest: 1 << 20, Linger: time.Minute, MaxTime: time.Minute, Backoff: time.Millisecond},
		FirstByte: 20 * time.Second, RangeWait: 20 * time.Second,
		Scrub: content.Scrub{Rate: 1 << 30, Pause: time.Hour},
	}}
	if change != nil {
		change(&w.config)
	}
	if err := os.Mkdir(w.config.Folder, 0o750); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	t.Cleanup(func() { w.stop() })
	return w
}

// memory is a folder that needs no disk: what reaches the disk when is not for a
// test's folder to show.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "content-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start opens the store and serves it, over a file system; nil for the machine's.
func (w *world) start(files disk.FS) {
	w.t.Helper()
	w.metrics, w.log = prometheus.NewRegistry(), &logBuffer{}
	var err error
	w.store, err = content.New(w.config, content.Options{FS: files, Metrics: w.metrics, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve()
}

func (w *world) serve() {
	socket := strings.TrimPrefix(w.config.Listen.Address, "unix:")
	l, err := new(net.ListenConfig).Listen(w.t.Context(), "unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	lines, err := new(net.ListenConfig).ListenPacket(w.t.Context(), "unixgram", w.config.Served)
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: w.store.Handler(), ErrorLog: silent}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = server.Serve(l) }()
	var background sync.WaitGroup
	background.Go(func() { w.store.Run(ctx, lines) })
	w.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}, DisableCompression: true}}
	w.stop = func() {
		cancel()
		background.Wait()
		_ = server.Close()
		_ = l.Close() // which the server may not have had yet
		w.client.CloseIdleConnections()
		_ = os.Remove(w.config.Served)
		if err := w.store.Close(); err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
}

// restart stops the store, and starts it again.
func (w *world) restart(files disk.FS) {
	w.t.Helper()
	w.stop()
	w.start(files)
}

// bytesOf are bytes that differ by seed.
func bytesOf(size int, seed uint64) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1}).Read(b)
	return b
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func sha512Of(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512:" + hex.EncodeToString(sum[:])
}

// final are the files with final names. Each must have the content of its name.
func (w *world) final() map[string][]byte {
	w.t.Helper()
	return finalIn(w.t, w.config.Folder)
}

func finalIn(t *testing.T, root string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, kind := range []string{"blobs", "manifests"} {
		err := filepath.WalkDir(filepath.Join(root, kind), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || entry.IsDir() {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			id, _, ok := object.ParsePath(name)
			if h := id.Digest; !ok || h.String() != sha256Of(body) && h.String() != sha512Of(body) {
				t.Errorf("%s has the content of %s", name, sha256Of(body))
			}
			found[name] = body
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// temporary are the names of temporary files.
func (w *world) temporary() []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.config.Folder, "incoming"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// fileOf is where the object of a path lies, without an extension.
func fileOf(path string) string {
	kind := "blobs/"
	if strings.Contains(path, "/manifests/") {
		kind = "manifests/"
	}
	algorithm, digits, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ":")
	return kind + algorithm + "/" + digits[:2] + "/" + digits[2:]
}

// metric sums a metric over all labels that contain what.
func (w *world) metric(name, what string) int {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && strings.Contains(fmt.Sprint(m.GetLabel()), what) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return int(sum)
}

// eventually waits until something holds that happens in the background.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// stored waits until an object has its final name.
func (w *world) stored(path string) {
	w.t.Helper()
	eventually(w.t, "stored "+path, func() bool {
		found, err := filepath.Glob(filepath.Join(w.config.Folder, fileOf(path)+"*"))
		return err == nil && len(found) == 1
	})
}

// readers are the requests that fetches serve at the moment.
func (w *world) readers() int { return w.metric("authsvc_content_readers", "") }

// drop removes an object.
func (w *world) drop(path string) {
	w.t.Helper()
	digest, ok := object.ParseDigest(path[strings.LastIndexByte(path, '/')+1:])
	if !ok || len(w.store.Drop(digest)) != 1 {
		w.t.Errorf("nothing to drop: %s", path)
	}
}

// tell sends a line of nginx's log.
func (w *world) tell(line string) {
	w.t.Helper()
	conn, err := new(net.Dialer).DialContext(w.t.Context(), "unixgram", w.config.Served)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was sent
	if _, err := io.WriteString(conn, line); err != nil {
		w.t.Fatal(err)
	}
}

// idle waits until no fetch is in progress.
func (w *world) idle() {
	w.t.Helper()
	eventually(w.t, "no fetch in progress", func() bool { return w.metric("authsvc_content_fetches_in_progress", "") == 0 })
}
