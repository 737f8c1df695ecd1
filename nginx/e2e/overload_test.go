package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// address is one of loopback's, from which a client can come.
func address(kind, i int) string { return fmt.Sprintf("127.%d.%d.%d", kind, i/250, 1+i%250) }

// client comes from an address of loopback.
func client(t *testing.T, from string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// by sends a GET on the client's own connection.
func by(ctx context.Context, c *http.Client, s *stack.Stack, uri, user, password string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+uri, nil)
	if err != nil {
		return answer{}, err
	}
	r.SetBasicAuth(user, password)
	response, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

// TestOverload: 2,000 connections, of slow clients, of strangers whose source is
// slow, and of customers whose registry is slow. Other customers are served all
// the time, authsvc's memory is bounded, and a minute later it is as before.
func TestOverload(t *testing.T) {
	s := start(t, stack.Options{Workers: 4, NoStream: true, Authsvc: map[string]any{"cache.ttl": "5s"}})
	push(t, s, "acme/appliance:1.0")
	push(t, s, "acme/slow:1.0")
	slow := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v2/acme/slow/") }
	known := make([]*http.Client, 20)
	pull := func(i int) {
		switch a, err := by(t.Context(), known[i], s, manifest, email, secret); {
		case err != nil:
			t.Errorf("customer %d: %v", i, err)
		case a.status != http.StatusOK:
			t.Errorf("customer %d: status %d: %s", i, a.status, a.body)
		}
	}
	for i := range known {
		known[i] = client(t, address(10, i))
		pull(i)
	}
	before := vitals(t, s)
	s.Vendor.TLS.Inject(standin.Fault{Delay: 2 * time.Second})
	s.ECR.Front.Inject(standin.Fault{Match: slow, Delay: 3 * time.Second})
	s.ECR.Endpoint.Inject(standin.Fault{Match: slow, Delay: 3 * time.Second})

	load, relieve := context.WithTimeout(t.Context(), 15*time.Second)
	defer relieve()
	var crowd sync.WaitGroup
	for range 800 {
		crowd.Go(func() { dawdle(load, s) })
	}
	for i := range 600 {
		stranger := request{uri: "/v2/", user: fmt.Sprint("stranger", i)}
		crowd.Go(func() { press(load, t, s, client(t, address(20, i)), stranger, 401, 429, 503) })
	}
	for i := range 400 {
		crowd.Go(func() {
			press(load, t, s, client(t, address(30, i)), request{uri: "/v2/acme/slow/manifests/1.0"}, 200, 503)
		})
	}
	for i := range 200 { // what authsvc has to ask the slow registry about itself
		unknown := request{uri: fmt.Sprintf("/v2/acme/slow/blobs/sha256:%064x", i)}
		crowd.Go(func() { press(load, t, s, client(t, address(40, i)), unknown, 404, 503) })
	}
	most := before
	for load.Err() == nil {
		for i := range known {
			pull(i)
		}
		most = most.max(vitals(t, s))
	}
	crowd.Wait()
	t.Logf("before %+v, at most %+v", before, most)
	if most.memory > before.memory+128<<20 {
		t.Errorf("authsvc's memory went from %d to %d MB", before.memory>>20, most.memory>>20)
	}
	if most.descriptors < before.descriptors+50 {
		t.Errorf("authsvc had %d descriptors at most: there was no load", most.descriptors)
	}
	s.Vendor.TLS.ClearFaults()
	s.ECR.Front.ClearFaults()
	s.ECR.Endpoint.ClearFaults()
	var after state
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if after = vitals(t, s); after.like(before) {
			t.Logf("after %v: %+v", 90*time.Second-time.Until(end), after)
			return
		}
	}
	t.Errorf("90 s after the load authsvc has %+v, before it %+v", after, before)
}

// dawdle sends a request, a byte a second, that never ends.
func dawdle(ctx context.Context, s *stack.Stack) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Host)
	if err != nil {
		return // it is one of many
	}
	defer conn.Close() //nolint:errcheck // nothing was promised
	for _, b := range []byte("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100)) {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// press asks the same again and again, a stranger with another password each
// time.
func press(ctx context.Context, t *testing.T, s *stack.Stack, c *http.Client, r request, statuses ...int) {
	user, password := email, secret
	for i := 0; ctx.Err() == nil; i++ {
		if r.user != "" {
			user, password = r.user, fmt.Sprint(r.user, "-guess-", i)
		}
		a, err := by(ctx, c, s, r.uri, user, password)
		switch {
		case ctx.Err() != nil: // it has left
		case err != nil:
			t.Errorf("%s%s: %v", r.user, r.uri, err)
		case !slices.Contains(statuses, a.status):
			t.Errorf("%s%s: status %d: %s", r.user, r.uri, a.status, a.body)
		}
	}
}

// A state is what authsvc uses.
type state struct{ goroutines, descriptors, memory int }

func vitals(t *testing.T, s *stack.Stack) state {
	t.Helper()
	metrics := fetch(t, s.AuthsvcURL()+"/metrics").body
	number := func(name string) int {
		line := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(metrics)
		if line == nil {
			t.Fatalf("no %s in the metrics", name)
		}
		n, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	return state{number("go_goroutines"), number("process_open_fds"), number("process_resident_memory_bytes")}
}

func (s state) max(o state) state {
	return state{max(s.goroutines, o.goroutines), max(s.descriptors, o.descriptors), max(s.memory, o.memory)}
}

// like says whether a state is as before, but for a few connections, and for
// memory that Go has not given back: it collects an idle heap every two minutes.
func (s state) like(before state) bool {
	return s.goroutines <= before.goroutines+10 && s.descriptors <= before.descriptors+10 && s.memory <= before.memory+128<<20
}

// TestMaxRequests: strangers who wait take half of listen.max_requests at most.
// Beyond that they get 503 with Retry-After at once, and known customers are
// served.
func TestMaxRequests(t *testing.T) {
	const places = 16
	s := start(t, stack.Options{Authsvc: map[string]any{"listen.max_requests": places}})
	push(t, s, "acme/appliance:1.0")
	if a := get(t, s, manifest); a.status != 200 {
		t.Fatalf("status %d", a.status)
	}
	s.Vendor.TLS.Inject(standin.Fault{Hang: true})
	asked := s.Vendor.TLS.Received()
	var strangers sync.WaitGroup
	answered := make(chan answer, places)
	ask := func(i int) (answer, error) {
		return by(t.Context(), client(t, address(20, i)), s, "/v2/", fmt.Sprint("stranger", i), fmt.Sprint("password", i))
	}
	for i := range places / 2 {
		strangers.Go(func() {
			a, err := ask(i)
			if err != nil {
				t.Error(err)
			}
			answered <- a
		})
	}
	waitFor(t, "the strangers' places to be taken", func() bool { return s.Vendor.TLS.Received() == asked+places/2 })
	if a, err := ask(places); err != nil || a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("one stranger too many: %v, %d %v", err, a.status, a.header)
	}
	for _, uri := range []string{manifest, "/v2/", tagsList} {
		if a := get(t, s, uri); a.status != 200 {
			t.Errorf("a known customer's %s: status %d", uri, a.status)
		}
	}
	if len(answered) > 0 {
		t.Errorf("%d of those who came first have been answered: nothing shows that the answer comes at once", len(answered))
	}
	s.Vendor.TLS.ClearFaults()
	strangers.Wait()
}
