package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A world is a vendor's API, a registry with its token, and room for the files of a
// program. The customer ann@example.com has the tokens r1ght and 0ther.
type world struct {
	t        *testing.T
	dir      string
	vendor   *httptest.Server
	down     atomic.Bool // the vendor's API
	asked    atomic.Int64
	registry *httptest.Server
	image    v1.Image
	key      string // of the registry
}

const vendorLicenses = `{"type":"object_list","api":"meta","page":1,"objects":[
	{"id":"lic_1","type":"license","active":true,"expiration":"2099-01-01T00:00:00Z","docker_releases":[{"repository":"acme/appliance","tags":["1.*"]}]},
	{"id":"lic_2","type":"license","active":true,"expiration":"2020-01-01T00:00:00Z","docker_releases":[{"repository":"acme/old","tags":["*"]}]},
	{"id":"lic_3","type":"license","active":false,"expiration":null,"docker_releases":[{"repository":"acme/ended","tags":["*"]}]}]}`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), key: base64.StdEncoding.EncodeToString([]byte("AWS:key"))}
	w.vendor = httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(w.vendor.Close)
	w.registry = httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(w.registry.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.registry.Certificate().Raw})
	if err := os.WriteFile(w.path("ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	w.giveToken()
	var err error
	if w.image, err = random.Image(64, 2); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"acme/appliance:1.4", "acme/appliance:2.0", "acme/old:1", "acme/tools:1.0"} {
		ref, err := name.ParseReference(w.registry.Listener.Addr().String() + "/" + tag)
		if err != nil {
			t.Fatal(err)
		}
		img := w.image
		if tag != "acme/appliance:1.4" {
			if img, err = random.Image(64, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := remote.Write(ref, img, remote.WithTransport(w.registry.Client().Transport)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// giveToken writes the registry's token. The certificate of httptest is for example.com.
func (w *world) giveToken() {
	w.t.Helper()
	token := tokenfile.Token{Host: "example.com", FetchedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Value: tokenfile.NewValue(w.key)}
	if err := tokenfile.Write(w.path("main.json"), token); err != nil {
		w.t.Fatal(err)
	}
}

// answer is the vendor's.
func (w *world) answer(out http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	out.Header().Set("Content-Type", "application/json")
	switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case w.down.Load():
		out.WriteHeader(http.StatusBadGateway)
	case token == "r1ght" || token == "0ther":
		_, _ = io.WriteString(out, vendorLicenses)
	default:
		out.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(out, `{"status_code":401,"error_code":"unauthorized","message":"no","id":"1"}`)
	}
}

// layer is the digest of a layer of 1.4.
func (w *world) layer() string {
	w.t.Helper()
	layers, err := w.image.Layers()
	if err != nil {
		w.t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return digest.String()
}

// write writes the program's configuration, with more lines.
func (w *world) write(more ...string) {
	w.t.Helper()
	text := fmt.Sprintf(`listen: {address: "unix:%[1]s/authsvc.sock"}
private: {address: "unix:%[1]s/private.sock"}
explain: {address: "unix:%[1]s/explain.sock"}
upstream: {token_file: %[1]s/main.json, refresh_socket: "", address: "%[2]s", ca_file: %[1]s/ca.pem}
`, w.dir, w.registry.Listener.Addr())
	if len(more) == 0 {
		more = []string{"kloudless: {url: " + w.vendor.URL + "}"}
	}
	if err := os.WriteFile(w.path("authsvc.yaml"), []byte(text+strings.Join(more, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// A running is the program while it runs.
type running struct {
	*world
	client, private *http.Client
	stopped         chan error
	end             context.CancelFunc
	once            sync.Once

	mu  sync.Mutex
	log bytes.Buffer
}

// start starts the program by its configuration, and waits until it serves.
func (w *world) start() *running {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{world: w, client: over(w.path("authsvc.sock")), private: over(w.path("private.sock")), stopped: make(chan error, 1), end: cancel}
	out, in := io.Pipe()
	go func() {
		err := run(ctx, []string{"--config", w.path("authsvc.yaml")}, nil, in, io.Discard)
		_ = in.CloseWithError(io.EOF)
		r.stopped <- err
	}()
	serving := make(chan bool, 1)
	go func() {
		defer close(serving)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.mu.Lock()
			r.log.WriteString(lines.Text() + "\n")
			r.mu.Unlock()
			if strings.Contains(lines.Text(), `"msg":"serving"`) {
				serving <- true
			}
		}
	}()
	w.t.Cleanup(r.stop)
	if !<-serving {
		w.t.Fatalf("it does not serve: %v", <-r.stopped)
	}
	r.eventually("the sockets are open", func() bool { return r.metrics() != "" })
	return r
}

func over(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

// stop stops it; a second time does nothing.
func (r *running) stop() {
	r.once.Do(func() {
		r.end()
		if err := <-r.stopped; err != nil {
			r.t.Errorf("it stopped with %v", err)
		}
	})
}

func (r *running) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// ask asks as nginx does, and returns the status for nginx; 0 if there is no answer.
func (r *running) ask(userPass, uri string) int {
	request, err := http.NewRequest(http.MethodGet, "http://authsvc/authorize", nil)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	user, pass, _ := strings.Cut(userPass, ":")
	request.SetBasicAuth(user, pass)
	request.Header.Set("X-Original-Method", "GET")
	request.Header.Set("X-Original-URI", uri)
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// varying are the metrics that change by themselves.
var varying = regexp.MustCompile(`(?m)^(# .*|(go|process|promhttp)_.*)\n`)

// metrics are the program's own; empty if it does not answer.
func (r *running) metrics() string {
	response, err := r.private.Get("http://authsvc/metrics")
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		r.t.Error(err)
	}
	return varying.ReplaceAllString(string(text), "")
}

// metric says whether the metrics have a line.
func (r *running) metric(line string) bool {
	return strings.Contains("\n"+r.metrics(), "\n"+line+"\n")
}

// eventually waits for a condition.
func (r *running) eventually(what string, condition func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatalf("after a minute, still not: %s\n%s", what, r.logged())
		}
	}
}
