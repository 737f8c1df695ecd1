package probe_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/probe"
)

const (
	user, token = "probe@vendor.com", "pr0be-token"
	layer       = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	imageJSON   = `{"config":{"digest":"` + layer + `"},"layers":[{"size":1048576,"digest":"` + layer + `"}]}`
)

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A front is an nginx with a registry behind it, and the registry's storage.
type front struct {
	*httptest.Server
	storage *httptest.Server
	// answers are the answers by path, in place of the usual ones.
	answers map[string]http.HandlerFunc
	// leaked is set if the storage saw a credential.
	leaked bool
}

// newFront makes one, and the configuration that pulls from it.
func newFront(t *testing.T, answers map[string]http.HandlerFunc) (*front, probe.Config) {
	t.Helper()
	f := &front{answers: answers}
	f.storage = httptest.NewServer(http.HandlerFunc(f.store))
	t.Cleanup(f.storage.Close)
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.answer))
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates
	f.StartTLS()
	t.Cleanup(f.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, probe.Config{URL: "https://example.com", Address: f.Listener.Addr().String(), CAFile: ca, Image: "vendor/probe:1", Timeout: time.Minute}
}

func (f *front) answer(w http.ResponseWriter, r *http.Request) {
	u, p, _ := r.BasicAuth()
	answer := f.answers[r.URL.Path]
	switch {
	case answer != nil:
		answer(w, r)
	case u != user || p != token:
		refuse(http.StatusUnauthorized, "UNAUTHORIZED", "the e-mail or the API token is wrong")(w, r)
	case r.URL.Path == "/v2/":
	case r.URL.Path == "/v2/vendor/probe/manifests/1":
		write(imageJSON)(w, r)
	case r.URL.Path == "/v2/vendor/probe/blobs/"+layer:
		http.Redirect(w, r, f.storage.URL+"/blob?signature=secret", http.StatusTemporaryRedirect)
	default:
		refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no such image (request 5f3a9c01)")(w, r)
	}
}

func (f *front) store(w http.ResponseWriter, r *http.Request) {
	f.leaked = f.leaked || r.Header.Get("Authorization") != ""
	if answer := f.answers["storage"]; answer != nil {
		answer(w, r)
		return
	}
	newStorage(w, r)
}

func refuse(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
	}
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// withDigest writes a manifest, and says that it has a digest.
func withDigest(text, digest string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest)
		_, _ = io.WriteString(w, text)
	}
}

func redirect(target string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// cut writes less than it has announced.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1048576")
	_, _ = io.WriteString(w, "{")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// nothing sends an empty body, and does not say so before.
func nothing(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }

// storageError is S3's, with what opens the blob in it.
func storageError(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	_, _ = fmt.Fprintf(w, "<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Token-0>secret</Token-0><Resource>%s</Resource></Error>", r.URL)
}

// echo repeats the URL, as many servers do.
func echo(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "Cannot GET "+r.URL.String(), http.StatusNotFound)
}

// newStorage has a blob of the size in the manifest.
func newStorage(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "blob", time.Time{}, bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20)))
}

func account(token string) credential.Credential {
	return credential.Credential{User: user, Secret: credential.NewSecret(token)}
}

