package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

const (
	// manyPrefixes is how many prefixes authsvc has in one of the setups.
	manyPrefixes = 200
	// prefixesPerRegistry is how many of them lead to the same registry.
	prefixesPerRegistry = 10
	// The difference is small, so there are many rounds, and short ones: what else
	// the machine does changes little from one measurement to the next.
	routeRounds  = 21
	routeSeconds = 1
)

// measureRoutes compares authsvc with many prefixes to authsvc with one, in turn. Each
// of them is the first in every second round.
func (r *rig) measureRoutes(ctx context.Context, stdout io.Writer) (float64, error) {
	fmt.Fprintf(stdout, "\nroutes: %d rounds of %d s, with %d prefixes and with one\n", routeRounds, routeSeconds, manyPrefixes)
	one := &way{name: "one prefix", port: r.Authsvc, processes: []*process{r.nginx, r.authsvc}}
	many := &way{name: fmt.Sprintf("%d prefixes", manyPrefixes), port: r.Authsvc, processes: one.processes}
	counts := map[*way]int{one: 1, many: manyPrefixes}
	order := []*way{one, many}
	for range routeRounds {
		for _, w := range order {
			if err := r.route(ctx, counts[w]); err != nil {
				return 0, err
			}
			if err := w.measure(ctx, r.script(), routeSeconds); err != nil {
				return 0, fmt.Errorf("%s: %w", w.name, err)
			}
		}
		slices.Reverse(order)
	}
	return ratio(many.requests, one.requests), showWays(stdout, []*way{one, many})
}

// A prefix is an entry of authsvc's prefixes: a text, or a map from the customers'
// prefix to the registry's.
type prefix any

// prefixes returns so many: the one that is pulled, and others of each kind.
func prefixes(count int) []prefix {
	all := []prefix{"acme/"}
	for i := 1; i < count; i++ {
		switch i % 4 {
		case 0:
			all = append(all, fmt.Sprintf("acme/appliance/part%03d/", i))
		case 1:
			all = append(all, fmt.Sprintf("vendor%03d/", i))
		default:
			all = append(all, map[string]string{fmt.Sprintf("acme/team%03d/", i): fmt.Sprintf("inner%03d/", i)})
		}
	}
	return all
}

// upstreams is authsvc's configuration of registries with so many prefixes, each with
// a token file of its own.
func (r *rig) upstreams(count int) ([]any, error) {
	var all []any
	for rest := prefixes(count); len(rest) > 0; {
		n := min(prefixesPerRegistry, len(rest))
		name := registryName(len(all))
		file, err := r.writeToken(name)
		if err != nil {
			return nil, err
		}
		all = append(all, map[string]any{
			"name": name, "prefixes": rest[:n], "token_file": file, "refresh_socket": "",
			"address": fmt.Sprintf("127.0.0.1:%d", r.Registry), "ca_file": filepath.Join(r.Dir, "ca.pem"),
		})
		rest = rest[n:]
	}
	return all, nil
}

func registryName(i int) string { return fmt.Sprintf("registry-%d", i) }

// writeToken writes a token file.
func (r *rig) writeToken(name string) (path string, err error) {
	// A separate directory, because authsvc watches it; the log is in the other one.
	path = filepath.Join(r.Dir, "token", name+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	token := tokenfile.Token{Host: r.Host, Value: tokenfile.NewValue(r.Token), FetchedAt: time.Now(), ExpiresAt: time.Now().Add(12 * time.Hour)}
	return path, tokenfile.Write(path, token)
}

// config is the path of authsvc's configuration, which has its registries; flags have
// the rest.
func (r *rig) config() string { return filepath.Join(r.Dir, "authsvc.yaml") }

func (r *rig) configure(count int) error {
	all, err := r.upstreams(count)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(map[string]any{"upstreams": all})
	if err != nil {
		return err
	}
	return os.WriteFile(r.config(), text, 0o600)
}

// route makes authsvc take over a configuration with so many prefixes. The process
// stays the same, and so does what it has cached.
func (r *rig) route(ctx context.Context, count int) error {
	if err := r.configure(count); err != nil {
		return err
	}
	if err := r.authsvc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	last := (count - 1) / prefixesPerRegistry
	for {
		text, err := r.metrics(ctx)
		if err == nil && knows(text, last) && !knows(text, last+1) {
			return r.get(ctx, r.Authsvc)
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for authsvc to know %d prefixes: %w", count, ctx.Err()), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// knows says whether authsvc's metrics have a registry.
func knows(metrics string, registry int) bool {
	return strings.Contains(metrics, fmt.Sprintf("upstream=%q", registryName(registry)))
}

// metrics are authsvc's.
func (r *rig) metrics(ctx context.Context) (string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.Dir, "private.sock"))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://authsvc/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
