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

// registryUser is the only user of the registry behind the stand-in for ECR. Only
// the stand-in and the stack know the password.
const registryUser = "AWS"

// startRegistry starts Debian's docker-registry on a unix socket.
func (o *Outside) startRegistry(ctx context.Context) error {
	path, err := tool("docker-registry", "docker-registry")
	if err != nil {
		return err
	}
	dir := filepath.Join(o.Dir, "registry")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("starting docker-registry: %w", err)
	}
	password := rand.Text()
	if err := writeRegistryConfig(dir, password); err != nil {
		return err
	}
	socket := filepath.Join(dir, "sock")
	o.registryTransport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
	o.backend = ecr.Backend{
		URL:       &url.URL{Scheme: "http", Host: "docker-registry"},
		Transport: o.registryTransport,
		User:      registryUser,
		Password:  password,
	}
	p, err := o.start("docker-registry", command{argv: []string{path, "serve", filepath.Join(dir, "config.yml")}, env: baseEnv(dir)})
	if err != nil {
		return err
	}
	client := &http.Client{Transport: o.registryTransport}
	return poll(ctx, o.timeout, p, answers(client, "http://docker-registry/v2/", http.StatusUnauthorized))
}

// writeRegistryConfig writes config.yml and htpasswd.
// https://distribution.github.io/distribution/about/configuration/
func writeRegistryConfig(dir, password string) error {
	// The registry hashes on every request. For a password of 128 random bits the
	// lowest cost is enough.
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("configuring docker-registry: %w", err)
	}
	users := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(users, fmt.Appendf(nil, "%s:%s\n", registryUser, hash), 0o600); err != nil {
		return fmt.Errorf("configuring docker-registry: %w", err)
	}
	text, err := yaml.Marshal(map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem": map[string]any{"rootdirectory": filepath.Join(dir, "data")},
			"cache":      map[string]any{"blobdescriptor": "inmemory"},
		},
		"http": map[string]any{"net": "unix", "addr": filepath.Join(dir, "sock"), "secret": rand.Text()},
		"auth": map[string]any{"htpasswd": map[string]any{"realm": "registry", "path": users}},
	})
	if err != nil {
		return fmt.Errorf("configuring docker-registry: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), text, 0o600); err != nil {
		return fmt.Errorf("configuring docker-registry: %w", err)
	}
	return nil
}

// Push pushes an image or an index as ref, "REPOSITORY:TAG", directly to the
// registry behind ECR, and returns its digest.
func (o *Outside) Push(ctx context.Context, ref string, what interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}) (digest string, err error) {
	tag, err := name.NewTag("docker-registry.localhost/"+ref, name.Insecure, name.StrictValidation) // a name with a dot is a host
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	hash, err := what.Digest()
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(o.registryTransport),
		remote.WithAuth(&authn.Basic{Username: o.backend.User, Password: o.backend.Password}),
	}
	if err := remote.Push(tag, what, options...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	return hash.String(), nil
}
