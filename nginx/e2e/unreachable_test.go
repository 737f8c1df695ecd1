package e2e_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// TestRegistryIsUnreachable: nginx cannot reach the registry for requests that
// authsvc allows. The client is told of an outage, and authsvc counts it.
func TestRegistryIsUnreachable(t *testing.T) {
	other, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const trusted, silent = "proxy_ssl_trusted_certificate %s;\n", "resolver 127.0.0.1:1;\nresolver_timeout 200ms;\n"
	for _, nginx := range nginxes(t) {
		t.Run(fmt.Sprint(nginx.version), func(t *testing.T) {
			s := start(t, stack.Options{Nginx: nginx.path, NoStream: true, Interpose: true})
			push(t, s, "acme/appliance:1.0")
			resolver := fmt.Sprintf("resolver %s valid=1s ipv6=off;\n", s.DNS.Addr())
			configure := func(upstream string) {
				t.Helper()
				settings := map[string]string{}
				if upstream != "" {
					settings["upstream.conf"] = upstream
				}
				if err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) { o.Settings = settings }); err != nil {
					t.Fatal(err)
				}
			}
			for _, test := range []struct {
				name, upstream, status string
				fault                  standin.Fault
			}{
				{name: "the resolver does not answer", upstream: silent + fmt.Sprintf(trusted, other.File), status: "502"},
				{name: "its authority is not trusted", upstream: resolver + fmt.Sprintf(trusted, other.File), status: "502"},
				{name: "it does not answer", upstream: resolver + fmt.Sprintf(trusted, filepath.Join(s.Dir, "ca.pem")) + "proxy_read_timeout 300ms;\n", status: "504", fault: standin.Fault{Hang: true}},
				{name: "it closes the connection", status: "502", fault: standin.Fault{Reset: true}},
				{name: "it answers 500", status: "other", fault: standin.Fault{Status: 500, Body: leaky}},
				{name: "it answers 503", status: "other", fault: standin.Fault{Status: 503, Body: leaky}},
			} {
				t.Run(test.name, func(t *testing.T) {
					configure(test.upstream)
					if test.fault.Hang || test.fault.Reset || test.fault.Status != 0 {
						s.ECR.Front.Inject(test.fault)
						defer s.ECR.Front.ClearFaults()
					}
					want := failures(t, s)
					wantUnavailable(t, s, manifest)
					want[test.status] += 2 * len(protocols)
					waitFor(t, fmt.Sprintf("the failures %v", want), func() bool { return maps.Equal(failures(t, s), want) })
					wantStillClosed(t, s)
				})
			}
			for _, asked := range s.Authsvc.Requests() {
				if names := slices.Sorted(maps.Keys(asked.Header)); asked.URI == "/report" && !slices.Equal(names, []string{"X-Upstream-Status", "X-Upstream-Token-Id"}) {
					t.Errorf("a report has the headers %q, want X-Upstream-Status and X-Upstream-Token-Id alone", names)
				}
			}

			s.ECR.Front.Inject(standin.Fault{Reset: true})
			for _, fault := range []standin.Fault{{Reset: true}, {Hang: true}, {Status: 401}, {Status: 500, Body: leaky}} {
				fault.Match = standin.Path("/report")
				s.Authsvc.Inject(fault)
				wantUnavailable(t, s, manifest)
				s.Authsvc.ClearFaults()
			}
			if err := s.KillAuthsvc(); err != nil {
				t.Fatal(err)
			}
			wantUnavailable(t, s, manifest)
			if err := s.StartAuthsvc(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.ECR.Front.ClearFaults()
			before := failures(t, s)
			if a := get(t, s, manifest); a.status != 200 {
				t.Errorf("after the outage: status %d, want 200", a.status)
			}
			wantStillClosed(t, s)
			if now := failures(t, s); !maps.Equal(now, before) {
				t.Errorf("failures %v, want %v as before: nothing has failed since", now, before)
			}
		})
	}
}

// wantStillClosed: an outage opens nothing.
func wantStillClosed(t *testing.T, s *stack.Stack) {
	t.Helper()
	for _, refused := range []struct {
		request
		status int
		code   string
	}{
		{request{uri: manifest, anonymous: true}, 401, "UNAUTHORIZED"},
		{request{uri: manifest, user: email, password: "wrong"}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/other/appliance/manifests/1.0"}, 404, "NAME_UNKNOWN"},
	} {
		wantError(t, refused.request, send(t, s, refused.request), refused.status, refused.code)
	}
}

var failureCount = regexp.MustCompile(`(?m)^authsvc_nginx_registry_failures_total\{status="(\w+)",upstream="main"\} (\d+)$`)

// failures are authsvc's counts of nginx's reports, by status.
func failures(t *testing.T, s *stack.Stack) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, m := range failureCount.FindAllStringSubmatch(fetch(t, s.AuthsvcURL()+"/metrics").body, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		counts[m[1]] = n
	}
	if len(counts) != 3 {
		t.Fatalf("found the failures %v, want 502, 504, and other", counts)
	}
	return counts
}
