package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// reads are requests for everything that a customer can read.
func (r *rig) reads() map[string]request {
	return map[string]request{
		"login": get("/v2/"), "catalog": get("/v2/_catalog"),
		"tags": get("/v2/" + repository + "/tags/list"), "a page of tags": get("/v2/" + repository + "/tags/list?n=1"),
		"manifest by tag":    get(manifest("1.0")),
		"manifest by digest": get(manifest(r.digest)),
		"blob":               get("/v2/" + repository + "/blobs/" + r.layer),
		"referrers":          get("/v2/" + repository + "/referrers/" + r.digest),
		"HEAD":               {method: http.MethodHead, uri: manifest("1.0")},
		"a range":            {uri: "/v2/" + repository + "/blobs/" + r.layer, header: http.Header{"Range": {"bytes=0-9"}}},
	}
}

func manifest(reference string) string { return "/v2/" + repository + "/manifests/" + reference }

// successes reads everything, with a cold and a warm cache, with tokens that ECR
// rejects and that are renewed within the request, and after restarts.
func (r *rig) successes(ctx context.Context) error {
	read := func() error {
		return r.shuffled(r.reads(), func(what string, q request) error {
			return r.want(ctx, what, q.as(r.ann), http.StatusOK, http.StatusTemporaryRedirect, http.StatusMovedPermanently)
		})
	}
	for _, prepare := range []func() error{
		func() error { return nil },
		func() error { time.Sleep(1100 * time.Millisecond); return nil }, // cache.ttl
		func() error { r.stack.ECR.InvalidateTokens(); return nil },
		func() error { return r.stack.RestartAuthsvc(ctx) }, // customers, key and releases are saved and loaded
		func() error { return r.stack.RestartTokenrefresher(ctx) },
		func() error { return r.stack.ReloadNginx(ctx) },
	} {
		if err := prepare(); err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// shuffled calls do for all requests, in an order that the seed determines.
func (r *rig) shuffled(all map[string]request, do func(what string, q request) error) error {
	names := sortedKeys(all)
	r.order.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var errs []error
	for _, name := range names {
		errs = append(errs, do(name, all[name]))
	}
	return errors.Join(errs...)
}
