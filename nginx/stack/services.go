package stack

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// baseEnv is the environment of every child, without the user's variables.
func baseEnv(home string) []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "LANG=C.UTF-8"}
}

// configureTokenrefresher writes tokenrefresher.yaml.
func (s *Stack) configureTokenrefresher() error {
	var registries []any
	for _, u := range s.upstreams {
		registries = append(registries, s.refresherEntry(u))
	}
	return s.configure("tokenrefresher", map[string]any{
		"registries":      append(registries, s.opts.Registries...),
		"control.address": "unix:" + s.controlSocket(),
		"private.address": fmt.Sprintf("127.0.0.1:%d", s.refresherPort),
	}, s.opts.Tokenrefresher)
}

// refresherEntry is an entry of tokenrefresher's registries.
func (s *Stack) refresherEntry(u *Upstream) map[string]any {
	entry := map[string]any{
		"name":      u.Name,
		"host":      u.address(s.opts.stream()),
		"probe_url": u.Front.URL() + "/v2/", // by address: only the stack's own DNS has the name
		"ca_file":   s.ca.File,
		"file":      u.TokenFile,
	}
	if u.ECR == nil {
		maps.Copy(entry, map[string]any{"kind": "basic", "username_file": u.userFile(), "password_file": u.passwordFile()})
	} else {
		maps.Copy(entry, map[string]any{"kind": "ecr", "region": or(u.opts.ECR.Region, ecr.Region), "endpoint": u.ECR.API.URL()})
		if account := u.opts.ECR.Account; account != "" {
			entry["registry_id"] = account
		}
	}
	maps.Copy(entry, u.opts.Registry)
	return entry
}

// configureAuthsvc writes authsvc.yaml.
func (s *Stack) configureAuthsvc() error {
	listen := "systemd:authsvc"
	if s.opts.AuthsvcTCP {
		listen = "tcp:" + s.socket.addr
	}
	keys, err := s.sourceKeys()
	if err != nil {
		return fmt.Errorf("configuring authsvc: %w", err)
	}
	maps.Copy(keys, map[string]any{
		"listen.address":  listen,
		"private.address": fmt.Sprintf("127.0.0.1:%d", s.authsvcPort),
		"explain.address": "unix:" + filepath.Join(s.Dir, "explain.sock"),
		"realm":           ServerName,
		"messages.renew":  "renew at https://vendor.com/licenses",
		"cache.file":      filepath.Join(s.Dir, "customers"),
		"cache.key_file":  filepath.Join(s.Dir, "key"),
	})
	var upstreams []any
	for _, u := range s.upstreams {
		upstreams = append(upstreams, s.authsvcEntry(u))
	}
	if len(s.opts.Upstreams) > 0 {
		keys["upstreams"] = upstreams
		return s.configure("authsvc", keys, s.opts.Authsvc)
	}
	for key, value := range s.authsvcUpstream(s.upstreams[0]) {
		keys["upstream."+key] = value
	}
	return s.configure("authsvc", keys, s.opts.Authsvc)
}

// authsvcUpstream are authsvc's keys of one registry.
func (s *Stack) authsvcUpstream(u *Upstream) map[string]any {
	return map[string]any{
		"token_file":     u.TokenFile,
		"refresh_socket": "unix:" + s.controlSocket(),
		"refresh_name":   u.Name,
		"address":        u.Endpoint.Addr(), // only the stack's own DNS has the name
		"ca_file":        s.ca.File,
	}
}

// authsvcEntry is an entry of authsvc's upstreams.
func (s *Stack) authsvcEntry(u *Upstream) map[string]any {
	entry := s.authsvcUpstream(u)
	entry["name"] = u.Name
	if len(u.opts.Prefixes) > 0 {
		entry["prefixes"] = u.opts.Prefixes
	}
	if u.opts.Standby != "" {
		entry["standby"] = u.opts.Standby
	}
	maps.Copy(entry, u.opts.Authsvc)
	return entry
}

// configure writes NAME.yaml from dotted keys; changes take precedence.
func (s *Stack) configure(name string, keys, changes map[string]any) error {
	maps.Copy(keys, changes)
	tree := map[string]any{}
	for key, value := range keys {
		parts := strings.Split(key, ".")
		node := tree
		for _, part := range parts[:len(parts)-1] {
			child, ok := node[part].(map[string]any)
			if !ok {
				child = map[string]any{}
				node[part] = child
			}
			node = child
		}
		node[parts[len(parts)-1]] = value
	}
	text, err := yaml.Marshal(tree)
	if err != nil {
		return fmt.Errorf("configuring %s: %w", name, err)
	}
	if err := os.WriteFile(s.configFile(name), text, 0o600); err != nil {
		return fmt.Errorf("configuring %s: %w", name, err)
	}
	return nil
}

func (s *Stack) configFile(name string) string { return filepath.Join(s.Dir, name+".yaml") }

func (s *Stack) controlSocket() string { return filepath.Join(s.Dir, "control.sock") }

// TokenFile is the path of the file that tokenrefresher writes, of the first
// registry.
func (s *Stack) TokenFile() string { return s.upstreams[0].TokenFile }

// StartTokenrefresher starts or restarts it and waits until it is ready.
func (s *Stack) StartTokenrefresher(ctx context.Context) error {
	env := append(baseEnv(s.Dir), s.opts.Env...)
	if s.opts.AWSEnv != nil {
		env = append(env, s.opts.AWSEnv...)
	} else {
		env = append(env, "AWS_ACCESS_KEY_ID="+ecr.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+ecr.SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true")
	}
	p, err := s.start("tokenrefresher", command{
		argv: []string{filepath.Join(s.binDir, "tokenrefresher"), "--config", s.configFile("tokenrefresher")},
		env:  env,
	})
	if err != nil {
		return err
	}
	return poll(ctx, s.opts.Timeout, p, answers(s.client, s.TokenrefresherURL()+"/readyz", http.StatusOK))
}

// TokenrefresherURL is where tokenrefresher serves /healthz, /readyz, /metrics.
func (s *Stack) TokenrefresherURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d", s.refresherPort)
}

// AuthsvcURL is where authsvc serves /healthz, /readyz, /metrics.
func (s *Stack) AuthsvcURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.authsvcPort) }

// RestartTokenrefresher stops it with SIGTERM and starts it, as systemd would.
func (s *Stack) RestartTokenrefresher(ctx context.Context) error {
	if err := s.StopTokenrefresher(); err != nil {
		return err
	}
	return s.StartTokenrefresher(ctx)
}

// StopTokenrefresher stops it with SIGTERM.
func (s *Stack) StopTokenrefresher() error { return s.Process("tokenrefresher").Stop() }

// KillTokenrefresher kills it.
func (s *Stack) KillTokenrefresher() { s.Process("tokenrefresher").Kill() }

// WaitForToken waits until the file has a token that was fetched after t, and
// returns how long that took. Like authsvc, it reads the file and does not ask
// tokenrefresher.
func (s *Stack) WaitForToken(ctx context.Context, t time.Time) error {
	for {
		fetched, err := tokenFetchedAt(s.TokenFile())
		if err == nil && fetched.After(t) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a token fetched after %s, found one of %s (%w): %w", t.Format(time.RFC3339Nano), fetched.Format(time.RFC3339Nano), err, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
