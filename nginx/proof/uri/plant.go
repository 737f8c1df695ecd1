package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A plant is a hole that is made on purpose, to see that it is found.
type plant struct {
	name, about string
	// file, old and new change one of nginx's includes; a map goes before the others.
	file, old, new, variable string
	// judge changes authsvc's answers.
	judge func(*http.Response)
}

// plants are holes that others had, one for each thing that the oracle checks.
func plants() []plant {
	return []plant{
		{name: "forward-decoded", about: "nginx forwards the normalized path, not the one that authsvc judged", file: "parts/forward/to-registry.conf", old: "$registry_target$request_uri", new: "$registry_target$uri"},
		{name: "judge-part", about: "authsvc judges the target without parameters, query, or encoded part", file: "parts/ask/question.conf", old: "X-Original-URI    $request_uri", new: "X-Original-URI    $planted",
			variable: `map $request_uri $planted { volatile; "~^(?<planted_match>[^;?#%]*)" $planted_match; default ""; }`},
		{name: "believe-client", about: "authsvc judges the target in a header of the client's", file: "parts/ask/question.conf", old: "X-Original-URI    $request_uri", new: "X-Original-URI    $planted",
			variable: `map $http_x_original_uri $planted { volatile; "" $request_uri; default $http_x_original_uri; }`},
		{name: "forward-body", about: "nginx forwards bodies", file: "parts/guard/requirements.conf", old: "proxy_pass_request_body   off;\nproxy_set_body            \"\";", new: ""},
		{name: "forward-contract", about: "nginx forwards a header of the contract that the client sent", file: "parts/forward/request-headers.conf", old: "proxy_set_header X-Original-URI            \"\";", new: ""},
		{name: "show-token", about: "nginx shows the headers of authsvc's answer", file: "parts/forward/to-registry.conf", old: "add_header X-Content-Type-Options          nosniff always;", new: "add_header X-Copy $registry_authorization always;"},
		{name: "html", about: "nginx answers malformed requests with its own page", file: "dedicated.conf", old: "error_page 400 408 414", new: "error_page 408 414"},
		{name: "allow-all", about: "authsvc allows whatever it would refuse", judge: allowAll()}, //nolint:bodyclose // a function
	}
}

// allowAll turns refusals into allowances, with the token of an earlier one.
func allowAll() func(*http.Response) {
	var last atomic.Pointer[http.Header]
	return func(r *http.Response) {
		if r.StatusCode == http.StatusOK && r.Header.Get("X-Ecr-Authorization") != "" {
			header := r.Header.Clone()
			last.Store(&header)
		}
		if header := last.Load(); header != nil && r.StatusCode == http.StatusForbidden && r.Request.URL.Path == "/authorize" {
			r.StatusCode, r.Header = http.StatusOK, header.Clone()
		}
	}
}

// prepare fills the registry, makes nginx send its ids, and plants the hole.
func (f *front) prepare(ctx context.Context, images map[string]v1.Image) error {
	if err := fill(ctx, f.stack, images); err != nil {
		return err
	}
	f.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.stack.CA(), ServerName: "docker.vendor.com", NextProtos: []string{"h2"}, ClientSessionCache: tls.NewLRUClientSessionCache(clients)}
	f.stack.ECR.Front.Watch(f.receive)
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

// works: what is licensed is served, or a run would prove nothing.
func (f *front) works(ctx context.Context) error {
	g := newGrammar(0, f.world)
	for _, target := range g.licensed[:6] {
		for _, http2 := range []bool{false, true} {
			x := exchange{parts: []part{{value: "GET " + target + " HTTP/1.1\r\n" + f.world.names["{customer}"] + "\r\n"}}}
			if http2 {
				x = exchange{http2: true, parts: []part{{":method", "GET"}, {":scheme", "https"}, {":path", target}, {":authority", "docker.vendor.com"}, {"authorization", authorization()}}}
			}
			answers, err := f.once(ctx, x)
			if err != nil || len(answers) != 1 || answers[0].status != http.StatusOK && answers[0].status != http.StatusTemporaryRedirect {
				return fmt.Errorf("GET %s, which is licensed: expected one answer, with 200 or 307, found %v, %w", target, answers, err)
			}
		}
	}
	return nil
}
