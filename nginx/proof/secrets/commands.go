package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pullgate/pullgate/nginx/stack"
)

// program runs one of the programs by hand, and searches its output.
func (r *rig) program(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.programs(), name), args...) //nolint:gosec // the programs under test
	cmd.Env = append(append([]string{}, env...), "PATH="+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	r.learn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.search.Text("output", name+" "+strings.Join(args, " "), string(out))
	return string(out), err
}

// programs is the directory of the built programs.
func (r *rig) programs() string {
	if dir := os.Getenv(stack.BinDirEnv); dir != "" {
		return dir
	}
	return filepath.Join(r.stack.Dir, "bin")
}

// commands runs the programs by hand, with secrets where operators put them by
// mistake: in a URL, and in a proxy's address. Each must refuse or fail, without
// repeating the secret.
func (r *rig) commands(ctx context.Context) error {
	for _, name := range []string{"authsvc", "tokenrefresher"} {
		if _, err := r.program(ctx, nil, name, "check-config", "--config", filepath.Join(r.stack.Dir, name+".yaml")); err != nil {
			return err
		}
	}
	return errors.Join(r.badSettings(ctx), r.badProxy(ctx))
}

// badSettings are URLs with a password, in the settings.
func (r *rig) badSettings(ctx context.Context) error {
	registry := "registries:\n  - {name: main, region: eu-west-1, file: /x/main.json, %s: %q}\n"
	for i, t := range []struct{ program, settings string }{
		{"authsvc", "kloudless: {url: %q}\nupstream: {token_file: /x/main.json}\n"},
		{"authsvc", "kloudless: {url: https://x/, licenses_path: %q}\nupstream: {token_file: /x/main.json}\n"},
		{"authsvc", "kloudless: {url: https://x/}\nupstream: {token_file: /x/main.json, address: %q}\n"},
		{"authsvc", "kloudless: {url: https://x/}\nupstream: {token_file: /x/main.json, refresh_socket: %q}\n"},
		{"authsvc", "kloudless: {url: https://x/}\nupstream: {token_file: /x/main.json}\nlisten: {address: %q}\n"},
		{"tokenrefresher", strings.Replace(registry, "%s", "endpoint", 1)},
		{"tokenrefresher", strings.Replace(registry, "%s", "probe_url", 1)},
		{"tokenrefresher", strings.Replace(registry, "%s", "host", 1)},
	} {
		r.mu.Lock()
		secret := r.set.New(fmt.Sprintf("password in settings %d", i))
		r.mu.Unlock()
		for j, url := range []string{"https://robot:" + secret + "@x.example/", "https://robot:" + secret + "@x.example:port/%zz"} {
			file := filepath.Join(r.work, fmt.Sprintf("marked-%d-%d.yaml", i, j))
			if err := os.WriteFile(file, fmt.Appendf(nil, t.settings, url), 0o600); err != nil {
				return err
			}
			out, err := r.program(ctx, nil, t.program, "check-config", "--config", file)
			if err == nil {
				return fmt.Errorf("%s check-config: expected a password in a URL to be refused, found %s; the settings were %q", t.program, out, t.settings)
			}
		}
	}
	return nil
}

// badProxy are proxies that cannot be used, with a password in their address.
func (r *rig) badProxy(ctx context.Context) error {
	r.mu.Lock()
	secret := r.set.New("password in HTTP_PROXY")
	r.mu.Unlock()
	file := filepath.Join(r.work, "proxied.yaml")
	settings := fmt.Sprintf("registries:\n  - {name: main, region: eu-west-1, endpoint: 'http://ecr.invalid/', probe_url: 'http://registry.invalid/v2/', file: %s/proxied.json}\n", r.work) +
		"log: {level: debug}\ntimeout: 2s\nbackoff: {initial: 10ms, max: 20ms}\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return err
	}
	for _, address := range []string{
		"http://robot:" + secret + "@127.0.0.1:1/", "http://robot:" + secret + "@127.0.0.1:port/", "http://robot:" + secret + "%zz@127.0.0.1:1/",
		"robot:" + secret + "@127.0.0.1:x", "ftp://robot:" + secret + "@127.0.0.1:1/", "http://robot:" + secret + "@[::1/",
	} {
		env := []string{"HTTP_PROXY=" + address, "HTTPS_PROXY=" + address, "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=x", "AWS_EC2_METADATA_DISABLED=true"}
		if out, err := r.program(ctx, env, "tokenrefresher", "--once", "--config", file); err == nil {
			return fmt.Errorf("expected a proxy that cannot be used to fail a refresh, found %s", out)
		}
	}
	return nil
}
