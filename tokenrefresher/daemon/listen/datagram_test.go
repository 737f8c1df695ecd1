package listen_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

func TestDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "served.sock")
	for range 2 { // a second time over what the first left
		conn, err := listen.Datagrams(t.Context(), path, 0o620, "")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		sender, err := new(net.Dialer).DialContext(t.Context(), "unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sender.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 10)
		if n, _, err := conn.ReadFrom(buffer); err != nil || string(buffer[:n]) != "hello" {
			t.Errorf("read %q, %v", buffer[:n], err)
		}
		if _, err := listen.Datagrams(t.Context(), path, 0o620, ""); err == nil || !strings.Contains(err.Error(), "expected no process listening there, found one") {
			t.Errorf("over one that is in use: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		_ = sender.Close()
	}
	if _, err := listen.Datagrams(t.Context(), path, 0o620, "no-such-group"); err == nil {
		t.Error("a group that does not exist was accepted")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen.Datagrams(t.Context(), file, 0o620, ""); err == nil || !strings.Contains(err.Error(), "found another file") {
		t.Errorf("over a file: %v", err)
	}
}
