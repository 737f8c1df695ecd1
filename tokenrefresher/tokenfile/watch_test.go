package tokenfile_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// patience is how long a test waits for what will happen; no test measures it.
const patience = 30 * time.Second

// log is a logger's output that can be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func watch(t *testing.T, path string) (*tokenfile.Watcher, *log) {
	t.Helper()
	out := &log{}
	w, err := tokenfile.Watch(t.Context(), path, slog.New(slog.NewJSONHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return w, out
}

func write(t *testing.T, path string, token tokenfile.Token) {
	t.Helper()
	if err := tokenfile.Write(path, token); err != nil {
		t.Fatal(err)
	}
}

// later is a token n hours younger than token's.
func later(n int) tokenfile.Token {
	next := token("p")
	next.FetchedAt = fetched.Add(time.Duration(n) * time.Hour)
	return next
}

// await waits until the watcher has want, and tells in time if it never does.
func await(t *testing.T, w *tokenfile.Watcher, want tokenfile.Token) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		changed := w.Changed()
		if got, err := w.Current(); err == nil && got.Equal(want) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			got, err := w.Current()
			t.Fatalf("the watcher has %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestWatchTakesChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "main.json")
	write(t, path, later(1))
	w, _ := watch(t, path)
	if got, err := w.Current(); err != nil || !got.Equal(later(1)) {
		t.Fatalf("at the start: %+v, %v", got, err)
	}
	steps := []struct {
		name string
		do   func(next tokenfile.Token) error
	}{
		{"replaced", func(next tokenfile.Token) error { return tokenfile.Write(path, next) }},
		{"removed and written", func(next tokenfile.Token) error {
			return errors.Join(os.Remove(path), tokenfile.Write(path, next))
		}},
		{"folder made again", func(next tokenfile.Token) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), tokenfile.Write(path, next))
		}},
		{"replaced in the new folder", func(next tokenfile.Token) error { return tokenfile.Write(path, next) }},
		{"folder moved away", func(next tokenfile.Token) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700), tokenfile.Write(path, next))
		}},
		{"moved in", func(next tokenfile.Token) error {
			other := filepath.Join(filepath.Dir(dir), "other.json")
			return errors.Join(tokenfile.Write(other, next), os.Rename(other, path))
		}},
		{"an older one", func(tokenfile.Token) error { return tokenfile.Write(path, later(1)) }},
	}
	for i, step := range steps {
		next := later(i + 2)
		if err := step.do(next); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if i == len(steps)-1 {
			next = later(1)
		}
		await(t, w, next)
	}
}

// TestWatchWithoutFile: that there is nothing yet is not fatal.
func TestWatchWithoutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "main.json")
	w, out := watch(t, path)
	if _, err := w.Current(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, later(1))
	await(t, w, later(1))
	if !strings.Contains(out.String(), "token taken from the file") {
		t.Errorf("log: %s", out)
	}
}

// TestWatchKeepsTheGoodOne: nothing that is not whole replaces it.
func TestWatchKeepsTheGoodOne(t *testing.T) {
	whole, err := os.ReadFile(func() string {
		path := filepath.Join(t.TempDir(), "other.json")
		write(t, path, later(2))
		return path
	}())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "main.json")
	write(t, path, later(1))
	w, out := watch(t, path)
	for i, bad := range [][]byte{{}, whole[:1], whole[:len(whole)/2], whole[:len(whole)-3], []byte("#")} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		// The watcher has read it when its Wait has been refused, for
		// Wait makes it look; the log tells.
		awaitLog(t, w, out, i+1)
		if got, err := w.Current(); err != nil || !got.Equal(later(1)) {
			t.Errorf("with %q in the file: %+v, %v", bad, got, err)
		}
		write(t, path, later(1)) // good again: the next problem is logged anew
		awaitQuiet(t, w, path)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, w, out, 6)
	if got, err := w.Current(); err != nil || !got.Equal(later(1)) {
		t.Errorf("without the file: %+v, %v", got, err)
	}
	if text := out.String(); strings.Contains(text, "QVdT") {
		t.Errorf("the log has the token: %s", text)
	}
}

// awaitLog waits until n problems are logged, with the watcher asked to look.
func awaitLog(t *testing.T, w *tokenfile.Watcher, out *log, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); strings.Count(out.String(), "cannot be used") < n; {
		if time.Now().After(deadline) {
			t.Fatalf("want %d problems in the log: %s", n, out)
		}
		look(w)
	}
}

// look has the watcher read the file, and gives it a moment for that.
func look(w *tokenfile.Watcher) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, _ = w.Wait(ctx, fetched.AddDate(1, 0, 0))
}

// awaitQuiet makes sure that the watcher has read the good file: it writes
// one with a new time, and the old one again.
func awaitQuiet(t *testing.T, w *tokenfile.Watcher, path string) {
	t.Helper()
	write(t, path, later(3))
	await(t, w, later(3))
	write(t, path, later(1))
	await(t, w, later(1))
}

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "main.json")
	write(t, path, later(1))
	w, _ := watch(t, path)
	if got, err := w.Wait(t.Context(), fetched); err != nil || !got.Equal(later(1)) {
		t.Errorf("what is there: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Wait(ctx, later(1).FetchedAt); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), "waiting for a token fetched after 2026-11-23T19:00:00.123456789Z") {
		t.Errorf("error %v", err)
	}
	var waiting sync.WaitGroup
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 20 {
		waiting.Go(func() {
			if got, err := w.Wait(ctx, later(1).FetchedAt); err != nil || !got.Equal(later(2)) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	write(t, path, later(2))
	waiting.Wait()
}

// TestWatchNeverSeesHalf: readers run through 200 replacements, of 12 KB each.
func TestWatchNeverSeesHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "main.json")
	big := func(n int) tokenfile.Token {
		next := later(n)
		next.Value = encoded("AWS:" + strings.Repeat(string(rune('a'+n%26)), 9<<10))
		return next
	}
	write(t, path, big(0))
	w, out := watch(t, path)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := w.Current(); err != nil {
					t.Error(err)
				}
				if got, err := tokenfile.Read(path); err != nil || got.Check() != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 200 {
		write(t, path, big(n))
	}
	await(t, w, big(199))
	close(stop)
	readers.Wait()
	if strings.Contains(out.String(), "cannot be used") {
		t.Errorf("log: %s", out)
	}
}

func TestWatchNeedsAPath(t *testing.T) {
	if _, err := tokenfile.Watch(t.Context(), "", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("accepted")
	}
}

func BenchmarkCurrent(b *testing.B) {
	path := filepath.Join(b.TempDir(), "main.json")
	if err := tokenfile.Write(path, token("p")); err != nil {
		b.Fatal(err)
	}
	w, err := tokenfile.Watch(b.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Current(); err != nil {
			b.Fatal(err)
		}
	}
}
