package monitoring_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The customer: one license in force, and one that has ended.
const (
	email  = "ann@acme.example"
	secret = "anns-token"
)

// What she asks for. She gets the first.
const (
	licensed   = "/v2/acme/appliance/manifests/1.0"
	ended      = "/v2/acme/ended/manifests/1.0"
	unlicensed = "/v2/acme/appliance/manifests/2.0"
	elsewhere  = "/v2/other/appliance/manifests/1.0"
	blobs      = "/v2/acme/appliance/blobs/sha256:"
	// These are in a registry that has a stand-by. Nobody has pulled the second.
	replicated = "/v2/vendor/app/manifests/1.0"
	unseen     = "/v2/vendor/app/manifests/1.1"
)

// probeAccount is the account of the made-up pulls.
const probeAccount = "probe@vendor.example:probes-token"

// maxEntries bounds the customers in the cache.
const maxEntries = 50

// appliance is the license of all customers.
var appliance = vendorapi.License{ID: "lic_1", Releases: []vendorapi.Release{{Repository: "acme/appliance", Tags: []string{"1.*"}}}}

// notSeen are the alerts that no trouble here activates, with the reason.
var notSeen = map[string]string{
	"VersionsDiffer":           "there is one build; alerts_test.yml has two",
	"RegistryBreakerOpen":      "its look-ups fail one after the other here, too slowly; alerts_test.yml has both cases",
	"AuthsvcSourceFault":       "the only source here reads no files; auth/file has tests that break them, and alerts_test.yml has both cases",
	"ContentStoreCannotDelete": "a disk that lets nobody delete takes a mount; authsvc/content has tests of one, and alerts_test.yml has both cases",
	"ContentStoreDiskFails":    "likewise, for writing",
	"ContentStoreDeclines":     "nothing asks the store here; authsvc/content has tests that do, and alerts_test.yml has both cases",
	"ContentStoreNotScrubbed":  "it takes a week; alerts_test.yml has both cases",
	"AuthsvcPanics":            "authsvc has no bug that could be asked for; authsvc/server has a test that panics",
}

// slow are the alerts about a machine's speed, which this test does not judge: they
// may be active when all is well.
var slow = map[string]bool{"AuthsvcSlow": true, "VendorSlow": true}

// TestLive runs the shipped alerts in a real Prometheus next to the whole system.
// When all is well, none is active; each trouble activates its alerts; and in the
// end, every metric that an alert or a panel reads must have existed.
func TestLive(t *testing.T) {
	w := newWorld(t)
	w.customers()
	if !w.probe() {
		t.Error("the made-up pull fails when all is well")
	}
	w.well()
	for _, trouble := range troubles {
		t.Logf("%s (%s)", trouble.what, time.Since(w.prom.began).Round(time.Second))
		trouble.cause(w)
	}
	for _, r := range loadRules(t) {
		if r.Alert != "" && w.seen[r.Alert] == (notSeen[r.Alert] != "") {
			t.Errorf("%s: active by a trouble: %t; said not to be: %q", r.Alert, w.seen[r.Alert], notSeen[r.Alert])
		}
	}
	w.readsWhatIsThere()
	w.showsWhatIsThere()
}

// well waits until each rule has been evaluated with what customers have done,
// and none is active. What is true once the first samples are there stays true
// for the minutes that the rates look at.
func (w *world) well() {
	w.t.Helper()
	for _, outcome := range []string{"allow", "unauthorized", "denied", "name_unknown", "manifest_unknown", "blob_unknown"} {
		waitFor(w.t, func() string {
			if len(w.prom.query(fmt.Sprintf(`authsvc_decisions_total{outcome=%q} > 0`, outcome))) == 0 {
				return "a decision " + outcome
			}
			return ""
		})
	}
	w.customers() // so that counters increase, too
	asked := time.Now().Add(3 * time.Second)
	waitFor(w.t, func() string {
		oldest, problems := w.prom.evaluated()
		if len(problems) > 0 {
			w.t.Fatalf("rules: %q", problems)
		}
		if oldest.Before(asked) {
			return "each rule to be evaluated"
		}
		active := slices.DeleteFunc(w.prom.alerts(), func(a alert) bool { return slow[a.Labels["alertname"]] })
		if len(active) > 0 {
			return fmt.Sprintf("no alert to be active: %v", active)
		}
		return ""
	})
	for _, r := range loadRules(w.t) {
		if found := w.prom.query(r.Expr); r.Alert != "" && len(found) > 0 && !slow[r.Alert] {
			w.t.Errorf("%s: %v, though all is well", r.Alert, found)
		}
	}
}
