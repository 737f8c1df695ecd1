package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// The repository in eu that us has, too.
const replicated = "acme/appliance"

// TestStandby: us serves what eu has shown, while eu fails, and nothing else.
func TestStandby(t *testing.T) {
	s := startSeveral(t, stack.Options{
		Authsvc: map[string]any{"release.tag_ttl": "1s"},
	})
	for i := range pulledTags {
		pushTo(t, s.eu, fmt.Sprintf("%s:%d.0", replicated, i))
	}
	pushTo(t, s.eu, innerPrefix+"app:1.0")
	s.replicate(t, replicated, innerPrefix+"app")
	for i := range pulledTags {
		s.wantShown(t, replicated, fmt.Sprintf("%s:%d.0", replicated, i))
	}
	s.wantShown(t, "vendor/app", innerPrefix+"app:1.0")

	t.Run("not for refusals", func(t *testing.T) { refusalsStay(t, s) })
	t.Run("hanging", func(t *testing.T) { hangs(t, s) })
	gone := s.unshown(t)
	t.Run("during pulls", func(t *testing.T) { diesDuringPulls(t, s) })
	t.Run("what it serves", func(t *testing.T) { standsBy(t, s, gone) })
	t.Run("back again", func(t *testing.T) { comesBack(t, s) })
}

// replicate copies repositories of eu to us.
func (s *several) replicate(t *testing.T, repositories ...string) {
	t.Helper()
	for _, repository := range repositories {
		if err := s.eu.Replicate(t.Context(), s.us, repository); err != nil {
			t.Fatal(err)
		}
	}
}

// wantShown: eu shows an image that pushTo has generated, and its layer.
func (s *several) wantShown(t *testing.T, repository, reference string) {
	t.Helper()
	_, tag, _ := strings.Cut(reference, ":")
	for uri, status := range map[string]int{"/manifests/" + tag: 200, "/blobs/" + layerOf(t, reference): 307} {
		if a := get(t, s.Stack, "/v2/"+repository+uri); a.status != status {
			t.Fatalf("%s%s: status %d, want %d: %s", repository, uri, a.status, status, a.body)
		}
	}
}

// wantBack waits until eu serves again.
func (s *several) wantBack(t *testing.T) {
	t.Helper()
	waitFor(t, "eu to serve again", func() bool {
		return get(t, s.Stack, "/v2/"+replicated+"/manifests/0.0").status == http.StatusOK && metric(t, s.Stack, "authsvc_upstream_on_standby", "eu") == "0"
	})
}

// metric is the value of one of authsvc's metrics of a registry.
func metric(t *testing.T, s *stack.Stack, name, upstream string) string {
	t.Helper()
	_, rest, ok := strings.Cut(fetch(t, s.AuthsvcURL()+"/metrics").body, fmt.Sprintf("\n%s{upstream=%q} ", name, upstream))
	if !ok {
		t.Fatalf("there is no metric %s of %s", name, upstream)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// refusalsStay: what eu refuses is not asked for elsewhere.
func refusalsStay(t *testing.T, s *several) {
	s.us.Forget()
	for status, want := range map[int]struct {
		status int
		code   string
	}{401: {503, "UNAVAILABLE"}, 403: {503, "UNAVAILABLE"}, 404: {404, "MANIFEST_UNKNOWN"}, 429: {429, "TOOMANYREQUESTS"}, 400: {400, "UNSUPPORTED"}} {
		s.eu.Front.Inject(standin.Fault{Status: status, Body: leaky})
		every(t, s.Stack, request{uri: "/v2/" + replicated + "/manifests/0.0"}, func(r request, a answer) {
			wantError(t, r, a, want.status, want.code)
		})
		s.eu.Front.ClearFaults()
	}
	if n := s.us.Front.Received() + s.us.Endpoint.Received(); n != 0 {
		t.Errorf("us was asked %d times", n)
	}
	if got := metric(t, s.Stack, "authsvc_upstream_on_standby", "eu"); got != "0" {
		t.Errorf("eu is on its stand-by: %s", got)
	}
}

// hangs: what eu does not answer in time comes from us.
func hangs(t *testing.T, s *several) {
	configure := func(settings map[string]string) {
		t.Helper()
		if err := s.ReconfigureNginx(t.Context(), func(o *stack.Options) { o.Settings = settings }); err != nil {
			t.Fatal(err)
		}
	}
	configure(map[string]string{"upstream.conf": fmt.Sprintf("resolver %s valid=1s ipv6=off;\nproxy_ssl_trusted_certificate %s;\nproxy_read_timeout 1s;\n", s.DNS.Addr(), s.CAFile())})
	defer configure(nil)
	for uri, status := range map[string]int{
		"/v2/vendor/app/manifests/1.0": 200, "/v2/" + replicated + "/blobs/" + layerOf(t, replicated+":1.0"): 307,
	} {
		s.Forget()
		s.eu.Front.Inject(standin.Fault{Hang: true})
		a := get(t, s.Stack, uri)
		s.eu.Front.ClearFaults()
		if a.status != status || s.eu.Front.Received() == 0 || s.us.Front.Received() == 0 {
			t.Errorf("%s: status %d after %d questions to eu and %d to us: %s", uri, a.status, s.eu.Front.Received(), s.us.Front.Received(), a.body)
		}
		wantNoInnerName(t, uri, a)
		if location := a.header.Get("Location"); status == 307 && !strings.HasPrefix(location, s.us.ECR.Bucket.URL()) {
			t.Errorf("%s: it leads to %s, want us's bucket", uri, location)
		}
	}
}

// comesBack: eu is asked again, by authsvc first, and serves.
func comesBack(t *testing.T, s *several) {
	s.wantBack(t)
	s.Forget()
	for range 3 {
		if a := get(t, s.Stack, "/v2/"+replicated+"/manifests/1.0"); a.status != http.StatusOK {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	if eu, us := s.eu.Front.Received(), s.us.Front.Received(); eu != 3 || us != 0 {
		t.Errorf("of 3 requests, %d went to eu and %d to us", eu, us)
	}
	if got := metric(t, s.Stack, "authsvc_registry_breaker_open", "eu"); got != "0" {
		t.Errorf("eu's breaker is open: %s", got)
	}
	log := readFile(t, s.LogFile("authsvc"))
	for _, message := range []string{"registry fails; its stand-by serves", "registry serves again"} {
		if !strings.Contains(log, message) {
			t.Errorf("the log has no %q", message)
		}
	}
}
