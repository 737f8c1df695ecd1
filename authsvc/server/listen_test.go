package server_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/server"
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	first, err := server.Listen("unix:"+path, 0o620, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("mode %v, %v; want 0620", info.Mode(), err)
	}
	if _, err := server.Listen("unix:"+path, 0o620, ""); err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("a socket in use was taken over: %v", err)
	}

	// A killed process leaves its socket.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := server.Listen("unix:"+path, 0o660, "")
	if err != nil {
		t.Fatalf("a dead socket is in the way: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ address, group, want string }{
		{"unix:" + file, "", "found another file"},
		{"unix:" + file + "s/a.sock", "", "no such file or directory"},
		{"unix:" + file + ".sock", "no-such-group", "listen.group"},
		{"systemd:authsvc", "", `expected one socket of the name "authsvc" from systemd, found 0`},
		{"tcp:127.0.0.1:99999", "", "invalid port"},
	}
	for _, test := range tests {
		if _, err := server.Listen(test.address, 0o660, test.group); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.address, err, test.want)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file was removed: %v", err)
	}
}
