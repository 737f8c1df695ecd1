package monitoring_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/stacktest"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// A world is the running system, and a Prometheus that watches it.
type world struct {
	t      *testing.T
	stack  *stack.Stack
	prom   *prometheus
	client *http.Client
	guess  int      // the last guessed password
	others int      // customers besides ann
	known  []string // the passwords of cached customers
	result string   // the file with the last made-up pull
	seen   map[string]bool
	store  *store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	tool(t, "prometheus") // fail before anything else starts
	dir := t.TempDir()
	account, result := filepath.Join(dir, "account"), filepath.Join(dir, "result.json")
	if err := os.WriteFile(account, []byte(probeAccount), 0o600); err != nil {
		t.Fatal(err)
	}
	s := stacktest.Start(t, stack.Options{
		Upstreams: registries,
		Authsvc: map[string]any{
			"probe.url": "https://docker.vendor.example", "probe.image": "acme/appliance:1.0", "probe.credential_file": account, "probe.result_file": result,
			// One license per page: each list ends with a 404, which is not a failure.
			"kloudless.page_size": 1,
			"cache.ttl":           "1s",
			"cache.refusal_ttl":   "1m",
			"release.tag_ttl":     "1s",
			"release.max_digests": 1000,
			"cache.max_entries":   maxEntries,
			// What is done at this address is what alerts are not about. Whoever
			// guesses comes from elsewhere, where one customer makes an office.
			"guard.uncounted":        "127.0.0.1/32",
			"guard.failures":         3,
			"guard.shared_customers": 1,
		},
		Tokenrefresher: map[string]any{"control.min_interval": "0s"},
	})
	s.Vendor.SetAccount(secret, vendorapi.Account{Email: email, Licenses: []vendorapi.License{appliance,
		{ID: "lic_3", Releases: []vendorapi.Release{{Repository: "vendor/app", Tags: []string{"1.*"}}}},
		{ID: "lic_2", Releases: []vendorapi.Release{{Repository: "acme/ended", Tags: []string{"*"}}}, Expiration: time.Now().Add(-time.Hour)},
	}})
	probeUser, probeToken, _ := strings.Cut(probeAccount, ":")
	s.Vendor.SetAccount(probeToken, vendorapi.Account{Email: probeUser, Licenses: []vendorapi.License{appliance}})
	image, err := stack.Image("appliance")
	if err != nil {
		t.Fatal(err)
	}
	stored := newStore(t, s.Program("authsvc"))
	w := &world{
		t: t, stack: s, seen: map[string]bool{}, result: result, store: stored,
		prom: startPrometheus(t, map[string]string{
			"authsvc": s.AuthsvcURL(), "tokenrefresher": s.TokenrefresherURL(), "authsvc-content": stored.private,
		}),
		client: newClient("127.0.0.1"),
	}
	w.push("acme/appliance:1.0", image)
	for _, registry := range []string{"eu", "us"} {
		for _, ref := range []string{"vendor/app:1.0", "vendor/app:1.1"} {
			if _, err := s.Upstreams[registry].Push(t.Context(), ref, image); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// newClient makes a client that comes from an address of this machine.
func newClient(address string) *http.Client {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{
		Timeout: limit, Transport: &http.Transport{DialContext: from.DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *world) push(ref string, image v1.Image) {
	w.t.Helper()
	if _, err := w.stack.Push(w.t.Context(), ref, image); err != nil {
		w.t.Fatal(err)
	}
}

// ask sends a request with a password, or without a credential if it is empty,
// and returns the status.
func (w *world) ask(uri, password string) int {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.stack.URL+uri, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if password != "" {
		request.SetBasicAuth(email, password)
	}
	response, err := w.client.Do(request)
	if err != nil {
		w.t.Error(err)
		return 0
	}
	if err := response.Body.Close(); err != nil {
		w.t.Error(err)
	}
	return response.StatusCode
}

// probe makes up a pull, and says whether it succeeds.
func (w *world) probe() bool {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.stack.Program("authsvc"), "probe", "--record", "--config", filepath.Join(w.stack.Dir, "authsvc.yaml"), "--probe.url", w.stack.URL)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || err != nil && !strings.HasPrefix(string(out), "FAILED") {
		w.t.Fatalf("authsvc probe: %v\n%s", err, out)
	}
	return err == nil
}

func (w *world) want(uri, password string, status int) {
	w.t.Helper()
	if got := w.ask(uri, password); got != status {
		w.t.Errorf("%s: status %d, want %d", uri, got, status)
	}
}

// another returns a password that was not guessed before.
func (w *world) another() string {
	w.guess++
	return fmt.Sprintf("guess-%d", w.guess)
}

// customer returns the password of a customer who has not pulled before.
func (w *world) customer() string {
	w.others++
	token := fmt.Sprintf("customer-%d", w.others)
	w.stack.Vendor.SetAccount(token, vendorapi.Account{Email: email, Licenses: []vendorapi.License{appliance}})
	return token
}

// digest returns a digest that does not exist.
func (w *world) digest() string {
	w.guess++
	return fmt.Sprintf("%064x", w.guess)
}

// atOnce sends n requests in parallel and waits for the answers.
func (w *world) atOnce(n int, uri string, password func() string) {
	w.t.Helper()
	var all sync.WaitGroup
	for range n {
		p := password()
		all.Go(func() { w.ask(uri, p) })
	}
	all.Wait()
}

// until disturbs the system until all of the alerts are active. None may be active
// before.
func (w *world) until(disturb func(), alerts ...string) {
	w.t.Helper()
	for _, name := range alerts {
		if w.seen[name] = true; w.active(name) {
			w.t.Errorf("%s is active before what should make it so", name)
		}
	}
	waitFor(w.t, func() string {
		disturb()
		return strings.Join(slices.DeleteFunc(slices.Clone(alerts), w.active), ", ")
	})
}

// active reports whether an alert is pending or firing.
func (w *world) active(name string) bool {
	w.t.Helper()
	for _, a := range w.prom.alerts() {
		if a.Labels["alertname"] != name {
			continue
		}
		for annotation, text := range a.Annotations {
			if strings.Contains(text, "<") {
				w.t.Errorf("%s: %s could not be filled in: %s", name, annotation, text)
			}
		}
		return true
	}
	return false
}

// customers produces everyday traffic: each outcome that is not an outage.
func (w *world) customers() {
	w.t.Helper()
	w.want(licensed, secret, 200)
	w.want(replicated, secret, 200)
	w.want(licensed, "", 401)
	w.want(licensed, "wrong", 401)
	w.want(licensed, "wrong", 401)
	w.want(ended, secret, 403)
	w.want(unlicensed, secret, 404)
	w.want(elsewhere, secret, 404)
	w.want(blobs+w.digest(), secret, 404)
}
