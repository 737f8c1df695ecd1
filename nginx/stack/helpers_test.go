package stack_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

const (
	email = "ann@acme.example"
	token = "anns-token"
)

// start starts a stack, and checks at the end that nothing is left of it.
func start(t *testing.T, opts stack.Options) *stack.Stack {
	t.Helper()
	before := goroutines()
	s, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir := s.Dir
		if t.Failed() {
			for _, name := range []string{"nginx-error", "authsvc", "tokenrefresher"} {
				t.Logf("%s:\n%s", name, s.Log(name))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, dir)
		wantGoroutines(t, before)
	})
	s.Vendor.SetAccount(token, vendorapi.Account{Email: email, Licenses: []vendorapi.License{
		{ID: "lic_1", Releases: []vendorapi.Release{{Repository: "acme/*", Tags: []string{"*"}}}},
	}})
	return s
}

func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if found := processesIn(t, dir); len(found) > 0 {
		t.Errorf("still running: %q", found)
	}
}

// push pushes an image as acme/appliance:1.0.
func push(t *testing.T, s *stack.Stack) (v1.Image, string) {
	t.Helper()
	const ref = "acme/appliance:1.0"
	img, err := stack.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Push(t.Context(), ref, img)
	if err != nil {
		t.Fatal(err)
	}
	return img, digest
}

// pull pulls through nginx and checks every layer.
func pull(t *testing.T, s *stack.Stack, ref string) string {
	t.Helper()
	parsed, err := name.ParseReference(s.Host+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	img, err := remote.Image(parsed, remote.WithContext(t.Context()), remote.WithTransport(transport),
		remote.WithAuth(&authn.Basic{Username: email, Password: token}))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		if err := validate.Layer(layer); err != nil {
			t.Fatal(err)
		}
	}
	return digest(t, img).String()
}

// status requests the API's root from nginx with a credential.
func status(t *testing.T, s *stack.Stack, base string) int {
	t.Helper()
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(email, token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
