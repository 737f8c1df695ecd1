package e2e_test

import (
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// several is a front with three registries: ECR in two accounts and regions, and one
// that is not ECR.
type several struct {
	*stack.Stack
	eu, us, partner *stack.Upstream
	appliance       v1.Image // in eu and in partner
}

// What the front shows of eu's prod-eu/app is vendor/app.
const innerPrefix, outerPrefix = "prod-eu/", "vendor/"

// These customers have a license for one thing, or for all.
var severalCustomers = map[string][]string{
	"eve":    {"acme/appliance"},
	"pat":    {"partner/appliance"},
	"bob":    {"acme/appliance", "partner/other", "us/*"},
	"ivy":    {innerPrefix + "*", "prod-eu", "vendorx/*", "acme"},
	email:    {"acme/appliance", "acme/*", "vendor/app", "us/appliance", "partner/appliance", "partner/other", innerPrefix + "*", "us/*"},
	"wilson": {"*"},
}

func severalUpstreams() []stack.UpstreamOptions {
	return []stack.UpstreamOptions{
		{Name: "eu", Prefixes: []any{"acme/", map[string]string{outerPrefix: innerPrefix}}, Standby: "us"},
		{Name: "us", ECR: ecr.Options{Account: "210987654321", Region: "us-east-1"}, Prefixes: []any{"us/"}},
		{Name: "partner", Plain: "registry.partner.example", Prefixes: []any{"partner/"}},
	}
}

// startSeveral starts the front without images.
func startSeveral(t *testing.T, opts stack.Options) *several {
	t.Helper()
	opts.Upstreams, opts.Tokenrefresher = severalUpstreams(), quick
	s := start(t, opts)
	for name, repositories := range severalCustomers {
		account := vendorapi.Account{Email: name}
		for _, repository := range repositories {
			account.Licenses = append(account.Licenses, license("lic_"+name[:3], repository, "*"))
		}
		if name == email {
			s.Vendor.SetAccount(secret, account)
			continue
		}
		s.Vendor.SetAccount(name+"s-token", account)
	}
	return &several{Stack: s, eu: s.Upstreams["eu"], us: s.Upstreams["us"], partner: s.Upstreams["partner"]}
}

// as sends a request as one of the customers.
func as(customer string, r request) request {
	if customer != email {
		r.user, r.password = customer, customer+"s-token"
	}
	return r
}

// pushTo pushes an image generated from its reference to one registry.
func pushTo(t *testing.T, u *stack.Upstream, reference string) string {
	t.Helper()
	return pushImage(t, u, reference, imageOf(t, reference))
}

func pushImage(t *testing.T, u *stack.Upstream, reference string, img v1.Image) string {
	t.Helper()
	digest, err := u.Push(t.Context(), reference, img)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// TestSeveralRegistries: each registry serves its own, under the customers' names,
// and nothing of another.
func TestSeveralRegistries(t *testing.T) {
	s := startSeveral(t, stack.Options{Authsvc: map[string]any{"catalog.repositories": []string{"acme/other"}}})
	s.appliance = imageOf(t, "appliance")
	digests := map[string]string{
		"acme/appliance:1.0":    pushImage(t, s.eu, "acme/appliance:1.0", s.appliance),
		"partner/appliance:1.0": pushImage(t, s.partner, "partner/appliance:1.0", s.appliance),
		"us/appliance:1.0":      pushTo(t, s.us, "us/appliance:1.0"),
		"vendor/app:1.0":        pushTo(t, s.eu, innerPrefix+"app:1.0"),
	}
	// What nobody can ask for: each is in a registry that does not have the prefix.
	pushTo(t, s.eu, "us/appliance:1.0")
	pushTo(t, s.eu, "partner/appliance:1.0")
	pushTo(t, s.eu, "vendor/app:1.0")
	pushTo(t, s.eu, "prod-eu:1.0")
	pushTo(t, s.us, "acme/appliance:1.0")
	pushTo(t, s.us, "acme/only-us:1.0")
	pushTo(t, s.us, innerPrefix+"only-us:1.0")
	pushTo(t, s.partner, "partner/other:1.0")

	t.Run("pulls", func(t *testing.T) { pullsFromSeveral(t, s, digests) })
	t.Run("lists", func(t *testing.T) { listsOfSeveral(t, s, digests) })
	t.Run("attacks", func(t *testing.T) { attacksAcross(t, s) })
	t.Run("schema 1", func(t *testing.T) { schema1(t, s) })
	t.Run("tokens", func(t *testing.T) { tokensOfSeveral(t, s) })
	t.Run("renamed", func(t *testing.T) { renamed(t, s) }) // last, since eu fails
}

// pullsFromSeveral: each client pulls from each registry, some by tag and some by
// digest.
func pullsFromSeveral(t *testing.T, s *several, digests map[string]string) {
	ann, c, k, p := login(t, s.Stack, email, secret), crane(t, s.Stack), skopeo(t, s.Stack), podman(t, s.Stack)
	for reference, digest := range digests {
		tagged := s.Host + "/" + reference
		byDigest := s.Host + "/" + strings.TrimSuffix(reference, ":1.0") + "@" + digest
		wantPulled(t, ann, tagged, digest)
		c.must(t, "", "validate", "--insecure", "--remote", byDigest)
		p.must(t, "", "pull", "--quiet", "--tls-verify=false", byDigest)
		to := "dir:" + filepath.Join(k.home, strings.ReplaceAll(reference, "/", "-"))
		k.must(t, "", "copy", "--insecure-policy", "--preserve-digests", "--src-tls-verify=false", "docker://"+tagged, to)
		if got := digestIn(t, strings.TrimPrefix(to, "dir:")); got != digest {
			t.Errorf("skopeo pulled %s as %s, want %s", reference, got, digest)
		}
	}
	wantRefused(t, ann, s.Host+"/"+innerPrefix+"app:1.0", "repository "+innerPrefix+"app does not exist or is not part of your license")
	for _, u := range []*stack.Upstream{s.eu, s.us, s.partner} {
		for _, r := range u.Front.Requests() {
			if host, _, _ := strings.Cut(r.Host, ":"); host != u.Host || r.ServerName != u.Host {
				t.Errorf("%s was asked as %s, TLS %s", u.Host, r.Host, r.ServerName)
			}
		}
	}
	if got := s.eu.Front.Connections() + s.us.Front.Connections() + s.partner.Front.Connections(); got > 30 {
		t.Errorf("%d connections to three registries: they are not kept", got)
	}
}

// listsOfSeveral: lists have the customers' names.
func listsOfSeveral(t *testing.T, s *several, digests map[string]string) {
	c, k := crane(t, s.Stack), skopeo(t, s.Stack)
	repositories := []string{"acme/appliance", "acme/other", "partner/appliance", "partner/other", "us/appliance", "vendor/app"}
	if got := strings.Fields(c.must(t, "", "catalog", "--insecure", s.Host)); !slices.Equal(got, repositories) {
		t.Errorf("crane catalog: %q, want %q", got, repositories)
	}
	for reference := range maps.Keys(digests) {
		repository, tag, _ := strings.Cut(reference, ":")
		if got := strings.Fields(c.must(t, "", "ls", "--insecure", s.Host+"/"+repository)); !slices.Equal(got, []string{tag}) {
			t.Errorf("crane ls %s: %q", repository, got)
		}
		out := k.must(t, "", "list-tags", "--tls-verify=false", "docker://"+s.Host+"/"+repository)
		if !strings.Contains(out, `/`+repository+`"`) || strings.Count(out, "1.0") != 1 {
			t.Errorf("skopeo list-tags %s: %s", repository, out)
		}
	}
}

// tokensOfSeveral: a registry that rejects its token gets a new one, and no other
// does.
func tokensOfSeveral(t *testing.T, s *several) {
	written := func() map[string]string {
		files := map[string]string{}
		for name, u := range s.Upstreams {
			files[name] = readFile(t, u.TokenFile)
		}
		return files
	}
	for name, test := range map[string]struct {
		uri    string
		reject func() error
	}{
		"eu":      {"/v2/vendor/app/manifests/1.0", func() error { s.eu.ECR.InvalidateTokens(); return nil }},
		"us":      {"/v2/us/appliance/manifests/1.0", func() error { s.us.ECR.InvalidateTokens(); return nil }},
		"partner": {"/v2/partner/appliance/manifests/1.0", s.partner.ChangePassword},
	} {
		before := written()
		if err := test.reject(); err != nil {
			t.Fatal(err)
		}
		r := request{uri: test.uri}
		if a := send(t, s.Stack, r); a.status != http.StatusOK {
			t.Errorf("%s: status %d: %s", name, a.status, a.body)
		}
		for other, is := range written() {
			if changed := is != before[other]; changed != (other == name) {
				t.Errorf("the token of %s was rejected; a new one of %s: %v", name, other, changed)
			}
		}
	}
}

// digestIn is the digest of the image that skopeo has put into a directory.
func digestIn(t *testing.T, dir string) string {
	t.Helper()
	return sha256Of(readFile(t, filepath.Join(dir, "manifest.json")))
}
