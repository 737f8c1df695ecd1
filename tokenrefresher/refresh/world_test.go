package refresh_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/pullgate/pullgate/tokenrefresher/refresh"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

// start is when the time of each test begins (testing/synctest).
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// source is a refresh.Source of functions.
type source struct {
	fetch func(context.Context) (tokenfile.Token, error)
	owns  func(tokenfile.Token) bool
}

func (s source) Fetch(ctx context.Context) (tokenfile.Token, error) { return s.fetch(ctx) }
func (s source) Owns(t tokenfile.Token) bool                        { return s.owns(t) }

// prober is a refresh.Prober of a function.
type prober func(tokenfile.Token) error

func (p prober) Try(_ context.Context, t tokenfile.Token) error { return p(t) }

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

// world is a registry and all that is around it. Its parts can be changed
// before the first use of registry.
type world struct {
	*testing.T
	log      *log
	numbers  *prometheus.Registry
	options  refresh.Options
	registry *refresh.Registry

	mu      sync.Mutex
	fetches int
	fetchIs func(context.Context, int) (tokenfile.Token, error) // of the nth fetch
	probeIs func(tokenfile.Token) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, log: &log{}, numbers: prometheus.NewRegistry()}
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.fetchIs = func(_ context.Context, n int) (tokenfile.Token, error) { return w.token(n), nil }
	w.probeIs = func(tokenfile.Token) error { return nil }
	w.options = refresh.Options{
		Name: "main", File: filepath.Join(dir, "main.json"),
		Source: source{fetch: w.fetch, owns: func(t tokenfile.Token) bool { return t.Host == host }},
		Prober: prober(func(t tokenfile.Token) error { return w.probe(t) }),
		Schedule: refresh.Schedule{
			Interval: 8 * time.Hour, Margin: 30 * time.Minute, Jitter: 10 * time.Minute,
			BackoffInitial: time.Second, BackoffMax: 5 * time.Minute,
		},
		Timeout: time.Hour, ForcedEvery: 10 * time.Second,
		Random:  func() float64 { return 0 },
		Logger:  slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: refresh.NewMetrics(w.numbers),
	}
	return w
}

// made returns the registry, and makes it out of the options at first.
func (w *world) made() *refresh.Registry {
	if w.registry == nil {
		w.registry = refresh.New(w.options)
	}
	return w.registry
}

// token is the nth one, that lives for 12 h from now; FetchedAt is not set.
func (w *world) token(n int) tokenfile.Token {
	password := fmt.Sprintf("hush-%d-%s", n, strings.Repeat("x", 2000))
	return tokenfile.Token{
		Host: host, ExpiresAt: time.Now().Add(12 * time.Hour),
		Value: tokenfile.NewValue(base64.StdEncoding.EncodeToString([]byte("AWS:" + password))),
	}
}

// unending is the nth one of a registry of kind basic: it never expires.
func (w *world) unending(n int) tokenfile.Token {
	t := w.token(n)
	t.ExpiresAt = time.Time{}
	return t
}

// restarted forgets the registry, as a restart does; the file stays.
func (w *world) restarted() {
	w.numbers = prometheus.NewRegistry()
	w.options.Metrics = refresh.NewMetrics(w.numbers)
	w.registry = nil
}

func (w *world) fetch(ctx context.Context) (tokenfile.Token, error) {
	w.mu.Lock()
	w.fetches++
	n, fetch := w.fetches, w.fetchIs
	w.mu.Unlock()
	return fetch(ctx, n)
}

func (w *world) probe(t tokenfile.Token) error {
	w.mu.Lock()
	probe := w.probeIs
	w.mu.Unlock()
	return probe(t)
}

// set changes what a fetch or a probe does while the registry runs.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

// run runs the registry until the test ends, or the returned function is
// called.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.made().Run(ctx)
	}()
	stop = func() {
		cancel()
		<-stopped
	}
	w.Cleanup(stop)
	return stop
}

// asleep waits until the registry sleeps, and has fetched n times.
func (w *world) asleep(n int) {
	w.Helper()
	synctest.Wait()
	if w.count() < n {
		w.Fatalf("%d fetches, want %d; log:\n%s", w.count(), n, w.log)
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// write puts a token into the file, as an earlier run has.
func (w *world) write(t tokenfile.Token, age time.Duration) tokenfile.Token {
	w.Helper()
	t.FetchedAt = time.Now().Add(-age)
	if err := tokenfile.Write(w.options.File, t); err != nil {
		w.Fatal(err)
	}
	return t
}

// content puts something else into the file.
func (w *world) content(text string) {
	w.Helper()
	if err := os.WriteFile(w.options.File, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// inFile checks which token is in the file.
func (w *world) inFile(want tokenfile.Token) {
	w.Helper()
	got, err := tokenfile.Read(w.options.File)
	if err != nil || !got.SameCredential(want) {
		w.Errorf("in the file: %+v, %v", got, err)
	}
}

// empty checks that there is no file.
func (w *world) empty() {
	w.Helper()
	if _, err := tokenfile.Read(w.options.File); !errors.Is(err, os.ErrNotExist) {
		w.Errorf("there is a file: %v", err)
	}
}

// metrics returns what Prometheus would read.
func (w *world) metrics() string {
	w.Helper()
	families, err := w.numbers.Gather()
	if err != nil {
		w.Fatal(err)
	}
	var b strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
			w.Fatal(err)
		}
	}
	return b.String()
}

func (w *world) metric(line string) {
	w.Helper()
	if !strings.Contains(w.metrics(), line+"\n") {
		w.Errorf("want %s in\n%s", line, w.metrics())
	}
}

// quiet checks that nothing that was written has a secret in it.
func (w *world) quiet(more ...string) {
	w.Helper()
	text := w.log.String() + w.metrics() + strings.Join(more, "\n")
	for _, secret := range []string{"hush", base64.StdEncoding.EncodeToString([]byte("AWS:hush-"))[:10]} {
		if strings.Contains(text, secret) {
			w.Errorf("%s is in\n%s", secret, text)
		}
	}
}

// detailed is an error with a part for the log alone.
type detailed struct{ text, detail string }

func (e detailed) Error() string  { return e.text }
func (e detailed) Detail() string { return e.detail }
