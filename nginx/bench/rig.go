package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/pki"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// tokenBytes is the most common size of the registry's token.
const tokenBytes = 2368

//go:embed nginx.conf.tmpl backends.conf.tmpl front.conf.tmpl access.lua
var files embed.FS

// A rig is the three setups and their backends, on loopback. The templates use its
// exported fields.
type rig struct {
	Dir                        string
	Root                       bool
	Host                       string
	Bare, Authsvc, Lua, Vendor int
	Registry                   int // where authsvc learns the contents of releases
	Token, Secret              string
	Manifest, Digest           string
	Licenses                   string // the answer of the vendor's API

	nginx, authsvc, backends *process
}

// newRig starts everything, and returns when all three setups answer. more are layers of
// the image besides its own.
func newRig(ctx context.Context, more ...string) (r *rig, err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	r = &rig{
		Dir: dir, Root: os.Geteuid() == 0, Host: "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
		Token:  base64.StdEncoding.EncodeToString([]byte("AWS:" + strings.Repeat(rand.Text(), 100)[:tokenBytes*3/4-4])),
		Secret: rand.Text(),
	}
	layers := make([]string, 10)
	for i := range layers {
		layers[i] = digestOf([]byte{byte(i)})
	}
	r.Manifest = string(manifestOf("layers", append(layers, more...)))
	r.Digest = digestOf([]byte(r.Manifest))
	if r.Licenses, err = licenses(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, r.logs())
			r.close()
		}
	}()
	for _, port := range []*int{&r.Bare, &r.Authsvc, &r.Lua, &r.Vendor, &r.Registry} {
		if *port, err = freePort(); err != nil {
			return r, err
		}
	}
	for _, prepare := range []func(context.Context) error{r.writeFiles, r.writeCertificates, r.startBackends, r.startAuthsvc, r.startNginx, r.waitFor} {
		if err := prepare(ctx); err != nil {
			return r, err
		}
	}
	return r, nil
}

// licenses is the answer of the vendor's API for a customer with three products.
// The last one is pulled.
func licenses() (string, error) {
	var objects []vendorapi.License
	for i, product := range []string{"gateway", "console", "appliance"} {
		objects = append(objects, vendorapi.License{
			ID: fmt.Sprintf("lic_%d", i+1), Expiration: time.Now().AddDate(1, 0, 0),
			Releases: []vendorapi.Release{
				{Repository: "acme/" + product, Tags: []string{"1.*", "2.*"}},
				{Repository: "acme/" + product + "-tools", Tags: []string{"*"}},
			},
		})
	}
	body, err := json.Marshal(map[string]any{"type": "object_list", "api": "meta", "page": 1, "count": len(objects), "objects": objects})
	return string(body), err
}

func (r *rig) close() {
	for _, p := range []*process{r.nginx, r.authsvc, r.backends} {
		if p != nil {
			p.stop()
		}
	}
	_ = os.RemoveAll(r.Dir)
}

// logs returns the output of the processes, for an error.
func (r *rig) logs() string {
	var b strings.Builder
	for _, p := range []*process{r.nginx, r.authsvc, r.backends} {
		if p != nil {
			b.Write(p.output.Bytes())
		}
	}
	for _, name := range []string{"nginx-error.log", "backends-error.log"} {
		text, _ := os.ReadFile(filepath.Join(r.Dir, name))
		b.Write(text[:min(len(text), 2000)])
	}
	return b.String()
}

func (r *rig) writeFiles(context.Context) error {
	for _, name := range []string{"nginx.conf", "backends.conf"} {
		if err := render(name, filepath.Join(r.Dir, name), r); err != nil {
			return err
		}
	}
	lua, err := files.ReadFile("access.lua")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"access.lua": strings.ReplaceAll(string(lua), "@DIR@", r.Dir),
		"ecr-token":  r.Token,
		"wrk.lua":    fmt.Sprintf("wrk.headers[\"Authorization\"] = %q\n", r.authorization()),
	} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.CopyFS(filepath.Join(r.Dir, "registry"), os.DirFS("nginx/registry")); err != nil {
		return fmt.Errorf("%w; run bench at the root of the repository", err)
	}
	return r.writeSettings()
}

// render writes a template's text into a file that no other user can read.
func render(name, path string, data any) error {
	text, err := template.ParseFS(files, name+".tmpl")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := text.Execute(file, data); err != nil {
		return err
	}
	return file.Close()
}

// script is wrk's script with the credential, which no other user can read.
func (r *rig) script() string { return filepath.Join(r.Dir, "wrk.lua") }

func (r *rig) writeCertificates(context.Context) error {
	authority, err := pki.New(r.Dir)
	if err != nil {
		return err
	}
	if _, err := authority.Issue("registry", r.Host); err != nil {
		return err
	}
	_, err = authority.Issue("vendor", "api.kloudless.com", "127.0.0.1")
	return err
}

// writeSettings changes the includes' settings for the rig.
func (r *rig) writeSettings() error {
	return changeSettings(r.Dir, []setting{
		{"authsvc.conf", "/run/authsvc/authsvc.sock", filepath.Join(r.Dir, "authsvc.sock")},
		{"upstream.conf", "/etc/ssl/certs/ca-certificates.crt", filepath.Join(r.Dir, "ca.pem")},
	})
}

// A setting is a change in one of the includes' settings.
type setting struct{ file, from, to string }

// changeSettings changes the settings of the includes below a prefix.
func changeSettings(prefix string, settings []setting) error {
	for _, change := range settings {
		path := filepath.Join(prefix, "registry", "settings", change.file)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), change.from) {
			return fmt.Errorf("nginx/registry/settings/%s: expected it to contain %s", change.file, change.from)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), change.from, change.to)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) startBackends(ctx context.Context) (err error) {
	r.backends, err = start(ctx, r.Dir, "nginx", "-p", r.Dir, "-c", filepath.Join(r.Dir, "backends.conf"), "-e", "stderr")
	return err
}

func (r *rig) startNginx(ctx context.Context) (err error) {
	r.nginx, err = start(ctx, r.Dir, "nginx", "-p", r.Dir, "-c", filepath.Join(r.Dir, "nginx.conf"), "-e", "stderr")
	return err
}

func (r *rig) startAuthsvc(ctx context.Context) error {
	binary := filepath.Join(r.Dir, "authsvc")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./authsvc").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	if err := r.configure(1); err != nil {
		return err
	}
	p, err := start(ctx, r.Dir, "sh", "-c", `exec "$0" "$@" >authsvc.log`, binary, "--config", r.config(),
		"--listen.address", "unix:"+filepath.Join(r.Dir, "authsvc.sock"),
		"--private.address", "unix:"+filepath.Join(r.Dir, "private.sock"),
		"--kloudless.url", fmt.Sprintf("https://127.0.0.1:%d/", r.Vendor),
		"--kloudless.ca_file", filepath.Join(r.Dir, "ca.pem"))
	r.authsvc = p
	return err
}

// waitFor waits until each setup answers 200.
func (r *rig) waitFor(ctx context.Context) error {
	for _, port := range []int{r.Bare, r.Authsvc, r.Lua} {
		if err := r.waitForPort(ctx, port); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) waitForPort(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := r.get(ctx, port)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for port %d: %w", port, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// get requests the manifest and expects 200.
func (r *rig) get(ctx context.Context, port int) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/v2/acme/appliance/manifests/1.4", port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", r.authorization())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("expected status 200, found %d", response.StatusCode)
	}
	return nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}
