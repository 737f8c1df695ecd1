package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// ServerName is the registry's name for customers. nginx's certificate is for it
// (and for localhost and 127.0.0.1).
const ServerName = "docker.vendor.com"

// nginxConf is a fleet's nginx.conf: a server with our includes, at the same
// relative paths as under /etc/nginx.
var nginxConf = template.Must(template.New("nginx.conf").Parse(`# Written by nginx/stack for one run.
{{- if .Root}}
user root; # the stack's folder is closed to others
{{- end}}
{{- range .Modules}}
load_module {{.}};
{{- end}}
daemon off;
worker_processes {{.Workers}};
pid {{.Dir}}/nginx.pid;
error_log {{.Log}}/nginx-error.log warn;
worker_rlimit_nofile 8192;
{{.Main}}
events {
    worker_connections 4096;
}
{{- if .Stream}}
stream {
    include registry/forwarder.conf;
}
{{- end}}
http {
    access_log off;
    client_body_temp_path {{.Dir}}/tmp/body;
    proxy_temp_path {{.Dir}}/tmp/proxy;
    fastcgi_temp_path {{.Dir}}/tmp/fastcgi;
    uwsgi_temp_path {{.Dir}}/tmp/uwsgi;
    scgi_temp_path {{.Dir}}/tmp/scgi;
    {{.HTTP}}
    include registry/http.conf;
    server {
        listen 127.0.0.1:{{.Port}};
        listen 127.0.0.1:{{.TLSPort}} ssl{{if .OldHTTP2}} http2;{{else}};
        http2 on;{{end}}
        server_name {{.ServerName}} localhost 127.0.0.1;
        ssl_certificate {{.Certificate}}.pem;
        ssl_certificate_key {{.Certificate}}.key;
        access_log {{.Log}}/access.log registry;
        {{.Server}}
        include registry/server.conf;
    }
    {{.Servers}}
}
`))

// A change sets one value in a settings file. The rest stays as shipped, so that
// the tests test what is shipped.
type change struct {
	file string
	old  *regexp.Regexp
	new  string // syntax of regexp.Expand
}

func (s *Stack) changes() []change {
	address := s.socket.addr
	if s.socket.network == "unix" {
		address = "unix:" + address
	}
	all := []change{
		{"authsvc.conf", regexp.MustCompile(`unix:/run/authsvc/authsvc\.sock`), address},
		{"upstream.conf", resolver, "${1}resolver " + s.DNS.Addr() + " valid=1s ipv6=off;"},
		{"upstream.conf", regexp.MustCompile(`/etc/ssl/certs/ca-certificates\.crt`), s.ca.File},
	}
	if s.opts.Content != nil {
		all = append(all, s.contentChanges()...)
	}
	if s.version.Before(1, 21, 0) { // as the file says
		all = append(all, change{"client-certificate.conf", regexp.MustCompile(` \$registry_nothing;`), ` "";`})
	}
	if !s.opts.stream() {
		return all
	}
	return append(all, s.streamChanges()...)
}

// streamChanges are those for connections that are kept.
func (s *Stack) streamChanges() []change {
	forwarder := fmt.Sprintf("127.0.0.1:%d", s.forwardPort)
	// One block for each registry. The shipped entry is for ECR's hosts, all with
	// the same port; here each has its own, so that all but one need an entry before
	// that. (As a plain string, some are too long for nginx's map_hash_bucket_size.)
	blocks, entries := []string{"upstream " + s.ECR.Name() + " $1"}, []string{}
	for _, u := range s.upstreams[1:] {
		blocks = append(blocks, fmt.Sprintf("upstream %s $1", u.Host))
		entries = append(entries, fmt.Sprintf("    ~^%s$$ %s:%d;", regexp.QuoteMeta(u.Host), u.Host, u.Front.Port()))
	}
	return []change{
		// The block is shipped commented out, since it needs the stream module
		// and the account's host.
		{"keep-alive.conf", regexp.MustCompile(`(?m)^#(upstream |    |\})`), "$1"},
		{"keep-alive.conf", regexp.MustCompile(`(?ms)^upstream \S+ (\{.*?^\})`), strings.Join(blocks, "\n")},
		{"keep-alive.conf", regexp.MustCompile(`127\.0\.0\.1:5443`), forwarder},
		{"stream.conf", regexp.MustCompile(`127\.0\.0\.1:5443`), forwarder},
		{"stream.conf", regexp.MustCompile(`\$ssl_preread_server_name:443;`), fmt.Sprintf("$$ssl_preread_server_name:%d;", s.ECR.Front.Port())},
		{"stream.conf", regexp.MustCompile(`(?m)^    "~\^`), strings.Join(append(entries, "$0"), "\n")},
		{"stream.conf", resolver, "${1}resolver " + s.DNS.Addr() + " valid=1s ipv6=off;"},
	}
}

var resolver = regexp.MustCompile(`(?m)^(\s*)resolver [^;]*;`)

// configureNginx writes nginx/nginx.conf, with a copy of nginx/registry next to
// it.
func (s *Stack) configureNginx() error {
	dir := filepath.Join(s.Dir, "nginx")
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return fmt.Errorf("configuring nginx: %w", err)
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "registry"), os.DirFS(filepath.Join(root, "nginx", "registry"))); err != nil {
		return fmt.Errorf("copying nginx/registry: %w", err)
	}
	if err := s.configureSettings(filepath.Join(dir, "registry", "settings")); err != nil {
		return err
	}
	return s.writeNginxConf()
}

