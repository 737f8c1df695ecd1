package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/config"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/program"
)

// reload reloads, and waits until the log has one more line that says how it ended.
func (r *running) reload(how string) {
	r.t.Helper()
	line := `"msg":"` + how
	before := strings.Count(r.logged(), line)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("the log says "+how, func() bool { return strings.Count(r.logged(), line) > before })
}

// ready is the body of /readyz.
func (r *running) ready() string {
	r.t.Helper()
	response, err := r.private.Get("http://authsvc/readyz")
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

const (
	reloaded = "reloaded"
	refused  = "reload refused"
)

// TestReload: a changed configuration is in force without a restart; what is cached
// stays; a bad one is refused, and that shows.
func TestReload(t *testing.T) {
	w := newWorld(t)
	vendor := "kloudless: {url: " + w.vendor.URL + "}"
	w.write(vendor)
	r := w.start()
	r.ask("ann@example.com:r1ght", "/v2/acme/appliance/blobs/"+w.layer())
	r.ask("ann@example.com:wr0ng", "/v2/")
	asked := w.asked.Load()

	w.write(vendor, "messages: {renew: renew at the shop}", "guard: {look_ups: 9}", "cache: {max_entries: 7}", "release: {tag_ttl: 1h}")
	r.reload(reloaded)
	if out, _ := w.support("r1ght", "explain", "--user", "ann@example.com", "acme/old:1"); !strings.Contains(out, "expired on 2020-01-01; renew at the shop") || !strings.Contains(out, "cached") {
		t.Errorf("after a reload:\n%s", out)
	}
	for _, line := range []string{`authsvc_cache_max_entries{kind="accepted",source="kloudless"} 7`, `authsvc_cache_entries{kind="accepted",source="kloudless"} 1`,
		`authsvc_cache_entries{kind="refused",source="kloudless"} 1`, `authsvc_guard_max_lookups_in_flight{source="kloudless"} 9`,
		"authsvc_config_reload_failed 0", "authsvc_config_restart_needed 0"} {
		if !r.metric(line) {
			t.Errorf("expected the metric %s, found\n%s", line, r.metrics())
		}
	}
	if r.ask("ann@example.com:r1ght", "/v2/acme/appliance/blobs/"+w.layer()) != 200 || w.asked.Load() != asked {
		t.Error("the cache is lost")
	}

	w.write(vendor, "messages: {renew: 7}", "log: {level: loud}")
	r.reload(refused)
	if !r.metric("authsvc_config_reload_failed 1") || !strings.Contains(r.ready(), "degraded: the changed configuration was refused") || !strings.Contains(r.logged(), "log.level: expected debug") {
		t.Errorf("of a refused reload, /readyz says %q, the log\n%s", r.ready(), r.logged())
	}
	w.write("kloudless: {url: " + w.vendor.URL + ", ca_file: " + w.path("none.pem") + "}")
	r.reload(refused)
	if out, _ := w.support("r1ght", "explain", "--user", "ann@example.com", "acme/old:1"); !strings.Contains(out, "renew at the shop") {
		t.Errorf("the configuration before is not in force:\n%s", out)
	}

	w.write(vendor, "realm: other")
	r.reload(reloaded)
	if !r.metric("authsvc_config_reload_failed 0") || !r.metric("authsvc_config_restart_needed 1") || !strings.Contains(r.logged(), `"msg":"realm changed: restart authsvc"`) || strings.Contains(r.ready(), "degraded") {
		t.Errorf("after a change that takes a restart, /readyz says %q, the log\n%s", r.ready(), r.logged())
	}
	w.write(vendor)
	r.reload(reloaded)
	if !r.metric("authsvc_config_restart_needed 0") || w.asked.Load() != asked {
		t.Error("a restart is still needed, or the cache is lost")
	}
}

// TestReloadWithABiggerCacheKeepsTheOldMemoryLimit: with it, the collector would run
// all the time once the cache is full.
func TestReloadWithABiggerCacheKeepsTheOldMemoryLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	w := newWorld(t)
	w.write()
	r := w.start()
	before := debug.SetMemoryLimit(-1)
	w.write("kloudless: {url: "+w.vendor.URL+"}", "cache: {max_entries: 110000}")
	r.reload(reloaded)
	if more := debug.SetMemoryLimit(-1) - before; more != 100_000*8<<10 {
		t.Errorf("the limit has grown by %d bytes for 100,000 more entries", more)
	}
}

