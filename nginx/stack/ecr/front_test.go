package ecr_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// Sources: F = observed at AWS, D = the Distribution Specification,
// issue numbers = where the original's answer was reported, A = assumed.
func TestFront(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	digest, _ := w.layer(t)
	absent := "sha256:" + strings.Repeat("0", 64)
	expired := w.authorization()
	w.pass(12 * time.Hour)
	good := w.authorization()

	const account = "in the registry with id '123456789012'"
	for _, tt := range []struct {
		name, source  string
		method, path  string
		authorization string
		status        int
		body          string // is part of it
	}{
		{"no token", "mdlavin/copy-docker-image #5", "GET", "/v2/", "", 401, "Not Authorized\n"},
		{"a customer's credential", "F", "GET", "/v2/", "Basic " + base64.StdEncoding.EncodeToString([]byte("a@b.example:secret")), 401, "Not Authorized\n"},
		{"a Bearer token", "jfrog/docker2artifactory #11", "GET", "/v2/", strings.Replace(good, "Basic", "Bearer", 1), 401, "Not Authorized\n"},
		{"half a token", "F: malformed is 401", "GET", "/v2/", good[:len(good)/2], 401, "Not Authorized\n"},
		{"expired token", "F; aws/aws-cli #2351", "GET", "/v2/", expired, 403, "Your Authorization Token has expired. Please run 'aws ecr get-login"},
		{"ping", "D", "GET", "/v2/", good, 200, ""},
		{"ping by HEAD", "D", "HEAD", "/v2/", good, 200, ""},
		{"manifest by tag", "D", "GET", "/v2/acme/appliance/manifests/1.0", good, 200, digest},
		{"manifest by HEAD", "D", "HEAD", "/v2/acme/appliance/manifests/1.0", good, 200, ""},
		{"unknown tag", "F: 404s name the account", "GET", "/v2/acme/appliance/manifests/9", good, 404, "MANIFEST_UNKNOWN"},
		{"unknown tag", "F: 404s name the account", "GET", "/v2/acme/appliance/manifests/9", good, 404, account},
		{"unknown manifest digest", "F", "GET", "/v2/acme/appliance/manifests/" + absent, good, 404, "imageDigest:'" + absent},
		{"unknown repository", "F", "GET", "/v2/acme/nothing/manifests/1.0", good, 404, "NAME_UNKNOWN"},
		{"unknown repository", "F", "GET", "/v2/acme/nothing/tags/list", good, 404, account},
		{"blob by HEAD", "D", "HEAD", "/v2/acme/appliance/blobs/" + digest, good, 200, ""},
		{"blob", "F: 307", "GET", "/v2/acme/appliance/blobs/" + digest, good, 307, ""},
		{"unknown blob", "D", "GET", "/v2/acme/appliance/blobs/" + absent, good, 404, "BLOB_UNKNOWN"},
		{"tags", "D", "GET", "/v2/acme/appliance/tags/list", good, 200, `{"name":"acme/appliance","tags":["1.0"]}`},
		{"more than 1000 tags", "google/go-containerregistry #681", "GET", "/v2/acme/appliance/tags/list?n=1001", good, 405, `{"errors":[{"code":"UNSUPPORTED","message":"Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'"}]}`},
		{"no tags asked for", "A", "GET", "/v2/acme/appliance/tags/list?n=0", good, 405, "UNSUPPORTED"},
		{"last made from a tag", "F", "GET", "/v2/acme/appliance/tags/list?last=1.0", good, 405, "UNSUPPORTED"},
		{"last made up", "F", "GET", "/v2/acme/appliance/tags/list?last=eyJmcm9tIjowfQ==", good, 405, "UNSUPPORTED"},
		{"catalog", "F: don't depend on it", "GET", "/v2/_catalog", good, 405, "UNSUPPORTED"},
		{"referrers", "D", "GET", "/v2/acme/appliance/referrers/" + digest, good, 200, `"manifests":[]`},
		{"push", "F: denials name the ARN; the role is read-only", "POST", "/v2/acme/appliance/blobs/uploads", good, 403, "arn:aws:sts::123456789012:assumed-role/"},
		{"delete", "F", "DELETE", "/v2/acme/appliance/manifests/1.0", good, 403, "ecr:PutImage"},
		{"not the API", "A", "GET", "/", good, 404, "404"},
		{"a path that is not normal", "A", "GET", "/v2/acme/./appliance/manifests/1.0", good, 404, "404"},
		{"an encoded path", "A", "GET", "/v2/acme%2fappliance/manifests/1.0", good, 404, "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.front(t, tt.method, tt.path, tt.authorization)
			if got.status != tt.status || !strings.Contains(got.body, tt.body) {
				t.Errorf("%d %q, want %d with %q (source: %s)", got.status, got.body, tt.status, tt.body, tt.source)
			}
			if v := got.header.Get("Docker-Distribution-Api-Version"); v != "registry/2.0" {
				t.Errorf("Docker-Distribution-Api-Version: %q", v)
			}
			challenge := got.header.Get("WWW-Authenticate")
			if want := `Basic realm="https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/",service="ecr.amazonaws.com"`; tt.status == 401 && challenge != want || tt.status != 401 && challenge != "" {
				t.Errorf("WWW-Authenticate: %q with %d", challenge, tt.status)
			}
		})
	}
}