func TestPull(t *testing.T) {
	const tag, blob = "/v2/vendor/probe/manifests/1", "/v2/vendor/probe/blobs/" + layer
	index := `{"manifests":[{"digest":"` + digestOf(imageJSON) + `"}]}`
	nested := `{"manifests":[{"digest":"` + digestOf("again") + `"}]}`
	type answers = map[string]http.HandlerFunc
	tests := []struct {
		name    string
		answers answers
		change  func(*probe.Config)
		token   string
		failed  probe.Step
		// want is in the error, and next in what to do.
		want, next string
	}{
		{name: "all is well"},
		{name: "an index", answers: answers{tag: withDigest(index, digestOf(index)), "/v2/vendor/probe/manifests/" + digestOf(imageJSON): write(imageJSON)}},
		{name: "no redirect", answers: answers{blob: newStorage}},
		{name: "nobody listens", change: func(c *probe.Config) { c.Address = "127.0.0.1:1" }, failed: probe.Connect, want: "connection refused", next: "systemctl status nginx"},
		{name: "a certificate for another name", change: func(c *probe.Config) { c.URL = "https://docker.vendor.test" }, failed: probe.Connect, want: "not docker.vendor.test", next: "certificate"},
		{name: "a certificate that nobody signed", change: func(c *probe.Config) { c.CAFile = "" }, failed: probe.Connect, want: "unknown authority", next: "certificate"},
		{name: "a wrong token", token: "wrong", failed: probe.Ping, want: "found 401: UNAUTHORIZED: the e-mail or the API token is wrong", next: "probe.credential_file"},
		{name: "authsvc is down", answers: answers{"/v2/": refuse(503, "UNAVAILABLE", "try again")}, failed: probe.Ping, want: "expected status 200, found 503: UNAVAILABLE: try again", next: "/_registry/health"},
		{name: "another server", answers: answers{"/v2/": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }}, failed: probe.Ping, want: "found 404: 404 page not found", next: "another server answered"},
		{name: "a server that refuses this address", answers: answers{"/v2/": refuse(403, "DENIED", "no")}, failed: probe.Ping, want: "found 403", next: "refuses this machine's address"},
		{name: "too often", answers: answers{tag: refuse(429, "TOOMANYREQUESTS", "slow down")}, failed: probe.Manifest, want: "found 429", next: "rate limit"},
		{name: "no license", change: func(c *probe.Config) { c.Image = "vendor/other:2" }, failed: probe.Manifest, want: "there is no such image (request 5f3a9c01)", next: "authsvc explain --user probe@vendor.com vendor/other:2"},
		{name: "nginx's resolver", answers: answers{tag: refuse(503, "UNAVAILABLE", "try again")}, failed: probe.Manifest, want: "found 503", next: "nginx's error log"},
		{name: "another manifest", answers: answers{tag: withDigest(imageJSON, layer)}, failed: probe.Manifest, want: "expected the manifest " + layer},
		{name: "another image than the index's", answers: answers{tag: write(index), "/v2/vendor/probe/manifests/" + digestOf(imageJSON): write("{}")}, failed: probe.Manifest, want: "found bytes with the digest " + digestOf("{}")},
		{name: "a page for a manifest", answers: answers{tag: write("<html>")}, failed: probe.Manifest, want: "found no JSON"},
		{name: "half a manifest", answers: answers{tag: cut}, failed: probe.Manifest, want: "broke off"},
		{name: "an endless manifest", answers: answers{tag: write(strings.Repeat(" ", 5<<20))}, failed: probe.Manifest, want: "at most 4194304 bytes"},
		{name: "an index without end", answers: answers{tag: write(nested), "/v2/vendor/probe/manifests/" + digestOf("again"): write("again")}, failed: probe.Manifest, want: "found no JSON"},
		{name: "a blob that is gone", answers: answers{blob: refuse(404, "BLOB_UNKNOWN", "no such blob")}, failed: probe.Blob, want: "BLOB_UNKNOWN"},
		{name: "an empty blob", answers: answers{blob: nothing}, failed: probe.Blob, want: "found no byte"},
		{name: "a redirect to nowhere", answers: answers{blob: redirect("mailto:x")}, failed: probe.Blob, want: "no URL"},
		{name: "a redirect to a control character", answers: answers{blob: redirect("http://[::1")}, failed: probe.Blob, want: "no URL"},
		{name: "the storage refuses", answers: answers{"storage": refuse(403, "x", "expired")}, failed: probe.Storage, want: "expected status 206, found 403", next: "network from here"},
		{name: "the storage says why", answers: answers{"storage": storageError}, failed: probe.Storage, want: "found 403: ExpiredToken"},
		{name: "the storage echoes", answers: answers{"storage": echo}, failed: probe.Storage, want: "expected status 206, found 404"},
		{name: "the storage has something else", answers: answers{"storage": write("<html>a page of the network</html>")}, failed: probe.Storage, want: "expected a blob of 1048576 bytes, found one of 34"},
		{name: "the storage redirects", answers: answers{"storage": redirect("/elsewhere")}, failed: probe.Storage, want: "found 307"},
		{name: "the storage is cut", answers: answers{"storage": cut}, failed: probe.Storage, want: "broke off after 1 bytes"},
		{name: "the storage is gone", answers: answers{blob: redirect("http://127.0.0.1:1/blob?signature=secret")}, failed: probe.Storage, want: "connection refused", next: "network from here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, c := newFront(t, test.answers)
			if test.change != nil {
				test.change(&c)
			}
			presented := token
			if test.token != "" {
				presented = test.token
			}
			result, told := pull(t, c, presented)
			last := told[len(told)-1]
			if found := fmt.Sprint(last.Err); result.Failed != test.failed || !strings.Contains(found, test.want) || (last.Err == nil) != (test.failed == "") {
				t.Fatalf("failed at %q with %q, want %q with %q", result.Failed, found, test.failed, test.want)
			}
			if !strings.Contains(last.Next, test.next) || (last.Next == "") != (test.failed == "") {
				t.Errorf("next %q, want %q", last.Next, test.next)
			}
			if f.leaked {
				t.Error("the storage saw the credential")
			}
			if text := fmt.Sprint(told, result); strings.Contains(text, presented) && test.token == "" || strings.Contains(text, "secret") {
				t.Errorf("a secret is told: %s", text)
			}
		})
	}
}

// pull makes up a pull.
func pull(t *testing.T, c probe.Config, token string) (probe.Result, []probe.Finding) {
	t.Helper()
	var told []probe.Finding
	result, err := probe.Pull(t.Context(), c, account(token), func(f probe.Finding) { told = append(told, f) })
	if err != nil {
		t.Fatal(err)
	}
	return result, told
}

// TestPullEnds: a step that hangs ends with its timeout.
func TestPullEnds(t *testing.T) {
	_, c := newFront(t, map[string]http.HandlerFunc{"/v2/": func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // or it would answer 200 in the moment in which the client gives up
	}})
	c.Timeout = 200 * time.Millisecond
	if result, told := pull(t, c, token); result.Failed != probe.Ping || !errors.Is(told[len(told)-1].Err, context.DeadlineExceeded) {
		t.Errorf("failed at %q with %v", result.Failed, told)
	}
}

// TestPullIsCanceled: a pull that systemd stops says nothing about nginx.
func TestPullIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, c := newFront(t, map[string]http.HandlerFunc{"/v2/": func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }})
	result, err := probe.Pull(ctx, c, account(token), func(f probe.Finding) {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Step, f.Err)
		}
	})
	if !errors.Is(err, context.Canceled) || result != (probe.Result{}) {
		t.Errorf("%v, %v", result, err)
	}
}

func TestValidImage(t *testing.T) {
	for image, want := range map[string]bool{
		"vendor/probe:1": true, "probe": true, "vendor/probe@" + layer: true,
		"": false, "/v2/": false, "/v2/vendor/probe/tags/list": false, "/v2/_catalog": false, "Vendor/Probe:1": false, "vendor/../probe:1": false,
	} {
		if got := probe.ValidImage(image); got != want {
			t.Errorf("%q: %t", image, got)
		}
	}
}