// TestReloadReplacesSource: what another source has decided does not count, and a
// request under way ends with the one that it began with.
func TestReloadReplacesSource(t *testing.T) {
	w := newWorld(t)
	arrived, release := make(chan bool, 1), make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "0ther") {
			arrived <- true
			<-release
		}
		w.answer(out, r)
	}))
	defer slow.Close()
	none := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer nobody's")
		w.answer(out, r)
	}))
	defer none.Close()
	w.write("kloudless: {url: " + slow.URL + ", timeout: 1m}")
	r := w.start()
	if status := r.ask("ann@example.com:r1ght", "/v2/"); status != 200 {
		t.Fatalf("status %d", status)
	}
	answer := make(chan int)
	go func() { answer <- r.ask("ann@example.com:0ther", "/v2/") }()
	<-arrived
	w.write("kloudless: {url: " + none.URL + "}")
	r.reload(reloaded)
	if status := r.ask("ann@example.com:r1ght", "/v2/"); status != 401 {
		t.Errorf("status %d for a customer whom the new source does not know", status)
	}
	close(release)
	if status := <-answer; status != 200 {
		t.Errorf("status %d for the request under way", status)
	}
	w.write("sources: [{name: a, kind: kloudless, url: " + w.vendor.URL + "}, {name: b, kind: kloudless, url: " + none.URL + "}]")
	r.reload(reloaded)
	if status := r.ask("ann@example.com:r1ght", "/v2/"); status != 200 {
		t.Errorf("status %d with two sources", status)
	}
	if metrics := r.metrics(); !strings.Contains(metrics, `authsvc_cache_entries{kind="accepted",source="a"} 1`) || strings.Contains(metrics, `authsvc_cache_entries{kind="accepted",source="kloudless"}`) {
		t.Errorf("metrics of two sources:\n%s", metrics)
	}
}