func (s *Stack) configureSettings(dir string) error {
	for _, c := range s.changes() {
		path := filepath.Join(dir, c.file)
		text, err := os.ReadFile(path) //nolint:gosec // the stack's own file
		if err != nil {
			return fmt.Errorf("setting nginx/registry/settings/%s: %w", c.file, err)
		}
		if !c.old.Match(text) {
			return fmt.Errorf("setting nginx/registry/settings/%s: expected text that matches %s, found none", c.file, c.old)
		}
		if err := os.WriteFile(path, c.old.ReplaceAll(text, []byte(c.new)), 0o600); err != nil {
			return fmt.Errorf("setting nginx/registry/settings/%s: %w", c.file, err)
		}
	}
	for name, text := range s.opts.Settings {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("setting nginx/registry/settings/%s: %w", name, err)
		}
	}
	return nil
}

func (s *Stack) writeNginxConf() error {
	var modules []string
	if s.opts.stream() {
		path, err := streamModule(s.nginxPath)
		if err != nil {
			return err
		}
		modules = append(modules, path...)
	}
	var text bytes.Buffer
	err := nginxConf.Execute(&text, map[string]any{
		"Root": os.Geteuid() == 0, "Modules": append(modules, s.opts.Modules...), "Stream": s.opts.stream(),
		"Dir": filepath.Join(s.Dir, "nginx"), "Log": s.logDir(),
		"OldHTTP2": s.version.Before(1, 25, 1), "Workers": max(1, s.opts.Workers), "ServerName": ServerName,
		"Port": s.plainPort, "TLSPort": s.tlsPort, "Certificate": filepath.Join(s.Dir, "nginx-cert"),
		"Main": s.opts.Main, "HTTP": s.opts.HTTP, "Server": s.opts.Server, "Servers": s.opts.Servers,
	})
	if err != nil {
		return fmt.Errorf("configuring nginx: %w", err)
	}
	if err := os.WriteFile(s.NginxConf(), text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("configuring nginx: %w", err)
	}
	return nil
}

// NginxPath is the path of the nginx that runs.
func (s *Stack) NginxPath() string { return s.nginxPath }

// NginxConf is the path of nginx.conf.
func (s *Stack) NginxConf() string { return filepath.Join(s.Dir, "nginx", "nginx.conf") }

func (s *Stack) nginxArgs(more ...string) []string {
	args := []string{s.nginxPath, "-p", filepath.Join(s.Dir, "nginx"), "-c", s.NginxConf()}
	if !s.version.Before(1, 19, 5) {
		args = append(args, "-e", "stderr")
	}
	return append(args, more...)
}

// StartNginx starts nginx, or starts it again after KillNginx, and waits for
// authsvc's answer through it.
func (s *Stack) StartNginx(ctx context.Context) error {
	p, err := s.start("nginx", command{argv: s.nginxArgs(), env: append(baseEnv(s.Dir), s.opts.Env...)})
	if err != nil {
		return err
	}
	err = poll(ctx, s.opts.Timeout, p, answers(s.client, s.URL+"/v2/", http.StatusUnauthorized))
	if err != nil {
		return fmt.Errorf("%w\nend of nginx's error log:\n%s", err, s.Log("nginx-error"))
	}
	return nil
}

// KillNginx kills nginx with all workers.
func (s *Stack) KillNginx() { s.Process("nginx").Kill() }

// TestNginx runs nginx -t on the stack's configuration.
func (s *Stack) TestNginx(ctx context.Context) error {
	args := s.nginxArgs("-t")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the stack's own command line
	cmd.Env = baseEnv(s.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nginx -t: %w\n%s", err, out)
	}
	return nil
}

// streamModule returns the module to load for stream{}: none if nginx has it built
// in, like nginx.org's packages.
func streamModule(nginx string) ([]string, error) {
	out, err := exec.Command(nginx, "-V").CombinedOutput() //nolint:gosec // the nginx under test
	if err != nil {
		return nil, fmt.Errorf("getting nginx's build options: %w", err)
	}
	text := string(out)
	if strings.Contains(text, "--with-stream ") {
		return nil, nil
	}
	m := regexp.MustCompile(`--modules-path=(\S+)`).FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("nginx has neither --with-stream nor a --modules-path")
	}
	// An nginx of another Debian has its own directory (nginx/stack/install.sh).
	for _, root := range []string{filepath.Join(filepath.Dir(nginx), "root"), "/"} {
		path := filepath.Join(root, m[1], "ngx_stream_module.so")
		if _, err := os.Stat(path); err == nil {
			return []string{path}, nil
		}
	}
	return nil, errors.New("nginx's stream module is not installed; as root: apt-get install libnginx-mod-stream")
}

// A Version of nginx: 1.22.1 is {1, 22, 1}.
type Version [3]int

// Before reports whether v is older.
func (v Version) Before(major, minor, patch int) bool {
	return slices.Compare(v[:], []int{major, minor, patch}) < 0
}

// NginxVersion returns the version of an nginx.
func NginxVersion(nginx string) (v Version, err error) {
	out, err := exec.Command(nginx, "-v").CombinedOutput() //nolint:gosec // the nginx under test
	if err != nil {
		return v, fmt.Errorf("getting nginx's version: %w\n%s", err, out)
	}
	_, text, _ := strings.Cut(string(out), "nginx/")
	if _, err := fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		return v, fmt.Errorf("getting nginx's version: expected something like nginx/1.22.1, found %q", out)
	}
	return v, nil
}
