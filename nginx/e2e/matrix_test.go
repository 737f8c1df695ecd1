package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

const manifest = "/v2/acme/appliance/manifests/1.0"

// every sends r in each protocol, with GET and HEAD.
func every(t *testing.T, s *stack.Stack, r request, check func(request, answer)) {
	t.Helper()
	for _, proto := range protocols {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r.proto, r.method = proto, method
			check(r, send(t, s, r))
		}
	}
}

// TestEveryAnswerOfAuthsvc: an answer in the contract reaches the client as
// intended. Any other answer is an outage: never allowed, never "wrong password",
// never HTML.
func TestEveryAnswerOfAuthsvc(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	authorization := tokenOf(t, s)
	var reply func(http.Header) int
	fake, err := s.ReplaceAuthsvc(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := reply(w.Header())
		w.WriteHeader(status)
	}))
	if err != nil {
		t.Fatal(err)
	}
	_ = fake
	refusal := func(status int, headers ...string) func(http.Header) int {
		return func(h http.Header) int {
			for _, line := range headers {
				name, value, _ := strings.Cut(line, ": ")
				h.Set(name, value)
			}
			return status
		}
	}
	// Where authsvc writes the whole answer, as with lists, a 2xx is the list,
	// and nginx handles some other statuses itself.
	wholeAnswers := []string{
		"200 without a token", "200 without a host", "200 with nothing", "201", "204", "206", "405", "408", "444", "499", "600", "999",
	}
	const code, message = "X-Registry-Error-Code: DENIED", "X-Registry-Error-Message: because"
	type test struct {
		name   string
		reply  func(http.Header) int
		status int
		code   string
	}
	tests := []test{
		{"401", refusal(401, "X-Registry-Error-Code: UNAUTHORIZED", message, `WWW-Authenticate: Basic realm="registry"`), 401, "UNAUTHORIZED"},
		{"200 without a token", refusal(200, "X-Ecr-Registry: "+s.ECR.Name()), 503, "UNAVAILABLE"},
		{"200 without a host", refusal(200, "X-Ecr-Token-Id: 1", "X-Ecr-Authorization: "+authorization), 503, "UNAVAILABLE"},
		{"200 with nothing", refusal(200), 503, "UNAVAILABLE"},
		{"401 without a code", refusal(401), 503, "UNAVAILABLE"},
		{"403 without a code", refusal(403), 503, "UNAVAILABLE"},
		{"403 without a status", refusal(403, code, message), 503, "UNAVAILABLE"},
	}
	for _, host := range []string{"a b", "a|b", "127.0.0.1:1/x", "../x", "UPPER.example", "user@evil.example", "[::1]"} {
		wholeAnswers = append(wholeAnswers, "200 with the host "+host)
		tests = append(tests, test{"200 with the host " + host,
			refusal(200, "X-Ecr-Registry: "+host, "X-Ecr-Token-Id: 1", "X-Ecr-Authorization: "+authorization), 503, "UNAVAILABLE"})
	}
	for _, status := range []int{400, 403, 404, 405, 429, 503} {
		tests = append(tests, test{"403 for " + strconv.Itoa(status), refusal(403, fmt.Sprintf("X-Registry-Status: %d", status), code, message), status, "DENIED"})
	}
	for _, status := range []string{"200", "201", "302", "401", "500", "abc", "4040", "404 ", "0", ""} {
		want := 503
		if strings.TrimSpace(status) == "404" { // a header's value has no spaces around it
			want = 404
		}
		tests = append(tests, test{fmt.Sprintf("403 for %q", status), refusal(403, "X-Registry-Status: "+status, code, message), want,
			map[int]string{404: "DENIED", 503: "UNAVAILABLE"}[want]})
	}
	for _, status := range []int{201, 204, 206, 300, 301, 302, 304, 307, 400, 402, 404, 405, 408, 418, 429, 444, 495, 499, 500, 502, 503, 504, 511, 599, 600, 999} {
		tests = append(tests, test{strconv.Itoa(status), refusal(status, code, message), 503, "UNAVAILABLE"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reply = test.reply
			for _, uri := range []string{manifest, "/v2/", tagsList} {
				if uri == tagsList && slices.Contains(wholeAnswers, test.name) {
					continue
				}
				every(t, s, request{uri: uri}, func(r request, a answer) { wantError(t, r, a, test.status, test.code) })
			}
		})
	}
}

// tokenOf returns the Authorization that ECR accepts now.
func tokenOf(t *testing.T, s *stack.Stack) string {
	t.Helper()
	token, _ := s.ECR.IssueToken()
	return "Basic " + token
}