// Each of these answers has been observed at AWS.
func TestExpiredTokenIsRejectedInEachStyle(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	old := w.authorization()
	if got := w.front(t, "GET", "/v2/", old); got.status != 200 {
		t.Fatalf("fresh token: %d", got.status)
	}
	w.InvalidateTokens()
	young := w.authorization()
	for _, tt := range []struct {
		style             ecr.Rejection
		status            int
		contentType, body string
	}{
		{ecr.Forbidden403Text, 403, "text/plain", "Your Authorization Token has expired"},
		{ecr.Forbidden403Denied, 403, "application/json", `{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}`},
		{ecr.Unauthorized401, 401, "text/plain", "Not Authorized"},
		{ecr.Forbidden403TextAsJSON, 403, "application/json", "Your Authorization Token has expired"},
	} {
		w.RejectWith(tt.style)
		got := w.front(t, "GET", "/v2/", old)
		if got.status != tt.status || !strings.HasPrefix(got.header.Get("Content-Type"), tt.contentType) || !strings.HasPrefix(got.body, tt.body) {
			t.Errorf("style %d: %d %s %q", tt.style, got.status, got.header.Get("Content-Type"), got.body)
		}
		if got := w.front(t, "GET", "/v2/", young); got.status != 200 {
			t.Errorf("style %d: the token issued after InvalidateTokens got %d", tt.style, got.status)
		}
	}
}

func TestSeveralTokensAreGoodAtOnce(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	tokens := []string{w.authorization(), w.authorization(), w.authorization()}
	for i, token := range tokens {
		if got := w.front(t, "GET", "/v2/", token); got.status != 200 {
			t.Errorf("token %d of 3: %d", i+1, got.status)
		}
	}
	w.SetTokenLifetime(time.Minute)
	short := w.authorization()
	w.pass(time.Minute)
	if got := w.front(t, "GET", "/v2/", short); got.status != 403 {
		t.Errorf("token of a minute after a minute: %d, want 403", got.status)
	}
	if got := w.front(t, "GET", "/v2/", tokens[0]); got.status != 200 {
		t.Errorf("token of 12 h after a minute: %d, want 200", got.status)
	}
}

// Sizes of 2,368 and 4,781 characters have been observed; 12 KB is the most that
// must work. Source: the API's documentation: base64 of AWS:password.
func TestTokenSizes(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	for _, size := range []int{2368, 4781, 12 << 10} {
		w.SetTokenSize(size)
		token, _ := w.IssueToken()
		if len(token) < size || len(token) > size+8 {
			t.Errorf("size %d: a token of %d", size, len(token))
		}
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil || !strings.HasPrefix(string(raw), "AWS:") {
			t.Errorf("size %d: not base64 of AWS:password: %v", size, err)
		}
		if got := w.front(t, "GET", "/v2/", "Basic "+token); got.status != 200 {
			t.Errorf("size %d: status %d", size, got.status)
		}
	}
}

// Observed at AWS: 100 a page by default; Link absolute, last opaque.
func TestTagsPage(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	var tags []string
	for i := range 101 {
		tags = append(tags, fmt.Sprintf("t%03d", i))
	}
	w.push(t, tags...) // and 1.0
	link := regexp.MustCompile(`^<https://123456789012\.dkr\.ecr\.eu-central-1\.amazonaws\.com(/v2/acme/appliance/tags/list\?last=[^&]+&n=(\d+))>; rel="next"$`)
	for _, tt := range []struct {
		query string
		pages []int
	}{
		{"", []int{100, 2}},
		{"?n=1000", []int{102}},
		{"?n=40", []int{40, 40, 22}},
	} {
		seen := map[string]bool{}
		path := "/v2/acme/appliance/tags/list" + tt.query
		for i, want := range tt.pages {
			got := w.front(t, "GET", path, w.authorization())
			var page struct{ Tags []string }
			if err := json.Unmarshal([]byte(got.body), &page); err != nil {
				t.Fatalf("%s page %d: %v in %q", tt.query, i+1, err, got.body)
			}
			if len(page.Tags) != want {
				t.Errorf("%s page %d: %d tags, want %d", tt.query, i+1, len(page.Tags), want)
			}
			for _, tag := range page.Tags {
				seen[tag] = true
			}
			m := link.FindStringSubmatch(got.header.Get("Link"))
			if last := i == len(tt.pages)-1; last != (m == nil) {
				t.Fatalf("%s page %d: Link %q", tt.query, i+1, got.header.Get("Link"))
			} else if !last {
				path = m[1]
			}
		}
		if len(seen) != 102 {
			t.Errorf("%s: %d different tags, want 102", tt.query, len(seen))
		}
	}
}

// Source: RFC 6066 and RFC 9110: a server takes what it is addressed by.
func TestHostAndServerName(t *testing.T) {
	w := newWorld(t, ecr.Options{})
	auth := w.authorization()
	for _, tt := range []struct {
		name, sni, host string
		status          int // 0: no handshake
	}{
		{"name", w.Name(), w.Host(), 200},
		{"name without port", w.Name(), w.Name(), 200},
		{"another SNI name", "docker.vendor.com", w.Host(), 0},
		{"another Host", w.Name(), "docker.vendor.com", 421},
		{"address without SNI", "127.0.0.1", w.Front.Addr(), 200},
		{"name without SNI", "127.0.0.1", w.Host(), 421},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: tt.sni}, //nolint:gosec // the certificate is another host's
			}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Front.URL()+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			req.Header.Set("Authorization", auth)
			status := 0
			if resp, err := client.Do(req); err == nil {
				status = resp.StatusCode
				resp.Body.Close() //nolint:errcheck // only the status matters
			}
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
		})
	}
	last := w.Front.Requests()[0]
	if last.ServerName != w.Name() || last.Host != w.Host() || last.Header.Get("Authorization") != auth || last.URI != "/v2/" {
		t.Errorf("recorded %+v", last)
	}
}
