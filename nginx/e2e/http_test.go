package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// protocols are the protocols that clients use.
var protocols = []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2"}

// A request is sent as written here, byte for byte in HTTP/1.
type request struct {
	proto  string // of protocols; HTTP/1.1 if empty
	method string // GET if empty
	uri    string
	header []string // "Name: value"
	body   string
	// user and password, if not the usual customer's; anonymous for none.
	user, password string
	anonymous      bool
	bare           bool // without Accept
}

// An answer has been read completely.
type answer struct {
	status int
	header http.Header
	body   string
}

// withoutID is the body without the request's id, which each request has its own.
func (a answer) withoutID() string {
	id := a.header.Get("X-Request-Id")
	return strings.ReplaceAll(a.body, fmt.Sprintf(" (request %.8s)", id), "")
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// lines returns the request's header lines, with the credential.
func (r request) lines() []string {
	lines := slices.Clone(r.header)
	if !r.bare { // in several lines, as clients send it
		lines = append(lines, "Accept: application/vnd.docker.distribution.manifest.v2+json", "Accept: application/vnd.oci.image.index.v1+json")
	}
	switch {
	case r.anonymous:
	case r.user != "":
		lines = append(lines, "Authorization: "+basic(r.user, r.password))
	default:
		lines = append(lines, "Authorization: "+basic(email, secret))
	}
	return lines
}

// get requests uri as the usual customer.
func get(t *testing.T, s *stack.Stack, uri string) answer {
	t.Helper()
	return send(t, s, request{uri: uri})
}

// send sends one request on its own connection.
func send(t *testing.T, s *stack.Stack, r request) answer {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodGet
	}
	var a answer
	var err error
	if r.proto == "HTTP/2" {
		a, err = sendHTTP2(t, s, r)
	} else {
		a, err = sendHTTP1(s, r)
	}
	if err != nil {
		t.Fatalf("%s %s %s: %v", r.proto, r.method, r.uri, err)
	}
	return a
}

