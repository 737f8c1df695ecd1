package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/standin"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// A situation is what a row of the support table is about.
type situation struct {
	// cause brings it about, makes the customer's request, and returns what the
	// customer reads. It ends with the test.
	cause func(*testing.T, *support) string
	// user and image are what to type instead of the table's; token is what to
	// type when authsvc asks for it.
	user, image, token string
}

// support is the stack of all situations.
type support struct {
	*stack.Stack
	unlicensed string // a layer of an image that ann has not licensed
}

func startSupport(t *testing.T) *support {
	t.Helper()
	s := &support{Stack: start(t, stack.Options{NoStream: true, Server: behindBalancer, Authsvc: map[string]any{
		"cache.ttl": "1s", "guard.failures": 4, "kloudless.account.verify_email": true,
	}})}
	for _, reference := range []string{"acme/appliance:1.9", "acme/appliance:2.0", "acme/old:1.9", "acme/tools:1.9"} {
		push(t, s.Stack, reference)
	}
	s.unlicensed = layerOf(t, "acme/appliance:2.0")
	expired, withdrawn := license("lic_2", "acme/old", "*"), license("lic_3", "acme/tools", "*")
	expired.Expiration, withdrawn.Inactive = time.Now().Add(-48*time.Hour), true
	s.Vendor.SetLicenses(secret, license("lic_1", "acme/appliance", "1.*"), expired, withdrawn)
	s.Vendor.SetAccount("bobs-token", account("bob@acme.example"))
	return s
}

// pull is what docker says to somebody who has logged in once.
func (s *support) pull(t *testing.T, user, password, image string) string {
	t.Helper()
	c := person(t)
	login := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	writeFile(t, filepath.Join(c.Config, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.Host, login))
	out, err := c.Pull(t.Context(), s.Host+"/"+image)
	if err == nil {
		t.Errorf("docker pull %s: allowed", image)
	}
	return out
}

// ask is what a client shows that shows all: the status, and the message as docker
// writes it.
func (s *support) ask(t *testing.T, r request) string {
	t.Helper()
	a := send(t, s.Stack, r)
	text := fmt.Sprintf("%d %s\n", a.status, http.StatusText(a.status))
	if code, message, err := registryError(a.body); err == nil {
		text += strings.ToLower(strings.ReplaceAll(code, "_", " ")) + ": " + message
	}
	return text
}

// pulls is a situation in which a customer pulls an image.
func pulls(image string) situation {
	return situation{image: image, cause: func(t *testing.T, s *support) string { return s.pull(t, email, secret, image) }}
}

// situations are the rows' by their first cells.
var situations = map[string]situation{
	"anything that ends with `(request 5f3a9c01)`":                                                                               pulls("other/appliance:1.9"),
	"`denied: license … expired on …`":                                                                                           pulls("acme/old:1.9"),
	"`denied: license … was withdrawn`":                                                                                          pulls("acme/tools:1.9"),
	"`name unknown: repository … does not exist or is not part of your license`":                                                 pulls("acme/aplliance:1.9"),
	"`manifest unknown: … does not exist or is not part of your license`":                                                        pulls("acme/appliance:2.0"),
	"the same, for a tag that is misspelled":                                                                                     pulls("acme/appliance:v1.9"),
	"`manifest unknown: this image does not exist`":                                                                              pulls("acme/appliance:1.10"),
	"`blob unknown: … does not exist or is not part of your license`":                                                            {cause: unlicensedLayer},
	"nothing but a status such as `403 Forbidden`, or \"not found\" (Kubernetes); or it worked yesterday":                        {cause: workedBefore, user: "carol@acme.example"},
	"`unauthorized: the e-mail or the API token is wrong`; at docker login: `401 Unauthorized`":                                  {cause: wrongToken, token: "old-token"},
	"`unauthorized: the API token belongs to an account with another e-mail`":                                                    {cause: anothersToken, user: "dan@acme.example"},
	"`toomanyrequests: too many failed logins from your network`; at docker login: `429 Too Many Requests`":                      {cause: guessed},
	"`503 Service Temporarily Unavailable`; from clients that show more: `unavailable: the registry is temporarily unavailable`": {cause: authsvcDown},
	"the same, but health is `token`":                                                                                            {cause: noToken},
	"the same, but health is `ok`":                                                                                               {cause: vendorDown},
	"the same, but the log has `allow`":                                                                                          {cause: registryUnreachable},
	"`connection refused`, or a timeout":                                                                                         {cause: nginxDown},
	"`connection refused`, or a timeout, at a host of amazonaws.com: a layer stays away":                                         {cause: storageBlocked},
}

