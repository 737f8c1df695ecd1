package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

var (
	// background outlives a test, because several share the engine.
	background = context.Background()
	started    atomic.Bool
)

func TestDockerLogsInAndPulls(t *testing.T) {
	s := start(t, stack.Options{})
	digest := push(t, s, "acme/appliance:1.0")

	stranger := person(t)
	wantRefused(t, stranger, s.Host+"/acme/appliance:1.0", "no basic auth credentials")
	if out, err := stranger.Login(t.Context(), s.Host, email, "wrong"); err == nil || !strings.Contains(out, "401") {
		t.Errorf("login with a wrong password: %v\n%s", err, out)
	}

	ann := login(t, s, email, secret)
	wantPulled(t, ann, s.Host+"/acme/appliance:1.0", digest)
	wantPulled(t, ann, s.Host+"/acme/appliance@"+digest, digest)
	wantRefused(t, ann, s.Host+"/other/appliance:1.0", "repository other/appliance does not exist or is not part of your license")
	wantRefused(t, ann, s.Host+"/acme/appliance:none", "manifest unknown")
	if out, err := ann.Run(t.Context(), "", "pull", s.Host+"/acme/appliance:1.0"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := ann.Run(t.Context(), "", "push", s.Host+"/acme/appliance:1.0"); err == nil || !strings.Contains(out, "read-only") {
		t.Errorf("docker push: %v\n%s", err, out)
	}
	if err := ann.Remove(t.Context(), s.Host+"/acme/appliance:1.0"); err != nil {
		t.Fatal(err)
	}
}

// TestOddCredentials: all characters of an email and a token arrive. What cannot be
// in a Bearer token is refused without asking the vendor's API.
func TestOddCredentials(t *testing.T) {
	s := start(t, stack.Options{})
	digest := push(t, s, "acme/appliance:1.0")
	for user, password := range map[string]string{
		"bob+test@acme.example": "all-of._~them+/09==", "jürgen@acme.example": "x", "long@acme.example": strings.Repeat("x", 4000),
	} {
		s.Vendor.SetAccount(password, vendorapi.Account{Email: user, Licenses: []vendorapi.License{license("lic_x", "acme/*", "*")}})
		t.Run(user, func(t *testing.T) {
			wantPulled(t, login(t, s, user, password), s.Host+"/acme/appliance:1.0", digest)
		})
	}
	before := s.Vendor.TLS.Received()
	for _, password := range []string{"with:colons:in:it", "pässwörd", "a b", "ann's", strings.Repeat("x", 4097)} {
		if a := send(t, s, request{uri: "/v2/", user: email, password: password}); a.status != 401 {
			t.Errorf("%.20q: status %d, want 401", password, a.status)
		}
	}
	if asked := s.Vendor.TLS.Received() - before; asked != 0 {
		t.Errorf("the vendor's API was asked %d times", asked)
	}
}

func TestManyArchitectures(t *testing.T) {
	s := start(t, stack.Options{})
	index, err := stack.Index("acme/appliance:multi", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Push(t.Context(), "acme/appliance:multi", index)
	if err != nil {
		t.Fatal(err)
	}
	ann := login(t, s, email, secret)
	for _, reference := range []string{":multi", "@" + digest} {
		wantPulled(t, ann, s.Host+"/acme/appliance"+reference, digest)
	}
	c := crane(t, s)
	if got := strings.TrimSpace(c.must(t, "", "digest", "--insecure", s.Host+"/acme/appliance:multi")); got != digest {
		t.Errorf("crane digest: %s, want %s", got, digest)
	}
	c.must(t, "", "pull", "--insecure", "--format=oci", s.Host+"/acme/appliance:multi", filepath.Join(c.home, "oci"))
	c.must(t, "", "validate", "--insecure", "--remote", s.Host+"/acme/appliance:multi")
	if got := c.must(t, "", "ls", "--insecure", s.Host+"/acme/appliance"); strings.TrimSpace(got) != "multi" {
		t.Errorf("crane ls: %q", got)
	}
	k := skopeo(t, s)
	k.must(t, "", "copy", "--insecure-policy", "--all", "--src-tls-verify=false", "docker://"+s.Host+"/acme/appliance:multi", "dir:"+filepath.Join(k.home, "all"))
	if out := k.must(t, "", "inspect", "--raw", "--tls-verify=false", "docker://"+s.Host+"/acme/appliance@"+digest); !strings.Contains(out, "arm64") {
		t.Errorf("skopeo inspect: %s", out)
	}
	if out, err := k.run(t, "", "inspect", "--tls-verify=false", "docker://"+s.Host+"/other/appliance:1"); err == nil || !strings.Contains(out, "not part of your license") {
		t.Errorf("skopeo of what is not licensed: %v %s", err, out)
	}
}

// TestBigLayer: 300 MB in one layer, whole and as a range.
func TestBigLayer(t *testing.T) {
	s := start(t, stack.Options{})
	const size = 300 << 20
	img, err := stack.BigImage("acme/appliance:big", size)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Push(t.Context(), "acme/appliance:big", img)
	if err != nil {
		t.Fatal(err)
	}
	wantPulled(t, login(t, s, email, secret), s.Host+"/acme/appliance:big", digest)
	// The customer's credential must not reach the bucket.
	for _, r := range s.ECR.Bucket.Requests() {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the bucket was sent an Authorization by %s", r.Header.Get("User-Agent"))
		}
	}

	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	blob := func(ranges string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/acme/appliance/blobs/"+layer.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(email, secret)
		if ranges != "" {
			r.Header.Set("Range", ranges)
		}
		// The bucket has the same host here, and does not need the credential.
		client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			r.Header.Del("Authorization")
			return nil
		}}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	whole := blob("")
	sum := sha256.New()
	n, err := io.Copy(sum, whole.Body)
	_ = whole.Body.Close()
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); err != nil || got != layer.String() || n < size {
		t.Errorf("%d bytes of %s, %v; want %s", n, got, err, layer)
	}
	part := blob("bytes=1000-1099")
	text, err := io.ReadAll(part.Body)
	_ = part.Body.Close()
	if err != nil || part.StatusCode != http.StatusPartialContent || len(text) != 100 {
		t.Errorf("Range: status %d, %d bytes, %v", part.StatusCode, len(text), err)
	}
}