func sendHTTP1(s *stack.Stack, r request) (answer, error) {
	if r.proto == "" {
		r.proto = "HTTP/1.1"
	}
	conn, err := net.DialTimeout("tcp", s.Host, 5*time.Second)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close() //nolint:errcheck // the answer is read
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return answer{}, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", r.method, r.uri, r.proto)
	lines := r.lines()
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Host:") }) {
		lines = append(lines, "Host: "+s.Host)
	}
	if r.body != "" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(r.body)))
	}
	for _, line := range append(lines, "Connection: close") {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	// The body is sent concurrently, since the answer may come before its end.
	if _, err := conn.Write(b.Bytes()); err != nil {
		return answer{}, err
	}
	go func() { _, _ = io.WriteString(conn, r.body) }()
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

func sendHTTP2(t *testing.T, s *stack.Stack, r request) (answer, error) {
	transport := s.Transport()
	transport.DisableCompression = true
	defer transport.CloseIdleConnections()
	httpRequest, err := http.NewRequestWithContext(t.Context(), r.method, s.TLSURL+"/", strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	if r.body == "" {
		httpRequest.Body, httpRequest.ContentLength = nil, 0
	}
	httpRequest.URL.Opaque = r.uri
	for _, line := range r.lines() {
		name, value, _ := strings.Cut(line, ": ")
		httpRequest.Header.Add(name, value)
	}
	response, err := transport.RoundTrip(httpRequest)
	if err != nil {
		return answer{}, err
	}
	if response.ProtoMajor != 2 {
		return answer{}, fmt.Errorf("expected HTTP/2, found %s", response.Proto)
	}
	return read(response)
}

func read(response *http.Response) (answer, error) {
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// registryError parses the body strictly as a Distribution API error.
func registryError(body string) (code, message string, err error) {
	var object struct {
		Errors []struct {
			Code    string  `json:"code"`
			Message string  `json:"message"`
			Detail  *string `json:"detail"`
		} `json:"errors"`
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&object); err != nil {
		return "", "", fmt.Errorf("the body is not the registry's JSON: %w: %.200q", err, body)
	}
	if len(object.Errors) != 1 || object.Errors[0].Code == "" || object.Errors[0].Message == "" {
		return "", "", fmt.Errorf("expected one error with a code and a message, found %.200q", body)
	}
	return object.Errors[0].Code, object.Errors[0].Message, nil
}

var requestID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// wantRequestID checks that an answer has the request's id, once, and returns it.
func wantRequestID(t *testing.T, what string, a answer) string {
	t.Helper()
	ids := a.header.Values("X-Request-Id")
	if len(ids) != 1 || !requestID.MatchString(ids[0]) {
		t.Errorf("%s: %d has X-Request-ID %q, want one of nginx's", what, a.status, ids)
		return ""
	}
	return ids[0]
}

// wantError checks an error as a client sees it: status, format and headers, from
// whatever source.
func wantError(t *testing.T, r request, a answer, status int, code string) {
	t.Helper()
	what := strings.TrimSpace(r.proto + " " + r.method + " " + r.uri)
	if a.status != status {
		t.Errorf("%s: status %d, want %d: %.300s", what, a.status, status, a.body)
		return
	}
	if got := a.header.Values("Docker-Distribution-Api-Version"); len(got) != 1 || got[0] != "registry/2.0" {
		t.Errorf("%s: %d has Docker-Distribution-Api-Version %q", what, status, got)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: %d has Content-Type %q", what, status, got)
	}
	id := wantRequestID(t, what, a)
	if r.method == http.MethodHead {
		if a.body != "" {
			t.Errorf("%s: %d has a body: %q", what, status, a.body)
		}
	} else if got, message, err := registryError(a.body); err != nil || got != code {
		t.Errorf("%s: %d has code %s, want %s; %v", what, status, got, code, err)
	} else if want := fmt.Sprintf(" (request %.8s)", id); !strings.HasSuffix(message, want) || strings.Count(message, "(request ") != 1 {
		t.Errorf("%s: %d has the message %q, want one that ends with %q", what, status, message, want)
	}
	challenges := a.header.Values("Www-Authenticate")
	if want := status == http.StatusUnauthorized; want != (len(challenges) == 1 && strings.HasPrefix(challenges[0], `Basic realm="`)) || !want && len(challenges) > 0 {
		t.Errorf("%s: %d has WWW-Authenticate %q", what, status, challenges)
	}
	retry := a.header.Values("Retry-After")
	if want := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable; want != (len(retry) == 1 && retry[0] != "") {
		t.Errorf("%s: %d has Retry-After %q", what, status, retry)
	}
	wantNoLeak(t, what, a)
}

// wantNoLeak checks that an answer reveals nothing about what is behind nginx.
func wantNoLeak(t *testing.T, what string, a answer) {
	t.Helper()
	for name, values := range a.header {
		lower := strings.ToLower(name)
		switch {
		case strings.HasPrefix(lower, "x-amz"), strings.HasPrefix(lower, "x-ecr"), strings.HasPrefix(lower, "x-auth"),
			strings.HasPrefix(lower, "x-registry"), strings.HasPrefix(lower, "x-upstream"):
			t.Errorf("%s: %d shows %s: %q", what, a.status, name, values)
		case lower == "server" && !slices.Equal(values, []string{"nginx"}):
			t.Errorf("%s: %d shows Server %q", what, a.status, values)
		}
		for _, value := range values {
			// The one place where a customer can read the account: the URL
			// that S3 has signed, which cannot be changed.
			if a.status == http.StatusTemporaryRedirect && name == "Location" && !strings.Contains(value, ".dkr.ecr.") {
				continue
			}
			wantNoSecret(t, what+": header "+name, value)
		}
	}
	if a.status >= 400 {
		wantNoSecret(t, what+": body", a.body)
	}
}

func wantNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{"123456789012", "210987654321", "registry.partner.example", "arn:aws", "ecr.amazonaws.com", ".dkr.ecr.", "AmazonECR", "registry-pull", "aws ecr", "QVdTO"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds %q: %.300q", what, secret, text)
		}
	}
}

// waitFor calls done until it returns true, for 30 s at most.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