// TestReloadUnderLoad loses no request, whatever changes.
func TestReloadUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.write()
	r := w.start()
	var stop atomic.Bool
	var asked atomic.Int64
	var workers sync.WaitGroup
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	for i := range 8 {
		workers.Go(func() {
			for !stop.Load() {
				if status := r.ask("ann@example.com:"+[]string{"r1ght", "0ther"}[i%2], blob); status != 200 {
					t.Errorf("status %d", status)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 12 {
		vendor := fmt.Sprintf("kloudless: {url: %s, timeout: %ds}", w.vendor.URL, 5+i/2%2) // another source every second time
		w.write(vendor, fmt.Sprintf("cache: {ttl: %ds, max_entries: %d}", 30+i, 10+i), fmt.Sprintf("guard: {failures: %d}", 30+i),
			fmt.Sprintf("release: {tag_ttl: %ds, timeout: 30s}", 30+i/3), fmt.Sprintf("messages: {renew: %d times}", i))
		r.reload(reloaded)
		w.support("r1ght", "explain", "--user", "ann@example.com", "acme/appliance:1.4")
		for seen := asked.Load(); asked.Load() < seen+8 && !t.Failed(); time.Sleep(time.Millisecond) {
			r.metrics()
		}
	}
	stop.Store(true)
	workers.Wait()
	t.Logf("%d requests, %d questions to the vendor", asked.Load(), w.asked.Load())
}

// versionSettings are a source's that says when its context ends.
type versionSettings struct {
	Version int
	ended   chan int
	enter   chan int
	answer  chan bool
}

func (s versionSettings) New(ctx context.Context, _ auth.Environment) (auth.Made, error) {
	context.AfterFunc(ctx, func() { s.ended <- s.Version })
	return auth.Made{Source: s, Licensed: true}, nil
}

func (versionSettings) Bearer() bool { return true }

func (s versionSettings) Authenticate(context.Context, credential.Credential) (auth.Decision, error) {
	s.enter <- s.Version
	<-s.answer
	return auth.Decision{Subject: "a"}, nil
}

// TestReplacedSourceEnds with its last request, and after all sources before it; one
// that has not changed does not end.
func TestReplacedSourceEnds(t *testing.T) {
	c, err := config.Load("", []string{"AUTHSVC_KLOUDLESS_URL=https://api.example/"}, pflag.NewFlagSet("", pflag.ContinueOnError))
	if err != nil {
		t.Fatal(err)
	}
	ended, enter, answer := make(chan int, 9), make(chan int), make(chan bool)
	with := func(version int) config.Config {
		c.Sources = []config.Source{{Name: "a", Settings: versionSettings{version, ended, enter, answer}}, {Name: "kept", Settings: versionSettings{99, ended, enter, answer}}}
		return c
	}
	logger, numbers := slog.New(slog.DiscardHandler), program.NewMetrics("authsvc")
	metrics := server.NewMetrics(numbers)
	l, err := newLive(builder{maker{t.Context(), credential.NewKey(nil), logger, metrics}, newTokenFiles(t.Context(), logger), numbers}, with(1), nil, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	take := func(version int) {
		t.Helper()
		if _, err := l.take(with(version)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan decision.Outcome, 1)
	go func() {
		done <- l.Forward(t.Context(), decision.Question{Method: "GET", URI: "/v2/", Authorization: []string{"Basic YTpi"}}, nil)
	}()
	if version := <-enter; version != 1 {
		t.Fatalf("version %d was asked", version)
	}
	take(2) // 1 is in use
	take(3) // 2 is not, but came after it
	select {
	case version := <-ended:
		t.Fatalf("version %d has ended before the request", version)
	case <-time.After(100 * time.Millisecond):
	}
	answer <- true
	if o := <-done; !o.Allowed() {
		t.Errorf("the request under way ended with %s", o.Reason())
	}
	if versions := (<-ended) + (<-ended); versions != 1+2 { // each in a goroutine of its own
		t.Errorf("the versions that have ended add up to %d", versions)
	}
	take(3) // nothing has changed
	<-l.gone
	select {
	case version := <-ended:
		t.Errorf("version %d has ended, which is in force", version)
	default:
	}
}

// TestManySourcesLiftTheBoundOnStrangers: their shares of few places were rounded down
// to zero, which is no bound.
func TestManySourcesLiftTheBoundOnStrangers(t *testing.T) {
	c, err := config.Load("", []string{"AUTHSVC_KLOUDLESS_URL=https://api.example/"}, pflag.NewFlagSet("", pflag.ContinueOnError))
	if err != nil {
		t.Fatal(err)
	}
	ended, enter, answer := make(chan int, 9), make(chan int, 9), make(chan bool)
	defer close(answer)
	for i := range 16 {
		c.Sources = append(c.Sources[:i], config.Source{Name: fmt.Sprint(i), Settings: versionSettings{i, ended, enter, answer}})
	}
	c.Cache.MaxStrangers = 8 // of 16 requests
	logger, numbers := slog.New(slog.DiscardHandler), program.NewMetrics("authsvc")
	all, err := maker{t.Context(), credential.NewKey(nil), logger, server.NewMetrics(numbers)}.make(c, nil)
	if err == nil {
		err = all.apply(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	ask := func(secret string) error {
		_, err := all.Authenticate(t.Context(), auth.Caller{Credential: credential.Credential{User: "a", Secret: credential.NewSecret(secret)}})
		return err
	}
	go func() { _ = ask("1") }()
	<-enter
	second := make(chan error, 1)
	go func() { second <- ask("2") }()
	select {
	case <-enter:
		t.Error("a second stranger waits for the source")
	case err := <-second:
		if err == nil {
			t.Error("expected an outage")
		}
	}
}
