package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestEntitled: what is licensed, and what registries may be sent then.
func TestEntitled(t *testing.T) {
	w := world1(t)
	names := w.replacer(false)
	const no = ""
	for _, tt := range []struct{ target, first, standby string }{
		{"/v2/acme/appliance/manifests/1.0", "eu /v2/acme/appliance/manifests/1.0", "us /v2/acme/appliance/manifests/{manifest}"},
		{"/v2/acme/appliance/manifests/1.0?", "eu /v2/acme/appliance/manifests/1.0?", "us /v2/acme/appliance/manifests/{manifest}"},
		{"/v2/acme/appliance/manifests/1.0?ns=x", "eu /v2/acme/appliance/manifests/1.0?ns=x", "us /v2/acme/appliance/manifests/{manifest}?ns=x"},
		{"/v2/acme/appliance/manifests/1.9", "eu /v2/acme/appliance/manifests/1.9", no},
		{"/v2/acme/appliance/manifests/{manifest}", "eu /v2/acme/appliance/manifests/{manifest}", "us /v2/acme/appliance/manifests/{manifest}"},
		{"/v2/acme/appliance/blobs/{layer}?", "eu /v2/acme/appliance/blobs/{layer}?", "us /v2/acme/appliance/blobs/{layer}?"},
		{"/v2/acme/appliance/referrers/{manifest}", "eu /v2/acme/appliance/referrers/{manifest}", no},
		{"/v2/vendor/app/manifests/1.0", "eu /v2/prod-eu/app/manifests/{vendor-manifest}", "us /v2/prod-eu/app/manifests/{vendor-manifest}"},
		{"/v2/vendor/app/manifests/1.0?", "eu /v2/prod-eu/app/manifests/{vendor-manifest}", "us /v2/prod-eu/app/manifests/{vendor-manifest}"},
		{"/v2/vendor/app/blobs/{vendor-layer}?ns=x", "eu /v2/prod-eu/app/blobs/{vendor-layer}?ns=x", "us /v2/prod-eu/app/blobs/{vendor-layer}?ns=x"},
		{"/v2/vendor/app/referrers/{vendor-manifest}", "eu /v2/prod-eu/app/referrers/{vendor-manifest}", no},
		{"/v2/vendor/app/manifests/1.9", no, no},
		{"/v2/vendor/deep/app/manifests/1.0", "jp /v2/prod-jp/app/manifests/{deep-manifest}", no},
	} {
		a, ok := w.entitled(http.MethodGet, names(tt.target))
		if !ok {
			t.Errorf("%s is not licensed", tt.target)
			continue
		}
		first, toFirst := a.first()
		standby, toStandby := a.standby()
		for _, hop := range []struct {
			hop
			ok   bool
			want string
		}{{first, toFirst, tt.first}, {standby, toStandby, tt.standby}} {
			if got := hop.registry + " " + hop.path; hop.ok != (hop.want != "") || hop.ok && got != names(hop.want) {
				t.Errorf("%s: got %s, %v; want %q", tt.target, got, hop.ok, names(hop.want))
			}
		}
		if _, ok := w.entitled(http.MethodPut, names(tt.target)); ok {
			t.Errorf("%s may be written", tt.target)
		}
	}
	for _, target := range []string{
		"/v2/acme/appliance/manifests/2.0", "/v2/acme/appliance/manifests/{unlicensed-manifest}", "/v2/acme/appliance/blobs/{forbidden-layer}", "/v2/vault/engine/blobs/{layer}",
		"/v2/acme/appliance/extra/manifests/1.0", "/v2/acme/appliance/manifests/1.0/", "/v2/acme/appliance/manifests/1.0#", "/v2/acme/appliance/manifests/1.0?#", "/v2/acme/appliance/blobs/1.0",
		"/v2/acme/appliance/../other/manifests/1.0", "", "/v2/prod-eu/app/manifests/1.0", "/v2/prod-eu/app/blobs/{vendor-layer}", "/v2/vendor/manifests/1.0", "/v2/vendor//app/manifests/1.0", "/v2/vendor/app/blobs/{layer}",
		"/v2/vendor/app/manifests/{shadowed-manifest}", "/v2/acme/appliance/manifests/{withdrawn-manifest}",
	} {
		if _, ok := w.entitled(http.MethodGet, names(target)); ok {
			t.Errorf("%s is licensed", target)
		}
	}
}

