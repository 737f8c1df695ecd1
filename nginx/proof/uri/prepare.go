package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// edit changes one of the includes in the stack's own copy.
func (f *front) edit(file, old, now string) error {
	path := filepath.Join(f.stack.Dir, "nginx", "registry", file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), old) {
		return fmt.Errorf("nginx/registry/%s: expected it to contain %q", file, old)
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, now)), 0o600)
}

// prepare fills the registries, makes nginx send its ids, and plants the hole.
func (f *front) prepare(ctx context.Context) error {
	if err := f.world.fill(ctx, f.stack); err != nil {
		return err
	}
	f.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.stack.CA(), ServerName: "docker.vendor.com", NextProtos: []string{"h2"}, ClientSessionCache: tls.NewLRUClientSessionCache(clients)}
	for name, u := range f.stack.Upstreams {
		u.Front.Watch(func(r *http.Request) { f.receive(name, r) })
		u.Front.Inject(f.behave(name))
	}
	if err := f.edit("settings/upstream.conf", "resolver_timeout", "proxy_set_header "+idHeader+" $request_id;\nresolver_timeout"); err != nil {
		return err
	}
	if f.plant.file != "" {
		if err := f.edit(f.plant.file, f.plant.old, f.plant.new); err != nil {
			return fmt.Errorf("planting %s: %w", f.plant.name, err)
		}
		const maps = "include registry/parts/http/values.conf;"
		if err := f.edit("http.conf", maps, f.plant.variable+"\n"+maps); err != nil {
			return fmt.Errorf("planting %s: %w", f.plant.name, err)
		}
	}
	if err := f.stack.ReloadNginx(ctx); err != nil {
		return err
	}
	return f.works(ctx)
}

// works: what is licensed is served, and by the stand-by while the registry fails, or a
// run would prove nothing.
func (f *front) works(ctx context.Context) error {
	var targets []string
	for _, target := range newGrammar(0, f.world).licensed {
		if !strings.HasSuffix(target, "/manifests/1.9") {
			targets = append(targets, target)
		}
	}
	for _, target := range targets {
		for _, http2 := range []bool{false, true} {
			if err := f.serves(ctx, target, http2, ""); err != nil {
				return err
			}
		}
	}
	for _, target := range targets {
		if a, ok := f.world.entitled(http.MethodGet, target); ok {
			if _, ok := a.standby(); ok {
				if err := f.standsBy(ctx, target); err != nil {
					return err
				}
			}
		}
	}
	return f.calm(ctx)
}

// standsBy: authsvc learns in its own time what the registry has.
func (f *front) standsBy(ctx context.Context, target string) (err error) {
	for range 20 {
		if err := f.calm(ctx); err != nil {
			return err
		}
		if err = f.serves(ctx, target, false, behaviorHeader+": eu 503\r\n"); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("while the registry fails: %w", err)
}

// serves: a licensed target is served.
func (f *front) serves(ctx context.Context, target string, http2 bool, header string) error {
	x := exchange{parts: []part{{value: "GET " + target + " HTTP/1.1\r\n" + header + f.world.names["{customer}"] + "\r\n"}}}
	if http2 {
		x = exchange{http2: true, parts: []part{{":method", "GET"}, {":scheme", "https"}, {":path", target}, {":authority", "docker.vendor.com"}, {"authorization", authorization()}}}
	}
	answers, err := f.once(ctx, x)
	if err != nil || len(answers) != 1 || answers[0].status != http.StatusOK && answers[0].status != http.StatusTemporaryRedirect {
		return fmt.Errorf("GET %s, which is licensed: expected one answer, with 200 or 307, found %v, %w", target, answers, err)
	}
	return nil
}
