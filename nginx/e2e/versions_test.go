package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
)

// An nginx to test the includes with.
type nginx struct {
	path, modules string
	version       stack.Version
}

// nginxes returns this machine's nginx, and those of the oldest and newest supported
// Debian.
func nginxes(t *testing.T) []nginx {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	all := []nginx{{path: path, modules: "/usr/lib/nginx/modules"}}
	for _, suite := range []string{"bullseye", "trixie"} {
		dir, err := filepath.Abs(filepath.Join("../../.build/nginx", suite))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, nginx{path: filepath.Join(dir, "nginx"), modules: filepath.Join(dir, "root/usr/lib/nginx/modules")})
	}
	for i := range all {
		if all[i].version, err = stack.NginxVersion(all[i].path); err != nil {
			t.Fatalf("%v; to install it: nginx/stack/install.sh test", err)
		}
	}
	return all
}

// TestEveryNginx: the main promises hold in other nginx versions too. 1.18 accepts
// a raw TAB in the request line, which newer versions reject.
func TestEveryNginx(t *testing.T) {
	for _, nginx := range nginxes(t)[1:] {
		t.Run(filepath.Base(filepath.Dir(nginx.path)), func(t *testing.T) {
			s := start(t, stack.Options{Nginx: nginx.path, Interpose: true, Tokenrefresher: quick, Server: "include registry/dedicated.conf;"})
			digest := push(t, s, "acme/appliance:1.0")
			wantRawURIsRefused(t, s)
			wantIntact(t, s, digest)
			wantOutage(t, s)
			wantEveryMessageWithID(t, s)
			wantNoWarning(t, s)
		})
		t.Run(filepath.Base(filepath.Dir(nginx.path))+" with files", func(t *testing.T) {
			s := withContent(t, stack.Options{Nginx: nginx.path, Server: "include registry/dedicated.conf;"})
			wantColdThenWarm(t, s)
			wantIntact(t, s, digestOf(t, "acme/appliance:1.0"))
			wantOutage(t, s)
			wantNoWarning(t, s)
		})
	}
}

// wantNoWarning: nginx warns about nothing, such as that its table of variables is full,
// with one variable more than ours.
func wantNoWarning(t *testing.T, s *stack.Stack) {
	t.Helper()
	text := readFile(t, s.NginxConf())
	conf := filepath.Join(filepath.Dir(s.NginxConf()), "more.conf")
	writeFile(t, conf, strings.Replace(text, "include registry/server.conf;", "set $site_variable 1; include registry/server.conf;", 1))
	out, err := exec.CommandContext(t.Context(), s.NginxPath(), "-t", "-p", filepath.Dir(conf), "-c", conf).CombinedOutput() //nolint:gosec // the nginx under test
	if err != nil || strings.Contains(string(out), "[warn]") {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}
