package listen_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 12345 // root can give a file to any group
	}
	for range 2 { // a second time over what a killed process leaves
		listener, err := listen.Listen(t.Context(), "unix:"+path, 0o660, strconv.Itoa(gid))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != gid {
			t.Errorf("mode %v, group %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid)
		}
		listener.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := filepath.Join(dir, "taken.sock")
	other, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tests := []struct{ address, group, want string }{
		{"unix:" + file, "", "expected a socket or no file there, found another file"},
		{"unix:" + taken, "", "expected no process listening there, found one"},
		{"unix:" + filepath.Join(dir, "none", "a.sock"), "", "no such file or directory"},
		{"unix:" + filepath.Join(dir, "a.sock"), "no-such-group", "group no-such-group"},
		{"127.0.0.1:99999", "", "invalid port"},
		{"tcp:127.0.0.1:99999", "", "invalid port"},
		{"systemd:authsvc", "", `expected one socket named "authsvc" from systemd, found 0`},
	}
	for _, test := range tests {
		listener, err := listen.Listen(t.Context(), test.address, 0o660, test.group)
		if err == nil {
			_ = listener.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", test.address, err, test.want)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}

func TestListenTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "tcp:127.0.0.1:0"} {
		listener, err := listen.Listen(t.Context(), address, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
}