// TestLicenses: licenses are added, withdrawn, and expire while everything runs, and
// docker tells the user.
func TestLicenses(t *testing.T) {
	const ttl = time.Second
	s := start(t, stack.Options{Authsvc: map[string]any{
		"cache.ttl": ttl.String(), "cache.refusal_ttl": ttl.String(), "messages.renew": "renew at https://vendor.com/licenses",
	}})
	for _, repository := range []string{"acme/appliance", "acme/tools"} {
		push(t, s, repository+":1.0")
		push(t, s, repository+":2.0")
	}
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"))
	ann := login(t, s, email, secret)
	pulls := func(reference string) bool {
		out, err := ann.Pull(t.Context(), s.Host+"/"+reference)
		if err != nil {
			return false
		}
		if err := ann.Remove(t.Context(), s.Host+"/"+reference); err != nil {
			t.Fatal(err, out)
		}
		return true
	}
	if !pulls("acme/appliance:1.0") {
		t.Fatal("a licensed tag is refused")
	}
	wantRefused(t, ann, s.Host+"/acme/appliance:2.0", "acme/appliance:2.0 does not exist or is not part of your license")
	wantRefused(t, ann, s.Host+"/acme/tools:1.0", "repository acme/tools does not exist or is not part of your license")

	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"), license("lic_2", "acme/tools", "*"))
	waitFor(t, "the added license", func() bool { return pulls("acme/tools:1.0") })

	// The date may be yesterday's, if this test runs around midnight UTC.
	ended := time.Now().Add(-time.Minute)
	expired := license("lic_2", "acme/tools", "*")
	expired.Expiration = ended
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"), expired)
	waitFor(t, "the expired license", func() bool { return !pulls("acme/tools:1.0") })
	wantRefused(t, ann, s.Host+"/acme/tools:1.0", "denied: license lic_2 expired on "+ended.UTC().Format(time.DateOnly)+"; renew at https://vendor.com/licenses")

	withdrawn := license("lic_1", "acme/appliance", "1.*")
	withdrawn.Inactive = true
	s.Vendor.SetLicenses(secret, withdrawn)
	waitFor(t, "the withdrawn license", func() bool { return !pulls("acme/appliance:1.0") })
	wantRefused(t, ann, s.Host+"/acme/appliance:1.0", "denied: license lic_1 was withdrawn; renew at https://vendor.com/licenses")

	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"))
	waitFor(t, "the license that is back", func() bool { return pulls("acme/appliance:1.0") })
	s.Vendor.SetLicenses(secret)
	waitFor(t, "the license that is gone", func() bool { return !pulls("acme/appliance:1.0") })
}