// TestFaked: of a false answer of authsvc, only a path that asks for the same counts.
func TestFaked(t *testing.T) {
	names := world1(t).replacer(false)
	for _, tt := range []struct {
		client, answer, forwarded string
		ok                        bool
	}{
		{"/v2/a/manifests/1.0", "", "/v2/a/manifests/1.0", true},
		{"/v2/a/manifests/1.0?", "", "/v2/a/manifests/1.0?", true},
		{"/v2/a/../b/manifests/1.0", "", "/v2/a/../b/manifests/1.0", false},
		{"/v2/_catalog", "", "/v2/_catalog", false},
		{"/v2/a/manifests/1.0", "/v2/b/manifests/1.0", "/v2/b/manifests/1.0", true},
		{"/v2/a/manifests/1.0?", "/v2/b/c/manifests/1.0", "/v2/b/c/manifests/1.0", true},
		{"/v2/a/manifests/1.0?n=1", "/v2/b/manifests/{manifest}?n=1", "/v2/b/manifests/{manifest}?n=1", true},
		{"/v2/a/manifests/1.0?n=1", "/v2/b/manifests/{manifest}", "/v2/b/manifests/{manifest}", false},
		{"/v2/a/manifests/1.0", "/v2/b/manifests/1.0?n=1", "/v2/b/manifests/1.0?n=1", false},
		{"/v2/a/manifests/1.0", "/v2/b/manifests/2.0", "/v2/b/manifests/2.0", false},
		{"/v2/a/manifests/1.0", "/v2/b/blobs/{manifest}", "/v2/b/blobs/{manifest}", false},
		{"/v2/a/blobs/{layer}", "/v2/b/blobs/{manifest}", "/v2/b/blobs/{manifest}", false},
		{"/v2/a/blobs/1.0", "/v2/b/blobs/1.0", "/v2/b/blobs/1.0", false},
		{"/v2/a/manifests/{manifest}", "/v2/b/manifests/{layer}", "/v2/b/manifests/{layer}", false},
		{"/v2/a/manifests/1.0", "/v2/b/../c/manifests/1.0", "/v2/b/../c/manifests/1.0", false},
		{"/v2/a/manifests/1.0", "/v2/b/manifests/1.0", "/v2/a/manifests/1.0", false},
		{"/v2/a/manifests/1.0", "|/v2/b/manifests/1.0", "/v2/b/manifests/1.0", false},
	} {
		allowed := allowance{hop: hop{path: names(tt.answer)}}
		if tt.answer == "" {
			allowed.path = names(tt.client)
		}
		if err := checkFaked(names(tt.client), allowed, names(tt.forwarded)); (err == nil) != tt.ok {
			t.Errorf("%s, answered by %q: %s: %v", tt.client, tt.answer, tt.forwarded, err)
		}
	}
}

// TestBehaviors: a client says what each registry does.
func TestBehaviors(t *testing.T) {
	h := http.Header{behaviorHeader: {"eu 503, us link", "jp nothing,jp  reset, eu 404"}}
	for registry, want := range map[string]string{"eu": "503", "us": "link", "jp": "", "partner": ""} {
		if got := behaviorOf(registry, h); got != want {
			t.Errorf("%s: %q, want %q", registry, got, want)
		}
	}
	g := newGate()
	var admitted []string
	for range fewFailures + 2 {
		admitted = append(admitted, g.admit("eu", "503"))
	}
	admitted = append(admitted, g.admit("eu", "link"), g.admit("us", "503"))
	if got := strings.Join(admitted, " "); got != strings.Repeat("503 ", fewFailures)+"  link 503" {
		t.Errorf("admitted %q", got)
	}
	if !g.close() || g.open() {
		t.Error("the gate lets too many through")
	}
	if g.next(); g.admit("eu", "503") == "" {
		t.Error("the gate stays closed")
	}
}
