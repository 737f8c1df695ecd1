package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A containerd is one of the test's own, as Kubernetes has it.
type containerd struct{ ctr tool }

// startContainerd starts one, and ends it with the test.
func startContainerd(t *testing.T) containerd {
	t.Helper()
	const install = "as root: apt-get install containerd"
	daemon := newTool(t, "containerd", install)
	config := filepath.Join(daemon.home, "config.toml")
	socket := filepath.Join(daemon.home, "sock")
	writeFile(t, config, fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`, filepath.Join(daemon.home, "root"), filepath.Join(daemon.home, "state"), socket))
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, daemon.path, "--config", config) //nolint:gosec // the client under test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	waitFor(t, "containerd", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	c := containerd{newTool(t, "ctr", install)}
	c.ctr.global = []string{"--address", socket}
	return c
}

// pull pulls a reference as the usual customer, and forgets it.
func (c containerd) pull(t *testing.T, reference string) {
	t.Helper()
	c.ctr.must(t, "", "images", "pull", "--plain-http", "--snapshotter", "native", "--user", email+":"+secret, reference)
	c.ctr.must(t, "", "images", "rm", "--sync", reference)
}
