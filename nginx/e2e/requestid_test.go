package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// TestRequestID: every answer carries the request's id, once, whoever made the
// answer; a client's own is ignored, and ECR's is hidden.
func TestRequestID(t *testing.T) {
	s := start(t, stack.Options{Server: "include registry/dedicated.conf;", Tokenrefresher: quick})
	digest := push(t, s, "acme/appliance:1.0")
	s.ECR.Front.Inject(standin.Fault{Match: standin.Path("/v2/acme/appliance/referrers/" + digest), Status: 200, Body: "{}",
		Header: http.Header{"X-Request-Id": {forgery}}})
	seen := map[string]bool{}
	for uri, status := range map[string]int{
		"/v2/": 200, manifest: 200, "/v2/acme/appliance/manifests/" + digest: 200, "/v2/acme/appliance/referrers/" + digest: 200,
		"/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.0"): 307, tagsList: 200, "/v2/_catalog": 200, health: 200,
	} {
		for _, proto := range protocols {
			a := send(t, s, request{proto: proto, uri: uri, header: []string{"X-Request-ID: " + forgery, "X-Request-ID: " + strings.Repeat("0", 32)}})
			if a.status != status {
				t.Errorf("%s %s: status %d, want %d", proto, uri, a.status, status)
			}
			id := wantRequestID(t, proto+" "+uri, a)
			if seen[id] {
				t.Errorf("%s %s: the id %s for a second request", proto, uri, id)
			}
			seen[id] = true
		}
	}
	wantEveryMessageWithID(t, s)

	// The id of a retried request is that of the first try: one line in nginx's log,
	// two in authsvc's.
	s.ECR.InvalidateTokens()
	id := wantRequestID(t, "a retried request", get(t, s, manifest))
	waitFor(t, "the request in both logs", func() bool {
		return strings.Count(s.Log("access"), `"request_id":"`+id) == 1 && strings.Count(s.Log("authsvc"), `"request_id":"`+id) == 2
	})
}

// wantEveryMessageWithID gets each status from whoever makes it, and checks that
// its message ends with the request's id: authsvc's refusals, nginx's own, ECR's
// errors, and outages. The server has dedicated.conf.
func wantEveryMessageWithID(t *testing.T, s *stack.Stack) {
	t.Helper()
	for _, test := range []struct {
		request
		status int
		code   string
	}{
		{request{uri: manifest, anonymous: true}, 401, "UNAUTHORIZED"},
		{request{uri: "/v2/other/appliance/manifests/1.0"}, 404, "NAME_UNKNOWN"},
		{request{uri: "/v2/acme/appliance/manifests/-"}, 400, "TAG_INVALID"},
		{request{uri: tagsList + "?n=x"}, 400, "PAGINATION_NUMBER_INVALID"},
		{request{uri: manifest + "\xff"}, 400, "UNSUPPORTED"},
		{request{uri: manifest, header: []string{"X: " + strings.Repeat("x", 64<<10)}}, 400, "UNSUPPORTED"},
		{request{method: "PUT", uri: manifest}, 405, "UNSUPPORTED"},
		{request{method: "TRACE", uri: manifest}, 405, "UNSUPPORTED"},
		{request{method: "POST", uri: manifest, header: []string{"Transfer-Encoding: gzip"}}, 501, "UNSUPPORTED"},
		{request{uri: "/"}, 404, "UNSUPPORTED"}, {request{uri: "/v2"}, 404, "UNSUPPORTED"}, {request{uri: "/_registry/authorize"}, 404, "UNSUPPORTED"},
		{request{uri: "/v2/acme/appliance/manifests/none"}, 404, "MANIFEST_UNKNOWN"},
	} {
		wantError(t, test.request, send(t, s, test.request), test.status, test.code)
	}
	for status, code := range map[int]string{416: "RANGE_INVALID", 429: "TOOMANYREQUESTS", 500: "UNAVAILABLE", 502: "UNAVAILABLE", 503: "UNAVAILABLE"} {
		s.ECR.Front.Inject(standin.Fault{Match: standin.Path(manifest), Status: status, Body: leaky})
		wantError(t, request{uri: manifest}, get(t, s, manifest), map[bool]int{true: 503, false: status}[status >= 500], code)
		s.ECR.Front.ClearFaults()
	}
	s.ECR.Front.Inject(standin.Fault{Match: standin.Path(manifest), Reset: true})
	wantUnavailable(t, s, manifest)
	s.ECR.Front.ClearFaults()
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, s, manifest, "/v2/", tagsList)
	wantHealth(t, s, 503, "authsvc\n")
	if err := s.StartAuthsvc(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWhatTheClientSays: its User-Agent and its trace are in both logs, and the
// trace reaches the vendor's API. No value of them makes an outage, or breaks a
// line.
func TestWhatTheClientSays(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, nginx := range nginxes(t) {
		s := start(t, stack.Options{Nginx: nginx.path})
		push(t, s, "acme/appliance:1.0")
		if a := get(t, s, "/v2/"); a.status != 200 {
			t.Fatalf("status %d, want 200", a.status)
		}
		long := strings.Repeat("x", 4000)
		for i, test := range []struct {
			agent, trace         string
			wantAgent, wantTrace string
		}{
			{"docker/29.0.0 go/go1.26", trace, "docker/29.0.0 go/go1.26", trace},
			{`a "quoted\" one ` + "\x01 two", trace + "-", `a "quoted\" one`, ""},
			{long, trace + ", " + trace, long[:255], ""},
			{"\xffx", "\x01", "", ""},
			{"x", strings.ToUpper(trace), "x", ""},
		} {
			user := strings.Repeat("x", i) + "@acme.example" // so that the API is asked
			r := request{uri: "/v2/", user: user, password: secret, header: []string{"User-Agent: " + test.agent, "Traceparent: " + test.trace}}
			a := send(t, s, r)
			if a.status != 200 {
				t.Errorf("%.40q: status %d, want 200", test.agent, a.status)
			}
			line := decisionOf(t, s, wantRequestID(t, "ping", a))
			if line["user_agent"] != test.wantAgent || line["traceparent"] != test.wantTrace || line["method"] != "GET" {
				t.Errorf("%.40q, %q: authsvc logged %q, %q, %q", test.agent, test.trace, line["user_agent"], line["traceparent"], line["method"])
			}
		}
		stranger := request{uri: "/v2/", user: "new@acme.example", password: "unknown-token", header: []string{"Traceparent: " + trace}}
		send(t, s, stranger)
		sent := 0
		for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS} {
			for _, asked := range server.Requests() {
				if asked.Header.Get("Traceparent") == trace && asked.Header.Get("Authorization") == "Bearer unknown-token" {
					sent++
				}
			}
		}
		if sent == 0 {
			t.Error("the vendor's API was not asked in the client's trace")
		}
	}
}

// decisionOf returns authsvc's line of a request.
func decisionOf(t *testing.T, s *stack.Stack, id string) (line map[string]any) {
	t.Helper()
	waitFor(t, "the decision in the log", func() bool {
		for text := range strings.Lines(readFile(t, s.LogFile("authsvc"))) {
			if strings.Contains(text, `"request_id":"`+id) && strings.HasSuffix(text, "\n") {
				return json.Unmarshal([]byte(text), &line) == nil
			}
		}
		return false
	})
	return line
}