func unlicensedLayer(t *testing.T, s *support) string {
	return s.ask(t, request{uri: "/v2/acme/appliance/blobs/" + s.unlicensed})
}

// workedBefore: the license has ended since, and containerd asks with HEAD, whose
// answers have no message.
func workedBefore(t *testing.T, s *support) string {
	const user, token = "carol@acme.example", "carols-token"
	s.Vendor.SetAccount(token, account(user))
	r := request{uri: manifest9, user: user, password: token}
	if a := send(t, s.Stack, r); a.status != http.StatusOK {
		t.Fatalf("before: status %d", a.status)
	}
	ended := license("lic_1", "acme/*", "*")
	ended.Expiration = time.Now().Add(-time.Minute)
	s.Vendor.SetLicenses(token, ended)
	r.method = http.MethodHead
	waitFor(t, "the end of the license", func() bool { return send(t, s.Stack, r).status != http.StatusOK })
	return s.ask(t, r)
}

const manifest9 = "/v2/acme/appliance/manifests/1.9"

func wrongToken(t *testing.T, s *support) string {
	out, err := person(t).Login(t.Context(), s.Host, email, "old-token")
	if err == nil {
		t.Error("docker login succeeds")
	}
	return out + "\n" + s.pull(t, email, "old-token", "acme/appliance:1.9")
}

func anothersToken(t *testing.T, s *support) string {
	return s.pull(t, "dan@acme.example", "bobs-token", "acme/appliance:1.9")
}

// guessed: somebody else in the customer's office guesses.
func guessed(t *testing.T, s *support) string {
	office := func(r request) request { return r.from("198.51.100.20") }
	guess(t, s.Stack, office)
	return s.ask(t, office(request{uri: "/v2/"}))
}

// unavailable is what customers read in an outage: docker's, and all of it.
func (s *support) unavailable(t *testing.T, password string) string {
	t.Helper()
	return s.pull(t, email, password, "acme/appliance:1.9") + "\n" + s.ask(t, request{uri: manifest9, user: email, password: password})
}

func authsvcDown(t *testing.T, s *support) string {
	if err := s.KillAuthsvc(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.StartAuthsvc(background); err != nil {
			t.Fatal(err)
		}
	})
	return s.unavailable(t, secret)
}

func noToken(t *testing.T, s *support) string {
	if err := s.StopTokenrefresher(); err != nil {
		t.Fatal(err)
	}
	expired := tokenfile.Token{Host: s.ECR.Host(), Value: tokenfile.NewValue("QVdTOng="), FetchedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now()}
	if err := tokenfile.Write(s.TokenFile(), expired); err != nil {
		t.Fatal(err)
	}
	s.waitForHealth(t, http.StatusServiceUnavailable)
	t.Cleanup(func() {
		if err := s.StartTokenrefresher(background); err != nil {
			t.Fatal(err)
		}
		s.waitForHealth(t, http.StatusOK)
	})
	return s.unavailable(t, secret)
}

func (s *support) waitForHealth(t *testing.T, status int) {
	t.Helper()
	waitFor(t, fmt.Sprint("the health check's ", status), func() bool {
		return send(t, s.Stack, request{uri: health, anonymous: true}).status == status
	})
}

// vendorDown: and the customer has a new token, which nobody knows yet.
func vendorDown(t *testing.T, s *support) string {
	for _, server := range []*standin.Server{s.Vendor.Server, s.Vendor.TLS} {
		server.Inject(standin.Fault{Status: 500, Body: "<html>"})
		t.Cleanup(server.ClearFaults)
	}
	return s.unavailable(t, "new-token")
}

func registryUnreachable(t *testing.T, s *support) string {
	s.DNS.Fail(true)
	t.Cleanup(func() { s.DNS.Fail(false) })
	waitFor(t, "nginx to forget the registry's address", func() bool { return get(t, s.Stack, manifest9).status != http.StatusOK })
	return s.unavailable(t, secret)
}

func nginxDown(t *testing.T, s *support) string {
	s.KillNginx()
	t.Cleanup(func() {
		if err := s.StartNginx(background); err != nil {
			t.Fatal(err)
		}
	})
	return s.pull(t, email, secret, "acme/appliance:1.9")
}

// storageBlocked: a firewall of the customer's is before the registry's storage.
func storageBlocked(t *testing.T, s *support) string {
	a := get(t, s.Stack, "/v2/acme/appliance/blobs/"+layerOf(t, "acme/appliance:1.9"))
	if a.status != http.StatusTemporaryRedirect {
		t.Fatalf("a layer: status %d", a.status)
	}
	if err := s.ECR.Bucket.Close(); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(a.header.Get("Location"))
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("the storage answers")
	}
	return err.Error()
}
