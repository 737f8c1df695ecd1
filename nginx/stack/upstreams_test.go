package stack_test

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// several are two regions of ECR, of which the second stands by, another account,
// and a registry that is not ECR.
func several() []stack.UpstreamOptions {
	return []stack.UpstreamOptions{
		{Name: "eu", Prefixes: []any{"acme/", map[string]string{"vendor/": "prod-eu/"}}, Standby: "us"},
		{Name: "us", ECR: ecr.Options{Region: "us-east-1"}},
		{Name: "other", ECR: ecr.Options{Account: "210987654321"}, Prefixes: []any{"other/"}},
		{Name: "partner", Plain: "registry.partner.example", Prefixes: []any{"partner/"}},
	}
}

func TestSeveral(t *testing.T) {
	s := start(t, stack.Options{Upstreams: several(), Tokenrefresher: map[string]any{"control.min_interval": "0s"}})
	var licenses []vendorapi.License
	for _, repository := range []string{"acme/*", "vendor/*", "other/*", "partner/*"} {
		licenses = append(licenses, vendorapi.License{ID: "lic_1", Releases: []vendorapi.Release{{Repository: repository, Tags: []string{"*"}}}})
	}
	s.Vendor.SetLicenses(token, licenses...)
	for _, r := range []struct{ upstream, pushed, pulled string }{
		{"eu", "acme/appliance:1.0", "acme/appliance:1.0"},
		{"eu", "prod-eu/app:1.0", "vendor/app:1.0"},
		{"other", "other/x:1.0", "other/x:1.0"},
		{"partner", "partner/x:1.0", "partner/x:1.0"},
	} {
		img, err := stack.Image(r.pushed)
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Upstreams[r.upstream].Push(t.Context(), r.pushed, img)
		if err != nil {
			t.Fatal(err)
		}
		if got := pull(t, s, r.pulled); got != want {
			t.Errorf("%s: pulled %s, pushed %s", r.pulled, got, want)
		}
	}
	if err := s.Upstreams["partner"].ChangePassword(); err != nil {
		t.Fatal(err)
	}
	pull(t, s, "partner/x:1.0")
	for name, u := range s.Upstreams {
		if asked := u.Front.Received() > 0; asked != (name != "us") {
			t.Errorf("%s was asked: %v", name, asked)
		}
	}
	for _, how := range stack.Failures() {
		t.Run(string(how), func(t *testing.T) { failAndMend(t, s.Upstreams["eu"], how) })
	}
	t.Run("replication", func(t *testing.T) { replicate(t, s.Upstreams["eu"], s.Upstreams["us"]) })
}

// failAndMend fails a registry, and mends it.
func failAndMend(t *testing.T, u *stack.Upstream, how stack.Failure) {
	wants := map[stack.Failure]int{stack.Refuses: 0, stack.Hangs: 0, stack.Errs: 500}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: u.Host} // the stack's CA does not matter here
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Second}
	check := func(what string, want int) {
		t.Helper()
		for _, server := range []*standin.Server{u.Front, u.Endpoint} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = u.Host
			status := 0
			if resp, err := client.Do(req); err == nil {
				status = resp.StatusCode
				_ = resp.Body.Close()
			}
			if status != want {
				t.Errorf("%s: status %d, want %d", what, status, want)
			}
		}
	}
	mend, err := u.Fail(how)
	if err != nil {
		t.Fatal(err)
	}
	check("while it fails", wants[how])
	if err := mend(); err != nil {
		t.Fatal(err)
	}
	check("mended", http.StatusUnauthorized)
}

// replicate copies, and deletes in the first alone.
func replicate(t *testing.T, from, to *stack.Upstream) {
	const repository = "acme/copied"
	var digests []string
	for _, tag := range []string{"1.0", "2.0"} {
		index, err := stack.Index(tag, "amd64", "arm64")
		if err != nil {
			t.Fatal(err)
		}
		digest, err := from.Push(t.Context(), repository+":"+tag, index)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	if err := from.Replicate(t.Context(), to, repository); err != nil {
		t.Fatal(err)
	}
	if err := from.Delete(t.Context(), repository, digests[0]); err != nil {
		t.Fatal(err)
	}
	for i, tag := range []string{"1.0", "2.0"} {
		for _, u := range []*stack.Upstream{from, to} {
			want := digests[i]
			if i == 0 && u == from {
				want = ""
			}
			if got, err := u.Digest(t.Context(), repository+":"+tag); err != nil || got != want {
				t.Errorf("%s in %s: %q, %v; want %q", tag, u.Name, got, err, want)
			}
		}
	}
}
