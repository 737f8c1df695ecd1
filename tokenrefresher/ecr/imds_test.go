package ecr_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/ecr"
)

// TestInstanceRole takes region and credential from the instance's metadata,
// by IMDSv2 alone, from AWS's own mock of it.
func TestInstanceRole(t *testing.T) {
	role := key{"ASIAINSTANCE", "instance-secret", "instance-session"}
	api := newECR(t, role, "us-east-1") // the mock's region
	environment(t, map[string]string{
		"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": startMetadata(t, role), "AWS_EC2_METADATA_V1_DISABLED": "true",
	})
	fetch(t, ecr.Config{Endpoint: api.URL}, account+".dkr.ecr.us-east-1.amazonaws.com")
}

// startMetadata starts the mock of the metadata service and returns its URL.
func startMetadata(t *testing.T, role key) string {
	t.Helper()
	dir := t.TempDir()
	configuration, err := json.Marshal(map[string]any{"metadata": map[string]any{"values": map[string]any{
		"iam-security-credentials": map[string]string{
			"Code": "Success", "LastUpdated": time.Now().UTC().Format(time.RFC3339), "Type": "AWS-HMAC",
			"AccessKeyId": role.id, "SecretAccessKey": role.secret, "Token": role.session,
			"Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "aemm-config.json")
	if err := os.WriteFile(file, configuration, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	mock := exec.Command(metadataMock(t), "--imdsv2", "--hostname", "127.0.0.1", "--port", port, "--config-file", file)
	mock.Dir, mock.Env = dir, []string{"HOME=" + dir}
	mock.Stdout, mock.Stderr = log, log
	mock.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mock.Process.Kill()
		_ = mock.Wait() // killed
		_ = log.Close()
	})
	address := "http://127.0.0.1:" + port
	awaitIMDSv2(t, address, log.Name())
	return address
}

// awaitIMDSv2 waits until the mock answers, and makes sure that it refuses
// what comes without a session token: so the SDK has used IMDSv2.
func awaitIMDSv2(t *testing.T, address, log string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get(address + "/latest/meta-data/")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusUnauthorized {
				t.Fatalf("IMDSv1 is answered by %d, want 401", response.StatusCode)
			}
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log)
			t.Fatalf("the mock does not answer: %v\n%s", err, said)
		}
	}
}

// metadataMock finds the mock in .build/bin of the module, or in PATH.
func metadataMock(t *testing.T) string {
	t.Helper()
	const name = "ec2-metadata-mock"
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, ".build", "bin")
	for _, candidate := range []string{filepath.Join(bin, name), name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not there; install it by\n\tGOBIN=%s go install github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@v1.13.0", name, bin)
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}
