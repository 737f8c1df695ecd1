package e2e_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
)

// pullByAll pulls a reference with docker, podman, containerd, crane, and skopeo.
type pullByAll struct {
	docker        *stack.DockerClient
	podman, crane tool
	skopeo        tool
	containerd    containerd
}

func everyClient(t *testing.T, s *stack.Stack) pullByAll {
	t.Helper()
	return pullByAll{login(t, s, email, secret), podman(t, s), crane(t, s), skopeo(t, s), startContainerd(t)}
}

func (c pullByAll) pull(t *testing.T, reference, digest string) {
	t.Helper()
	wantPulled(t, c.docker, reference, digest)
	c.podman.must(t, "", "pull", "--quiet", "--tls-verify=false", reference)
	c.podman.must(t, "", "rmi", "--all", "--force")
	c.containerd.pull(t, reference)
	c.crane.must(t, "", "validate", "--insecure", "--remote", reference)
	c.skopeo.must(t, "", "copy", "--all", "--insecure-policy", "--src-tls-verify=false", "docker://"+reference, "oci:"+filepath.Join(t.TempDir(), "image:1"))
}

// TestContentByClients: each client pulls an image and an index, first cold and then
// warm, without being sent to another host; and warm without the registry being asked.
func TestContentByClients(t *testing.T) {
	s := withContent(t, stack.Options{})
	index, err := stack.Index("acme/appliance:2.1", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{"acme/appliance:2.0": push(t, s, "acme/appliance:2.0")}
	if digests["acme/appliance:2.1"], err = s.Push(t.Context(), "acme/appliance:2.1", index); err != nil {
		t.Fatal(err)
	}
	c := everyClient(t, s)
	for reference, digest := range digests {
		c.pull(t, s.Host+"/"+reference, digest)
	}
	waitFor(t, "no fetch", func() bool { return s.ContentIdle(t.Context()) })
	s.Forget()
	for reference, digest := range digests {
		c.pull(t, s.Host+"/"+reference, digest)
	}
	if n := s.ECR.Front.Received() + s.ECR.Bucket.Received(); n != 0 {
		t.Errorf("the registry and its storage were asked %d times by pulls of what is warm", n)
	}
}

// TestContentWithoutAWS: what somebody has pulled before goes on to be served with the
// registry, its storage, AWS's API, and DNS gone, past the token's end and after a restart
// of everything; what is not there is an outage, and a wrong credential stays one.
func TestContentWithoutAWS(t *testing.T) {
	s := withContent(t, stack.Options{Tokenrefresher: quick, Authsvc: map[string]any{
		"release.file": filepath.Join(t.TempDir(), "releases"), "release.ready_without_token": true, "release.tag_ttl": "1s",
	}})
	digest := push(t, s, "acme/appliance:1.0")
	push(t, s, "acme/appliance:1.1")
	c := everyClient(t, s)
	c.pull(t, s.Host+"/acme/appliance:1.0", digest)
	waitFor(t, "no fetch", func() bool { return s.ContentIdle(t.Context()) })
	s.ECR.SetTokenLifetime(5 * time.Second)
	s.ECR.InvalidateTokens()
	get(t, s, "/v2/acme/appliance/referrers/"+digest) // which needs a token, and so a new one

	if _, err := s.Upstreams["main"].Fail(stack.Refuses); err != nil {
		t.Fatal(err)
	}
	if err := s.ECR.Bucket.Refuse(); err != nil {
		t.Fatal(err)
	}
	s.DNS.Fail(true)
	waitFor(t, "the end of the token", func() bool { return strings.Contains(fetch(t, s.AuthsvcURL()+"/readyz").body, "no token") })
	s.KillNginx()
	if err := errors.Join(s.RestartAuthsvc(t.Context()), s.ReconfigureContent(t.Context(), nil), s.StartNginx(t.Context())); err != nil {
		t.Fatal(err)
	}
	c.pull(t, s.Host+"/acme/appliance:1.0", digest)
	for _, test := range []struct {
		r      request
		status int
		code   string
	}{
		{request{method: "GET", uri: "/v2/acme/appliance/manifests/1.1"}, 503, "UNAVAILABLE"},
		{request{method: "GET", uri: "/v2/acme/appliance/blobs/" + layerOf(t, "acme/appliance:1.1")}, 503, "UNAVAILABLE"},
		{request{method: "GET", uri: manifest, user: email, password: "wrong"}, 401, "UNAUTHORIZED"},
		{request{method: "GET", uri: "/v2/other/appliance/manifests/1.0"}, 404, "NAME_UNKNOWN"},
	} {
		wantError(t, test.r, send(t, s, test.r), test.status, test.code)
	}
	wantHealth(t, s, 200, "ok\n")
	if a := fetch(t, s.AuthsvcURL()+"/readyz"); a.status != 200 || !strings.Contains(a.body, "degraded: no token") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if !strings.Contains(s.Log("authsvc"), `"stale":true`) {
		t.Error("no decision in the log says that it is stale")
	}
}
