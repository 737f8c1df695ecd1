package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// push pushes an image to the registry.
func (w *world) push(reference string, image v1.Image) {
	w.t.Helper()
	ref, err := name.ParseReference(w.registry.Listener.Addr().String() + "/" + reference)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithTransport(w.registry.Client().Transport)); err != nil {
		w.t.Fatal(err)
	}
}

// pushSchema1 pushes a manifest of Docker's schema 1.
func (w *world) pushSchema1(repository, tag string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"schemaVersion":1,"name":%q,"tag":%q,"fsLayers":[{"blobSum":%q}]}`, repository, tag, "sha256:"+strings.Repeat("0", 64))
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPut, "https://"+w.registry.Listener.Addr().String()+"/v2/"+repository+"/manifests/"+tag, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
	response, err := w.registry.Client().Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode >= 300 {
		w.t.Fatalf("pushing: status %d", response.StatusCode)
	}
}

// writeUpstreams writes the program's configuration with a list of registries. All of them
// are the one of the world, but each has a token of its own.
func (w *world) writeUpstreams(upstreams ...string) {
	w.t.Helper()
	w.write("kloudless: {url: " + w.vendor.URL + "}")
	text, err := os.ReadFile(w.path("authsvc.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\nupstream: ")
	_, after, _ = strings.Cut(after, "\n")
	before, _, _ := strings.Cut(string(text), "upstream: ")
	list := "upstreams:\n"
	for _, u := range upstreams {
		which, _, _ := strings.Cut(u, ",")
		list += fmt.Sprintf("  - {%s, token_file: %s/%s.json, refresh_socket: \"\", address: \"%s\", ca_file: %s}\n", u, w.dir, strings.TrimPrefix(which, "name: "), w.registry.Listener.Addr(), w.path("ca.pem"))
	}
	if err := os.WriteFile(w.path("authsvc.yaml"), []byte(before+list+after), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// giveTokens writes a token for each of several registries.
func (w *world) giveTokens(names ...string) {
	w.t.Helper()
	for _, name := range names {
		token := tokenfile.Token{Host: name + ".example.com", FetchedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Value: tokenfile.NewValue(w.key)}
		if err := tokenfile.Write(w.path(name+".json"), token); err != nil {
			w.t.Fatal(err)
		}
	}
}

// report tells authsvc that a registry has failed, as nginx does.
func (r *running) report(registry string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://authsvc/report", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-Upstream-Status", "502")
	request.Header.Set("X-Upstream-Token-Id", registry+".x")
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = response.Body.Close()
}

// explains checks what an explanation says and does not say.
func (w *world) explains(reference string, status int, want ...string) {
	w.t.Helper()
	out, got := w.support("r1ght", "explain", "--user", "ann@example.com", reference)
	if got != status {
		w.t.Errorf("%s: status %d, want %d:\n%s", reference, got, status, out)
	}
	for _, text := range want {
		if text, unwanted := strings.CutPrefix(text, "not "); strings.Contains(out, text) == unwanted {
			w.t.Errorf("%s: expected %q (not: %t), found:\n%s", reference, text, unwanted, out)
		}
	}
}

// TestExplainSeveralRegistries: which one it is, under which name, and what to do.
func TestExplainSeveralRegistries(t *testing.T) {
	w := newWorld(t)
	w.push("prod-eu/appliance:1.4", w.image)
	w.pushSchema1("prod-eu/appliance", "1.0")
	w.giveTokens("eu", "us", "partner")
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/], standby: us", "name: us", "name: partner, prefixes: [partner/]", "name: late, prefixes: [late/]")
	r := w.start()
	if ready := r.ready(); !strings.HasPrefix(ready, "ok\ndegraded: no token for registry late: ") || strings.Count(ready, "\n") != 2 {
		t.Errorf("/readyz says %s", ready)
	}
	for _, line := range []string{`authsvc_upstream_on_standby{upstream="eu"} 0`, `authsvc_registry_breaker_open{upstream="partner"} 0`} {
		if !r.metric(line) {
			t.Errorf("expected the metric %s, found\n%s", line, r.metrics())
		}
	}
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	w.explains("acme/appliance:1.4", 0, "upstream    eu, where the repository is prod-eu/appliance\n", "token       for eu.example.com", "eu.example.com: the tag is sha256:", "step        route: ok", "answer      200")
	w.explains(blob, 0, "tag         1.4", "upstream    eu, where the repository is prod-eu/appliance\n")
	w.explains("acme/appliance:1.5", 3, "it has no such tag", "404 MANIFEST_UNKNOWN: acme/appliance:1.5 does not exist", "next        the license covers it, but the registry does not have it: push the tag")
	w.explains("acme/appliance:1.0", 3, "the tag is sha256:", "404 MANIFEST_UNKNOWN: this image has a manifest of Docker's old schema 1", "next        push it again with a current client")
	w.explains("acme/appliance:2.0", 3, "it has no such tag", "next        no license covers this tag, and the registry does not have it")
	w.explains("/v2/acme/appliance/tags/list", 0, "answer      200")

	w.writeUpstreams("name: partner, prefixes: [partner/]")
	r.reload(reloaded)
	w.explains("acme/appliance:1.4", 3, "not upstream    ", "not it has no such tag", "404 NAME_UNKNOWN: repository acme/appliance does not exist or is not part of your license",
		"step        route: refused", "next        a license covers it, but no registry has it: add a prefix")
	w.explains("/v2/acme/appliance/tags/list", 3, "404 NAME_UNKNOWN")
	if r.metric(`authsvc_upstream_on_standby{upstream="eu"} 0`) {
		t.Error("the metrics of the configuration before are still there")
	}
}

// TestExplainStandby: while the first registry fails, and when only authsvc has noticed.
func TestExplainStandby(t *testing.T) {
	w := newWorld(t)
	w.giveTokens("eu", "us")
	w.writeUpstreams("name: eu, prefixes: [acme/], standby: us", "name: us")
	r := w.start()
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	if status := r.ask("ann@example.com:r1ght", blob); status != 200 {
		t.Fatalf("status %d", status)
	}
	newer, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.push("acme/appliance:1.5", newer)
	w.explains("acme/appliance:1.4", 0, "upstream    eu\n", "eu.example.com: the tag is")
	w.registry.Close()
	w.explains("acme/appliance:1.4", 0, "upstream    eu\n", "no answer", "answer      200", "next        nothing; the registry did not answer authsvc, but its stand-by has what it had")
	w.explains("acme/appliance:1.5", 4, "upstream    eu\n", "no answer", "503 UNAVAILABLE")
	for range 5 {
		r.report("eu")
	}
	if !strings.Contains(r.ready(), "degraded: registry eu fails, and its stand-by serves what is known") {
		t.Errorf("/readyz says %s", r.ready())
	}
	for range 2 {
		w.explains("acme/appliance:1.4", 0, "upstream    us, standing in for the registry, which fails\n", "token       for us.example.com", "answer      200", "not no answer")
		w.explains(blob, 0, "upstream    us, standing in")
	}
	w.explains("acme/appliance:1.5", 4, "upstream    eu\n", "503 UNAVAILABLE")
}

// TestExplainRenamedInAnOutage: what is known is served, and what is not is an outage.
func TestExplainRenamedInAnOutage(t *testing.T) {
	w := newWorld(t)
	w.push("prod-eu/appliance:1.4", w.image)
	w.giveTokens("eu")
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/]")
	w.start()
	w.registry.Close()
	w.explains("acme/appliance:1.4", 4, "step        route: outage", "503 UNAVAILABLE", "next        the registry could not be asked what the tag is", "not registry    ")
}

// TestReloadRegistries: a request under way ends with those that it began with, and what
// is known of a registry stays.
func TestReloadRegistries(t *testing.T) {
	w := newWorld(t)
	w.push("prod-eu/appliance:1.4", w.image)
	w.giveTokens("eu", "us")
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/]")
	r := w.start()
	blob := "/v2/acme/appliance/blobs/" + w.layer()
	if status := r.ask("ann@example.com:r1ght", blob); status != 200 {
		t.Fatalf("status %d", status)
	}
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/], standby: us, timeout: 9s", "name: us")
	r.reload(reloaded)
	w.registry.Close()
	if status := r.ask("ann@example.com:r1ght", blob); status != 200 {
		t.Errorf("status %d for what was known", status)
	}
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/, other/: prod-eu/]")
	r.reload(refused)
	if !strings.Contains(r.logged(), "expected one name for each repository, found that the registry's prod-eu/ would be acme/ and other/") || !r.metric(`authsvc_upstream_on_standby{upstream="eu"} 0`) {
		t.Errorf("after a bad reload, the log is\n%s", r.logged())
	}
	// The same names at another registry: nothing is known of it.
	w.writeUpstreams("name: us, prefixes: [acme/: prod-eu/]")
	r.reload(reloaded)
	if status := r.ask("ann@example.com:r1ght", blob); status != 403 {
		t.Errorf("status %d for what another registry had", status)
	}
}

// TestCheckOnline: each registry is asked with its own token.
func TestCheckOnline(t *testing.T) {
	w := newWorld(t)
	w.giveTokens("eu", "us")
	expired := tokenfile.Token{Host: "old.example.com", FetchedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(-time.Minute), Value: tokenfile.NewValue(w.key)}
	if err := tokenfile.Write(w.path("old.json"), expired); err != nil {
		t.Fatal(err)
	}
	stranger := expired
	stranger.Host, stranger.ExpiresAt = "registry.invalid", time.Time{}
	if err := tokenfile.Write(w.path("stranger.json"), stranger); err != nil {
		t.Fatal(err)
	}
	check := func() (out string, failed bool) {
		var printed strings.Builder
		err := run(t.Context(), []string{"check-config", "--online", "--config", w.path("authsvc.yaml")}, nil, &printed, &printed)
		return printed.String(), err != nil
	}
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/], standby: us", "name: us")
	out, failed := check()
	for _, want := range []string{"token file " + w.path("eu.json") + ": ok\n", "registry eu.example.com: ok\n", "token file " + w.path("us.json") + ": ok\n", "registry us.example.com: ok\n"} {
		if failed || !strings.Contains(out, want) {
			t.Errorf("failed %t, expected %s, found\n%s", failed, want, out)
		}
	}
	w.writeUpstreams("name: eu, prefixes: [acme/: prod-eu/], standby: us", "name: us", "name: old, prefixes: [old/]", "name: none, prefixes: [none/]", "name: stranger, prefixes: [stranger/]")
	out, failed = check()
	for _, want := range []string{"registry us.example.com: ok\n", "token file " + w.path("old.json") + ": FAILED: the token expired at", "token file " + w.path("none.json") + ": FAILED: ",
		"token file " + w.path("stranger.json") + ": ok\n", "registry registry.invalid: FAILED: "} {
		if !failed || !strings.Contains(out, want) {
			t.Errorf("failed %t, expected %s, found\n%s", failed, want, out)
		}
	}
	if strings.Contains(out, "registry old.example.com") || strings.Contains(out, w.key) {
		t.Errorf("a registry was asked without a token, or the token is shown:\n%s", out)
	}
}
