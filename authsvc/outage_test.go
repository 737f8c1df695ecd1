package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// readiness is the status of /readyz, and of the health check for balancers.
func (r *running) readiness() (status, health int) {
	r.t.Helper()
	for of, get := range map[*int]func() (*http.Response, error){
		&status: func() (*http.Response, error) { return r.private.Get("http://authsvc/readyz") },
		&health: func() (*http.Response, error) { return r.client.Get("http://authsvc/health") },
	} {
		response, err := get()
		if err != nil {
			r.t.Fatal(err)
		}
		_ = response.Body.Close()
		*of = response.StatusCode
	}
	return status, health
}

// TestEverythingRestartsInAnOutage: the registry is gone, and with it the token, its file,
// and every process. What was known holds, is marked in the log, in a metric, and in an
// explanation, and is reason enough to stay in the balancer, if that is configured.
func TestEverythingRestartsInAnOutage(t *testing.T) {
	w := newWorld(t)
	configure := func(release string) {
		w.write("kloudless: {url: "+w.vendor.URL+"}", "release: {file: "+w.path("releases")+", tag_ttl: 1s, previous: 0s"+release+"}")
	}
	configure("")
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	r := w.start()
	if status := r.ask("ann@example.com:r1ght", blob); status != 200 {
		t.Fatalf("status %d", status)
	}
	r.stop()
	w.registry.Close()
	if err := os.Remove(w.path("main.json")); err != nil {
		t.Fatal(err)
	}

	r = w.start()
	if status, health := r.readiness(); status != 503 || health != 503 || !strings.HasPrefix(r.ready(), "not ready: ") {
		t.Errorf("/readyz is %d, %q; /health is %d", status, r.ready(), health)
	}
	stale := func() bool {
		r.ask("ann@example.com:r1ght", blob) // without a token, it cannot be forwarded
		return r.metrics() != "" && !r.metric(`authsvc_release_stale_total{kind="digest"} 0`)
	}
	r.eventually("the tag is older than release.previous, and holds", stale)
	if !strings.Contains(r.logged(), `"tag":"1.4"`) || !strings.Contains(r.logged(), `,"stale":true`) {
		t.Errorf("the log is\n%s", r.logged())
	}
	w.explains(blob, 4, "tag         1.4\n", "stale       the registry fails, and what it said last has decided", "step        entitle: ok", "step        key: outage")
	r.stop()

	configure(", ready_without_token: true")
	r = w.start()
	if status, health := r.readiness(); status != 200 || health != 200 || !strings.HasPrefix(r.ready(), "ok\ndegraded: no token for registry main: ") {
		t.Errorf("/readyz is %d, %q; /health is %d", status, r.ready(), health)
	}
	configure(", ready_without_token: true, stale: 0s")
	r.reload(reloaded)
	if status, health := r.readiness(); status != 503 || health != 503 {
		t.Errorf("without release.stale, /readyz is %d, and /health is %d", status, health)
	}
	if status := r.ask("ann@example.com:r1ght", blob); status != 403 || !strings.Contains(r.logged(), "looking for sha256:") {
		t.Errorf("without release.stale, status %d, and the log is\n%s", status, r.logged())
	}
}
