package stack

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// A store is a docker-registry with the images of one registry. What is in front of
// it, and the stack, know its only user.
type store struct {
	ecr.Backend
	dir string
}

// startStore starts Debian's docker-registry on a unix socket, as the process
// called name.
func (o *Outside) startStore(ctx context.Context, name, user string) (*store, error) {
	path, err := tool("docker-registry", "docker-registry")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "sock"))
		},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
	st := &store{dir: dir, Backend: ecr.Backend{URL: &url.URL{Scheme: "http", Host: "docker-registry"}, Transport: transport, User: user}}
	if err := st.configure(); err != nil {
		return nil, fmt.Errorf("configuring %s: %w", name, err)
	}
	p, err := o.start(name, command{argv: []string{path, "serve", filepath.Join(dir, "config.yml")}, env: baseEnv(dir)})
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.stores = append(o.stores, name)
	o.idle = append(o.idle, transport)
	o.mu.Unlock()
	client := &http.Client{Transport: transport}
	return st, poll(ctx, o.timeout, p, answers(client, "http://docker-registry/v2/", http.StatusUnauthorized))
}

// setPassword makes up a new password. docker-registry reads its users again when
// the file changes.
func (st *store) setPassword() error {
	st.Password = rand.Text()
	// The registry hashes on every request. For a password of 128 random bits the
	// lowest cost is enough.
	hash, err := bcrypt.GenerateFromPassword([]byte(st.Password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(st.dir, "htpasswd"), fmt.Appendf(nil, "%s:%s\n", st.User, hash), 0o600)
}

// configure writes config.yml and htpasswd.
// https://distribution.github.io/distribution/about/configuration/
func (st *store) configure() error {
	if err := st.setPassword(); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(st.dir, name) }
	text, err := yaml.Marshal(map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem": map[string]any{"rootdirectory": in("data")},
			"cache":      map[string]any{"blobdescriptor": "inmemory"},
			"delete":     map[string]any{"enabled": true},
		},
		"http":          map[string]any{"net": "unix", "addr": in("sock"), "secret": rand.Text()},
		"auth":          map[string]any{"htpasswd": map[string]any{"realm": "registry", "path": in("htpasswd")}},
		"compatibility": map[string]any{"schema1": map[string]any{"enabled": true}}, // old images stay
	})
	if err != nil {
		return err
	}
	return os.WriteFile(in("config.yml"), text, 0o600)
}

// An image is an image or an index.
type image interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Push pushes an image or an index as ref, "REPOSITORY:TAG", directly to the
// registry behind ECR, and returns its digest.
func (o *Outside) Push(ctx context.Context, ref string, what image) (digest string, err error) {
	return o.store.push(ctx, ref, what)
}

func (st *store) push(ctx context.Context, ref string, what image) (digest string, err error) {
	tag, err := st.tag(ref)
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	hash, err := what.Digest()
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	if err := remote.Push(tag, what, st.options(ctx)...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	return hash.String(), nil
}

// tag is a reference to what the store has.
func (st *store) tag(ref string) (name.Tag, error) {
	return name.NewTag("docker-registry.localhost/"+ref, name.Insecure, name.StrictValidation) // a name with a dot is a host
}

func (st *store) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(st.Transport),
		remote.WithAuth(&authn.Basic{Username: st.User, Password: st.Password}),
	}
}
