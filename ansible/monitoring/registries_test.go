package monitoring_test

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/ecr"
	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// registries are all that the alerts know: one alone, and one with a stand-by.
var registries = []stack.UpstreamOptions{
	{Name: "main", Prefixes: []any{"acme/", "other/"}},
	{Name: "eu", ECR: ecr.Options{Region: "eu-west-1"}, Prefixes: []any{"vendor/"}, Standby: "us"},
	{Name: "us", ECR: ecr.Options{Region: "us-east-1"}},
}

// The troubles of registries and their tokens.

func registryDown(w *world) {
	w.stack.ECR.Endpoint.Inject(standin.Fault{Reset: true})
	w.until(func() { w.ask(blobs+w.digest(), secret) }, "RegistryLookupsFail", "AuthsvcUnavailable")
	w.stack.ECR.Endpoint.ClearFaults()
	w.recover()
}

// registryUnreachable: authsvc can ask the registry, and nginx cannot.
func registryUnreachable(w *world) {
	w.stack.ECR.Front.Inject(standin.Fault{Reset: true})
	w.until(func() {
		w.want(licensed, secret, 503)
		if w.probe() {
			w.t.Error("the made-up pull succeeds")
		}
	}, "RegistryUnreachable", "ProbeFails")
	w.stack.ECR.Front.ClearFaults()
	w.recover()
}

// regionDown: customers get from the stand-by what they had from the first, and nobody
// is woken.
func regionDown(w *world) {
	eu, endpoint := w.stack.Upstreams["eu"].Front, w.stack.Upstreams["eu"].Endpoint
	w.want(replicated, secret, 200)
	eu.Inject(standin.Fault{Reset: true})
	w.until(func() { w.atOnce(5, replicated, func() string { return secret }) }, "RegistryOnStandby")
	w.want(replicated, secret, 200)
	// Otherwise authsvc learns it from the endpoint while nginx still waits for the front.
	endpoint.Inject(standin.Fault{Reset: true, Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path.Base(unseen)) }})
	w.want(unseen, secret, 503)
	endpoint.ClearFaults()
	for _, a := range w.prom.alerts() {
		if a.Labels["alertname"] == "RegistryUnreachable" && a.Labels["upstream"] != "main" {
			w.t.Errorf("RegistryUnreachable is active for %s, though the stand-by serves", a.Labels["upstream"])
		}
	}
	eu.ClearFaults()
	waitFor(w.t, func() string {
		if len(w.prom.query(`authsvc_upstream_on_standby{upstream="eu"} == 0`)) == 0 {
			return "eu to serve again"
		}
		return ""
	})
}

// awsRefuses: the first token is invalidated and no replacement can be fetched;
// later tokens expire too soon.
func awsRefuses(w *world) {
	refusal := standin.Fault{Status: http.StatusBadRequest, Body: ecr.APIFault("AccessDeniedException", "not authorized")}
	refusal.Header = http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	w.stack.ECR.API.Inject(refusal)
	w.stack.ECR.InvalidateTokens()
	w.until(func() { w.want(licensed, secret, 503) }, "TokenrefresherFails")

	w.stack.ECR.API.ClearFaults()
	w.stack.ECR.SetTokenLifetime(10 * time.Minute)
	w.recover()
	w.until(nothing, "TokenExpiresSoon", "TokenNearlyExpired")

	w.stack.ECR.SetTokenLifetime(3 * time.Second)
	w.stack.ECR.InvalidateTokens()
	w.recover()
	w.stack.ECR.API.Inject(refusal)
	w.until(nothing, "TokenrefresherTokenUnusable", "AuthsvcNoToken")

	w.stack.ECR.API.ClearFaults()
	w.stack.ECR.SetTokenLifetime(12 * time.Hour)
	w.recover()
}

func rejectsEach(w *world) {
	w.until(func() {
		w.stack.ECR.InvalidateTokens()
		w.recover()
	}, "TokenrefresherTooOften")
}

func cannotStore(w *world) {
	dir := filepath.Dir(w.stack.TokenFile())
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			w.t.Fatal(err)
		}
	}
	rename(dir, dir+".away")
	w.stack.ECR.InvalidateTokens()
	w.until(func() { w.want(licensed, secret, 503) }, "TokenrefresherCannotStore")
	rename(dir+".away", dir)
	w.recover()
}
