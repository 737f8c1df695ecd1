package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// rawURIs contain bytes that no path of the API contains. nginx before 1.21.1
// accepts TAB and space; newer versions accept bytes above 0x7f.
func rawURIs() (uris []string) {
	for _, raw := range []string{"\t", "\x01", "\x1f", "\x7f", "\x80", "\xff", "é"} {
		uris = append(uris, manifest+raw, "/v2/"+raw, tagsList+raw, "/v2/_catalog"+raw, manifest+"?"+raw, tagsList+"?"+raw, "/v2/_catalog?"+raw,
			strings.Replace(tagsList, "appliance", "app"+raw+"liance", 1), strings.Replace(manifest, "appliance", "app"+raw+"liance", 1))
	}
	return append(uris, manifest+" x", "/v2/ x", "/v2/acme/app liance/manifests/1.0") // at the end it separates the protocol
}

// wantRawURIsRefused: authsvc would trim a TAB or a space, and so judge something
// other than what nginx forwards.
func wantRawURIsRefused(t *testing.T, s *stack.Stack) {
	t.Helper()
	s.Forget()
	for _, uri := range rawURIs() {
		for _, proto := range protocols[:2] { // the HTTP/2 library does not send these
			r := request{proto: proto, method: "GET", uri: uri}
			wantError(t, r, send(t, s, r), 400, "UNSUPPORTED")
		}
	}
	if n := s.Authsvc.Received() + s.ECR.Front.Received(); n != 0 {
		t.Errorf("authsvc and the registry were asked %d times", n)
	}
}

func TestRawBytesInTheURI(t *testing.T) {
	s := start(t, stack.Options{Interpose: true, Server: "include registry/dedicated.conf;"})
	push(t, s, "acme/appliance:1.0")
	wantRawURIsRefused(t, s)
}

// TestControlBytesInAuthorization: such a credential is wrong. It does not cause an
// outage, although authsvc's HTTP server rejects the whole request.
func TestControlBytesInAuthorization(t *testing.T) {
	s := start(t, stack.Options{Server: "include registry/dedicated.conf;"})
	push(t, s, "acme/appliance:1.0")
	good := basic(email, secret)
	raw := []byte{'\t', 0x7f, 0x80, 0xff}
	for b := byte(1); b < 0x20; b++ {
		if b != '\t' && b != '\n' && b != '\r' { // the latter end the line
			raw = append(raw, b)
		}
	}
	for _, b := range raw {
		values := []string{"Basic" + string([]byte{b}) + good[6:], good[:10] + string([]byte{b}) + good[10:]}
		if b != '\t' { // white space around a value is not part of it
			values = append(values, good+string([]byte{b}), string([]byte{b})+good, string([]byte{b}))
		}
		for _, value := range values {
			for _, uri := range []string{manifest, "/v2/", tagsList, "/v2/_catalog"} {
				r := request{method: "GET", uri: uri, anonymous: true, header: []string{"Authorization: " + value}}
				wantError(t, r, send(t, s, r), 401, "UNAUTHORIZED")
			}
		}
	}
	if n := s.Vendor.Received() + s.ECR.Front.Received(); n != 0 {
		t.Errorf("the vendor's API and the registry were asked %d times", n)
	}
	if a := get(t, s, manifest); a.status != 200 {
		t.Errorf("a good credential: status %d", a.status)
	}
}

// TestUnknownTransferCoding: nginx refuses it before it looks at the path.
func TestUnknownTransferCoding(t *testing.T) {
	s := start(t, stack.Options{Server: "include registry/dedicated.conf;"})
	for _, uri := range []string{manifest, "/v2/", tagsList, "/", "/v2", "*"} {
		for _, coding := range []string{"gzip", "identity, chunked", "x"} {
			r := request{method: "GET", uri: uri, header: []string{"Transfer-Encoding: " + coding}}
			if uri == "*" { // no path at all
				wantError(t, r, send(t, s, r), 400, "UNSUPPORTED")
				continue
			}
			wantError(t, r, send(t, s, r), 501, "UNSUPPORTED")
		}
	}
	for _, uri := range []string{"/_registry/coding", "/_registry/malformed"} {
		r := request{method: "GET", uri: uri}
		wantError(t, r, send(t, s, r), 404, "UNSUPPORTED")
	}
	if t.Failed() {
		t.Log(fmt.Sprint("error log: ", s.Log("nginx-error")))
	}
}