// TestEveryAnswerOfTheRegistry: successes pass unchanged, errors are rewritten, and so
// are redirects without a Location.
func TestEveryAnswerOfTheRegistry(t *testing.T) {
	s := start(t, stack.Options{Tokenrefresher: map[string]any{"control.min_interval": "0s"}})
	codes := map[int]string{400: "UNSUPPORTED", 404: "MANIFEST_UNKNOWN", 405: "UNSUPPORTED", 413: "UNSUPPORTED", 416: "RANGE_INVALID", 429: "TOOMANYREQUESTS"}
	statuses := map[int]int{405: 400, 413: 400}
	for status := 200; status < 600; status++ {
		switch status {
		case 204, 304: // no body
		case 408, 444, 499: // nginx treats 408 and 444 as its own and closes; it cannot name 499
			continue
		}
		s.ECR.Front.ClearFaults()
		s.ECR.Front.Inject(standin.Fault{Match: standin.Path(manifest), Status: status, Body: leaky, Header: http.Header{
			"Content-Type": {"text/html"}, "Www-Authenticate": {`Basic realm="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/"`},
			"X-Amz-Request-Id": {"1"}, "X-Amzn-Requestid": {"2"}, "Server": {"AmazonECR"},
		}})
		rs := []request{{method: "GET", uri: manifest}, {method: "HEAD", uri: manifest}}
		if status%50 == 0 || codes[status] != "" { // all protocols only for these, to save time
			rs = append(rs, request{proto: "HTTP/2", method: "GET", uri: manifest}, request{proto: "HTTP/1.0", method: "GET", uri: manifest})
		}
		for _, r := range rs {
			a := send(t, s, r)
			switch {
			case 300 <= status && status < 400 && status != http.StatusNotModified: // it leads nowhere
				wantError(t, r, a, 503, "UNAVAILABLE")
			case status < 400:
				if a.status != status {
					t.Errorf("%s: status %d, want %d", r.method, a.status, status)
				}
				wantNoLeak(t, r.method+" "+strconv.Itoa(status), a)
			case codes[status] != "":
				want := status
				if statuses[status] != 0 {
					want = statuses[status]
				}
				wantError(t, r, a, want, codes[status])
			default: // 401 and 403 too: the retry fails as well
				wantError(t, r, a, 503, "UNAVAILABLE")
			}
		}
	}
}

// leaky is text that a customer must not see.
const leaky = `<html>User: arn:aws:sts::123456789012:assumed-role/registry-pull/i-0 is not authorized</html>`

// TestOnlyGETAndHEAD: other methods are refused before authsvc or ECR is asked.
func TestOnlyGETAndHEAD(t *testing.T) {
	s := start(t, stack.Options{Interpose: true})
	big := strings.Repeat("x", 2<<20)
	for _, proto := range protocols {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW", "get"} {
			for _, uri := range []string{manifest, "/v2/", "/v2/acme/appliance/blobs/uploads/"} {
				for _, body := range []string{"", "x", big} {
					for _, anonymous := range []bool{false, true} {
						r := request{proto: proto, method: method, uri: uri, body: body, anonymous: anonymous}
						if body == big && (uri != manifest || anonymous) {
							continue
						}
						a := send(t, s, r)
						if method == "get" && a.status == 400 { // nginx rejects lower case
							continue
						}
						wantError(t, r, a, 405, "UNSUPPORTED")
						if got := a.header.Get("Allow"); got != "GET, HEAD" {
							t.Errorf("%s %s: Allow %q", proto, method, got)
						}
					}
				}
			}
		}
	}
	if n := s.Authsvc.Received() + s.ECR.Front.Received(); n != 0 {
		t.Errorf("%d requests reached authsvc or the registry", n)
	}
}

// TestBodyOfAGet: the body of a GET is not forwarded.
func TestBodyOfAGet(t *testing.T) {
	s := start(t, stack.Options{})
	push(t, s, "acme/appliance:1.0")
	for _, proto := range protocols {
		small := request{proto: proto, method: "GET", uri: manifest, body: "x"}
		if a := send(t, s, small); a.status != 200 {
			t.Errorf("%s with a small body: status %d", proto, a.status)
		}
		big := request{proto: proto, method: "GET", uri: manifest, body: strings.Repeat("x", 2<<20)}
		wantError(t, big, send(t, s, big), 400, "UNSUPPORTED")
	}
	for _, r := range s.ECR.Front.Requests() {
		if r.Header.Get("Content-Length") != "" || r.Header.Get("Transfer-Encoding") != "" {
			t.Errorf("a body went upstream: %v", r.Header)
		}
	}
}
