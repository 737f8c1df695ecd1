package ecr_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

const (
	password   = "only the front knows"
	repository = "acme/appliance"
)

// world is the stand-in in front of an in-memory registry with one image,
// acme/appliance:1.0.
type world struct {
	*ecr.Server
	client  *http.Client
	backend *httptest.Server
	image   v1.Image

	mu    sync.Mutex
	clock time.Time
}

func newWorld(t *testing.T, opts ecr.Options) *world {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	w := &world{clock: time.Now()}
	w.backend = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); r.Method != http.MethodGet && r.Method != http.MethodHead || user == "AWS" && pass == password {
			images.ServeHTTP(rw, r)
			return
		}
		// ggcr pings without a credential when it pushes.
		if r.URL.Path == "/v2/" {
			return
		}
		rw.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(w.backend.Close)
	base, err := url.Parse(w.backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.push(t, "1.0")
	ts := httptest.NewUnstartedServer(nil) // its certificate is for example.com and 127.0.0.1
	ts.StartTLS()
	t.Cleanup(ts.Close)
	opts.Backend = ecr.Backend{URL: base, User: "AWS", Password: password}
	opts.Certificate = ts.TLS.Certificates[0]
	opts.Now = w.now
	if w.Server, err = ecr.Start(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w.client = &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: w.Name()}, //nolint:gosec // the certificate is another host's
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) push(t *testing.T, tags ...string) {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.image = img
	for i, tag := range tags {
		ref, err := name.NewTag(strings.TrimPrefix(w.backend.URL, "http://")+"/"+repository+":"+tag, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = remote.Write(ref, img, remote.WithContext(t.Context()))
		} else {
			err = remote.Tag(ref, img, remote.WithContext(t.Context()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// reply is a response after its body was read.
type reply struct {
	status int
	header http.Header
	body   string
}

// front sends a request to the registry by its name, with a token (or another
// Authorization) if not empty.
func (w *world) front(t *testing.T, method, path, authorization string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.Front.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = w.Host()
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return w.do(t, req)
}

func (w *world) do(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func (w *world) authorization() string {
	token, _ := w.IssueToken()
	return "Basic " + token
}

// layer is the digest and size of the image's only layer.
func (w *world) layer(t *testing.T) (digest string, size int64) {
	t.Helper()
	layers, err := w.image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if size, err = layers[0].Size(); err != nil {
		t.Fatal(err)
	}
	return hash.String(), size
}
