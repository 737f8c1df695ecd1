package e2e_test

import (
	"path/filepath"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// pullByAll pulls a reference with docker, podman, crane, and skopeo, as a whole.
type pullByAll struct {
	docker        *stack.DockerClient
	podman, crane tool
	skopeo        tool
}

func everyClient(t *testing.T, s *stack.Stack) pullByAll {
	t.Helper()
	return pullByAll{login(t, s, email, secret), podman(t, s), crane(t, s), skopeo(t, s)}
}

func (c pullByAll) pull(t *testing.T, reference, digest string) {
	t.Helper()
	wantPulled(t, c.docker, reference, digest)
	c.podman.must(t, "", "pull", "--quiet", "--tls-verify=false", reference)
	c.podman.must(t, "", "rmi", "--all", "--force")
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
