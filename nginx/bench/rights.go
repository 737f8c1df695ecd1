package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/authtest"
	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/server"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// measureRights measures the cost of exact rights.
func measureRights(ctx context.Context, stdout io.Writer) (figures, error) {
	all := figures{}
	for _, part := range []struct {
		what string
		do   func(context.Context) (figures, error)
	}{
		{"alternating decisions by tag and by digest", measureDigests},
		{"1,000,000 digests in memory", measureMemory},
		{"learning 200 tags with 3 platforms of 10 layers, 20 ms per request", measureLearning},
		{"a list of 5,000 tags", measureLists},
	} {
		fmt.Fprintln(stdout, "rights:", part.what)
		measured, err := part.do(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.what, err)
		}
		for name, value := range measured {
			all[name] = value
		}
	}
	return all, nil
}

// A customer is licensed for everything.
type customer struct{ grants []auth.Grant }

func (c customer) Authenticate(context.Context, credential.Credential) (auth.Decision, error) {
	return auth.Decision{Subject: "ann@example.com", User: "ann@example.com", Grants: auth.NewGrants(c.grants...)}, nil
}

func (customer) Bearer() bool { return true }

// A registry has a token that is always valid.
type registry struct{ host string }

func (r registry) Current() (tokenfile.Token, error) {
	value := base64.StdEncoding.EncodeToString([]byte("AWS:" + strings.Repeat("x", 1700)))
	return tokenfile.Token{Host: r.host, Value: tokenfile.NewValue(value), FetchedAt: time.Unix(1, 0)}, nil
}

// Host implements remote.Upstream.
func (r registry) Host() (string, error) { return r.host, nil }

// Renew implements remote.Upstream.
func (r registry) Renew(context.Context, string) (tokenfile.Token, error) { return r.Current() }

// Wait implements upstream.Source.
func (r registry) Wait(context.Context, time.Time) (tokenfile.Token, error) { return r.Current() }

// everything matches each tag.
type everything struct{}

func (everything) Match(string) bool { return true }
func (everything) Key() string       { return "*" }

// authsvcOf returns authsvc's handler for a customer who may pull everything.
func authsvcOf(releases *release.Releases) (http.Handler, error) {
	repository, err := auth.NewPattern("acme/*")
	if err != nil {
		return nil, err
	}
	tag, err := auth.NewPattern("*")
	if err != nil {
		return nil, err
	}
	main := upstream.New(registry{"registry.example"}, upstream.Config{Name: "main"})
	routes := upstream.NewRoutes(upstream.Route{First: main})
	return server.New(server.Options{
		Decider: &decision.Decider{
			Authenticator: authtest.NewCache(customer{[]auth.Grant{{Repository: repository, Tag: tag, License: "lic_1"}}},
				auth.CacheConfig{TTL: time.Hour, RefusalTTL: time.Hour, MaxEntries: 10, MaxRefusals: 10}),
			Rules:     &entitlement.Rules{Releases: releases},
			Routes:    routes,
			Manifests: releases,
			Key:       credential.NewKey(nil),
		},
		Registries:  routes,
		Realm:       "registry",
		MaxRequests: 1024,
		Logger:      slog.New(slog.NewJSONHandler(io.Discard, nil)),
		Metrics:     server.NewMetrics(prometheus.NewRegistry()),
	}), nil
}

// question returns nginx's request to authsvc about uri.
func question(ctx context.Context, path, uri string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("X-Original-Method", http.MethodGet)
	r.Header.Set("X-Original-URI", uri)
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ann@example.com:token")))
	return r
}

// discard is a response writer that keeps nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header            { return d.header }
func (d *discard) Write(text []byte) (int, error) { return len(text), nil }
func (d *discard) WriteHeader(status int)         { d.status = status }

// measureDigests compares a decision by a layer's digest with one by a tag, for a
// known release.
func measureDigests(ctx context.Context) (figures, error) {
	images := catalogue{tags: 200, platforms: 3, layers: 10}
	releases := release.New(release.Options{Source: images, TagTTL: time.Hour, Timeout: time.Minute})
	defer releases.Close()
	handler, err := authsvcOf(releases)
	if err != nil {
		return nil, err
	}
	if _, err := releases.Find(ctx, "acme/appliance", images.digest(images.tags, 0, 0), everything{}); err != nil {
		return nil, err
	}
	cost := func(uri string) (float64, error) {
		var failed error
		result := testing.Benchmark(func(b *testing.B) {
			r, w := question(ctx, "/authorize", uri), &discard{header: http.Header{}}
			for b.Loop() {
				clear(w.header)
				handler.ServeHTTP(w, r)
			}
			if w.status != http.StatusOK {
				failed = fmt.Errorf("%s: expected status 200, found %d", uri, w.status)
			}
		})
		return float64(result.NsPerOp()), failed
	}
	var byTag, byDigest []float64
	for range rounds {
		ns, err := cost("/v2/acme/appliance/manifests/" + images.tag(7))
		if err != nil {
			return nil, err
		}
		byTag = append(byTag, ns)
		if ns, err = cost("/v2/acme/appliance/blobs/" + images.digest(7, 2, 5)); err != nil {
			return nil, err
		}
		byDigest = append(byDigest, ns)
	}
	return figures{"digest_decision_ratio": ratio(byDigest, byTag)}, nil
}

// measureMemory learns a million digests and measures their memory.
func measureMemory(ctx context.Context) (figures, error) {
	images := catalogue{tags: 10_000, platforms: 3, layers: 33}
	for images.digests() < 1_000_000 {
		images.tags++
	}
	before := heap()
	releases := release.New(release.Options{Source: images, TagTTL: time.Hour, Timeout: 5 * time.Minute, MaxDigests: 2_000_000})
	defer releases.Close()
	if _, err := releases.Find(ctx, "acme/appliance", images.digest(images.tags, 0, 0), everything{}); err != nil {
		return nil, err
	}
	after := heap()
	if releases.Size() < 1_000_000 {
		return nil, fmt.Errorf("expected 1,000,000 digests, found %d", releases.Size())
	}
	return figures{"digests_1m_mb": float64(after-before) / 1e6 / float64(releases.Size()) * 1_000_000}, nil
}

// heap returns the live heap in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below 2^63
}

// measureLists lists 5,000 known tags and 500 known repositories.
func measureLists(ctx context.Context) (figures, error) {
	releases := release.New(release.Options{Source: catalogue{tags: 5000, platforms: 1, layers: 1}, TagTTL: time.Hour, Timeout: time.Minute})
	defer releases.Close()
	handler, err := authsvcOf(releases)
	if err != nil {
		return nil, err
	}
	list := func() (time.Duration, error) {
		start := time.Now()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, question(ctx, "/list", "/v2/acme/appliance/tags/list"))
		took := time.Since(start)
		var body struct{ Tags []string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Tags) != 5000 {
			return 0, fmt.Errorf("expected 5,000 tags, found %d with status %d", len(body.Tags), w.Code)
		}
		return took, nil
	}
	var took []float64
	for range 10 * rounds {
		d, err := list()
		if err != nil {
			return nil, err
		}
		took = append(took, float64(d.Microseconds())/1000)
	}
	return figures{"list_5000_tags_ms": median(took[1:])}, nil
}
