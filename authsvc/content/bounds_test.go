package content_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/content"
)

// held makes the storage send n bytes of each body, and then wait for release, or
// the end of the test.
func (w *world) held(n int64) (release func()) {
	until := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = func(string, int) fault { return fault{pause: n, until: until} }
	release = sync.OnceFunc(func() { close(until) })
	w.t.Cleanup(release)
	return release
}

// begin asks for a blob and reads its first byte. The rest is for later.
func (w *world) begin(path string, headers ...string) *http.Response {
	w.t.Helper()
	response, err := w.client.Do(w.question(w.t.Context(), http.MethodGet, path, headers...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = response.Body.Close() })
	if _, err := io.ReadFull(response.Body, make([]byte, 1)); err != nil || response.StatusCode >= 300 {
		w.t.Fatalf("status %d, %v", response.StatusCode, err)
	}
	return response
}

// TestFetchesAreBounded, in total and for each customer; a client that joins one
// does not count.
func TestFetchesAreBounded(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Fetch.Total, c.Fetch.PerCustomer = 3, 2 })
	release := w.held(100_000)
	var paths []string
	for i := range uint64(5) {
		paths = append(paths, w.blob(bytesOf(200_000, i)))
	}
	w.begin(paths[0])
	w.begin(paths[1])
	w.begin(paths[1]) // joins
	if got := w.get(paths[2]); got.status != http.StatusServiceUnavailable {
		t.Errorf("a customer's third fetch: status %d", got.status)
	}
	if got := w.ask(http.MethodGet, paths[2], "X-Auth-Subject", "ann (unverified: another name)"); got.status != http.StatusServiceUnavailable {
		t.Errorf("a customer's third fetch, under another name: status %d", got.status)
	}
	if got := w.ask(http.MethodHead, paths[2]); got.status != http.StatusServiceUnavailable {
		t.Errorf("what passes through counts as well: status %d", got.status)
	}
	w.begin(paths[2], "X-Auth-Subject", "bob")
	if got := w.ask(http.MethodGet, paths[3], "X-Auth-Subject", "cleo"); got.status != http.StatusServiceUnavailable {
		t.Errorf("the fourth fetch: status %d", got.status)
	}
	release()
	w.idle()
	w.get(paths[4]).want(t, bytesOf(200_000, 4))
}

// TestRequestsAreBounded, whatever they are for.
func TestRequestsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Listen.MaxRequests = 2 })
	release := w.held(100_000)
	path := w.blob(bytesOf(200_000, 1))
	first := w.begin(path)
	w.begin(path)
	if got := w.get(path); got.status != http.StatusServiceUnavailable {
		t.Errorf("the third request: status %d", got.status)
	}
	_ = first.Body.Close()
	release()
	eventually(t, "a request is served", func() bool { return w.get(path).status == http.StatusOK })
}

// TestFetchGoesOnAlone: when all have left, a fetch goes on, for a time.
func TestFetchGoesOnAlone(t *testing.T) {
	for name, linger := range map[string]time.Duration{"long": time.Minute, "not at all": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *content.Config) { c.Fetch.Linger = linger })
			release := w.held(100_000)
			defer func() { w.idle() }()
			path := w.blob(bytesOf(200_000, 1))
			response := w.begin(path)
			_ = response.Body.Close()
			eventually(t, "the client has left", func() bool { return w.readers() == 0 })
			if linger > 0 {
				release()
				w.stored(path)
				return
			}
			w.idle()
			release()
			if n := w.metric("authsvc_content_fetches_total", "abandoned"); n != 1 {
				t.Errorf("%d fetches were abandoned", n)
			}
			if names := w.temporary(); len(names) > 0 || len(w.final()) > 0 {
				t.Errorf("left: %q", names)
			}
			w.get(path).want(t, bytesOf(200_000, 1))
		})
	}
}

func TestSizesAreBounded(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Fetch.MaxBlob, c.Limits.MaxBytes = 100_000, 150_000 })
	for size, want := range map[int]int{100_000: 200, 100_001: 502} {
		if got := w.get(w.blob(bytesOf(size, 1))); got.status != want {
			t.Errorf("%d bytes: status %d, want %d", size, got.status, want)
		}
	}
}

