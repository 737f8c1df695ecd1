package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// TestOneConnectionToAuthsvc: 1,000 sequential requests, allowed and refused, use
// one connection. (An answer with a body would cost a connection.)
func TestOneConnectionToAuthsvc(t *testing.T) {
	s := start(t, stack.Options{Interpose: true})
	push(t, s, "acme/appliance:1.0")
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	kinds := []struct {
		uri, password string
		status        int
	}{
		{"/v2/", secret, 200}, {manifest, secret, 200}, {manifest, "wrong", 401}, {"/v2/", "wrong", 401},
		{"/v2/other/x/manifests/1", secret, 404}, {"/v2/acme/appliance/x", secret, 404},
	}
	const requests = 1000
	for i := range requests {
		kind := kinds[i%len(kinds)]
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+kind.uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(email, kind.password)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(response)
		if err != nil || a.status != kind.status {
			t.Fatalf("%s: status %d, %v; want %d", kind.uri, a.status, err, kind.status)
		}
	}
	if got := s.Authsvc.Received(); got != requests {
		t.Errorf("authsvc received %d questions, want %d", got, requests)
	}
	// Zero if the connection from the stack's start is still in use.
	if got := s.Authsvc.Connections(); got > 1 {
		t.Errorf("%d connections to authsvc for %d requests, want 1", got, requests)
	}
}

// TestConnectionsToTheRegistry: connections are reused.
func TestConnectionsToTheRegistry(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	for range 100 {
		if a := get(t, s, manifest); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
	}
	if got := s.ECR.Front.Connections(); got > 1 {
		t.Errorf("%d connections to the registry for %d requests, want 1", got, s.ECR.Front.Received())
	}
}

// TestAddressesAreResolvedAgain: ECR's addresses change while nginx runs.
func TestAddressesAreResolvedAgain(t *testing.T) {
	for name, noStream := range map[string]bool{"stream": false, "variable": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, stack.Options{NoStream: noStream})
			push(t, s, "acme/appliance:1.0")
			if a := get(t, s, manifest); a.status != 200 {
				t.Fatalf("status %d, want 200", a.status)
			}
			// Another loopback address, where the same registry answers.
			moved := forward(t, "127.0.0.9", s.ECR.Front.Addr())
			if err := s.DNS.Set(s.ECR.Name(), 0, "127.0.0.9"); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the registry's new address", func() bool {
				// A kept connection stays with its address.
				if err := s.ReloadNginx(t.Context()); err != nil {
					t.Fatal(err)
				}
				if a := get(t, s, manifest); a.status != 200 {
					t.Fatalf("status %d, want 200", a.status)
				}
				return moved.Load()
			})
		})
	}
}

// forward accepts connections on ip with the port of to, and passes them on. It
// reports whether one came.
func forward(t *testing.T, ip, to string) *atomic.Bool {
	t.Helper()
	_, port, err := net.SplitHostPort(to)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(ip, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var came atomic.Bool
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			came.Store(true)
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return &came
}

func pass(from, to net.Conn) {
	_, _ = io.Copy(to, from) // either end may close
	_ = to.Close()
}