// TestNoRoom: what does not fit goes the plain way, and nothing is evicted for it.
func TestNoRoom(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Limits.MaxBytes = 100_000 })
	small := w.blob(bytesOf(50_000, 1))
	w.get(small)
	w.stored(small)
	if got := w.get(w.blob(bytesOf(100_001, 2))); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
	if len(w.final()) != 1 {
		t.Error("it was evicted")
	}
	w.config.Limits.MinFree = 1 << 60 // more than there is
	w.restart(nil)
	if got := w.get(w.blob(bytesOf(1000, 3))); got.status != http.StatusServiceUnavailable {
		t.Errorf("with too little free: status %d", got.status)
	}
}

// TestRoomIsReservedFirst: two fetches that fit only one after the other do not
// begin both.
func TestRoomIsReservedFirst(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Limits.MaxBytes = 150_000 })
	release := w.held(80_000)
	first := w.blob(bytesOf(100_000, 1))
	w.begin(first)
	if got := w.get(w.blob(bytesOf(100_000, 2))); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
	release()
	w.stored(first)
	w.idle()
	w.get(w.blob(bytesOf(100_000, 3))).want(t, bytesOf(100_000, 3))
}

// TestLeastRecentlyUsedGoesFirst: nginx tells what it has served.
func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Limits.MaxBytes = 300_000 })
	var paths []string
	for i := range uint64(3) {
		paths = append(paths, w.blob(bytesOf(100_000, i)))
		w.get(paths[i])
		w.stored(paths[i])
	}
	w.idle()
	w.tell("<190>Nov 27 23:33:49 nginx: " + sha256Of(bytesOf(100_000, 0)))
	w.tell("<190>Nov 27 23:33:49 nginx: " + sha256Of([]byte("evicted")))
	w.tell("garbage")
	eventually(t, "the lines are read", func() bool { return w.metric("authsvc_content_served_lines_total", "") == 3 })
	for _, what := range []string{`"known"`, `"unknown"`, `"malformed"`} {
		if n := w.metric("authsvc_content_served_lines_total", what); n != 1 {
			t.Errorf("%d lines are %s", n, what)
		}
	}
	w.get(w.blob(bytesOf(100_000, 3)))
	w.idle()
	has := func(i int) bool {
		_, err := os.Stat(filepath.Join(w.config.Folder, fileOf(paths[i])))
		return err == nil
	}
	if !has(0) || has(1) || !has(2) {
		t.Errorf("there are %v %v %v, want all but the second", has(0), has(1), has(2))
	}
	if n := w.metric("authsvc_content_removed_files_total", "evicted"); n != 1 {
		t.Errorf("%d were evicted", n)
	}
	eventually(t, "the evicted file is deleted", func() bool { return len(w.temporary()) == 0 })
}

// TestOrderSurvivesARestart, by the time of the last access.
func TestOrderSurvivesARestart(t *testing.T) {
	w := newWorld(t, func(c *content.Config) { c.Limits.MaxBytes = 300_000 })
	var paths []string
	for i := range uint64(3) {
		paths = append(paths, w.blob(bytesOf(100_000, i)))
		w.get(paths[i])
		w.stored(paths[i])
	}
	w.stop()
	now := time.Now()
	for i, age := range []time.Duration{2 * time.Hour, 4 * time.Hour, 3 * time.Hour} {
		if err := os.Chtimes(filepath.Join(w.config.Folder, fileOf(paths[i])), now.Add(-age), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	w.start(nil)
	w.tell(sha256Of(bytesOf(100_000, 1)))
	eventually(t, "the line is read", func() bool { return w.metric("authsvc_content_served_lines_total", "") == 1 })
	w.restart(nil)
	w.get(w.blob(bytesOf(100_000, 3)))
	w.idle()
	if _, err := os.Stat(filepath.Join(w.config.Folder, fileOf(paths[2]))); err == nil {
		t.Error("the least recently used was not evicted")
	}
	if len(w.final()) != 3 {
		t.Errorf("%d files, want 3", len(w.final()))
	}
}
