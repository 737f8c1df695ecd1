package monitoring_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// A trouble makes its alerts active, and ends. They stay active after it, for
// as long as their rates look back.
type trouble struct {
	what  string
	cause func(*world)
}

// troubles in an order in which each shows by itself: first what is a share of
// all that happened, before much has; authsvc's look-ups before there is no token for them; a
// refresh that fails before any has succeeded lately.
var troubles = []trouble{
	{"nginx cannot reach the registry", registryUnreachable},
	{"nobody makes up pulls any more", probesStop},
	{"a region is down, and its stand-by serves", regionDown},
	{"all are denied", deniesMost},
	{"there are more releases than fit", digestsNearBound},
	{"the vendor's API is slow", vendorSlow},
	{"the registry cannot be asked", registryDown},
	{"AWS refuses, and the token nears its end", awsRefuses},
	{"the registry rejects each new token", rejectsEach},
	{"the token file cannot be written", cannotStore},
	{"the vendor's API is down", vendorDown},
	{"there are more customers than fit", cacheFull},
	{"the vendor's API refuses all of them", vendorRefuses},
	{"somebody guesses, behind an office's address", guessing},
	{"a reload is refused, and a changed setting waits for a restart", reloads},
	{"nginx's includes are not those of the content store", storeIsOld},
	{"a file of the content store is wrong", fileIsWrong},
	{"the content store is down", storeIsDown},
	{"all start again and again", restarts},
	{"both are down", down},
	{"none is watched", unwatched},
}

func nothing() {}

// recover waits until the customer is served again.
func (w *world) recover() {
	w.t.Helper()
	waitFor(w.t, func() string {
		if status := w.ask(licensed, secret); status != http.StatusOK {
			return "the customer to be served: " + http.StatusText(status)
		}
		return ""
	})
}

func deniesMost(w *world) {
	w.until(func() { w.atOnce(10, elsewhere, func() string { return secret }) }, "AuthsvcDeniesMost")
}

func vendorSlow(w *world) {
	w.stack.Vendor.TLS.Inject(standin.Fault{Delay: 3 * time.Second})
	w.until(func() { w.atOnce(50, licensed, w.another) }, "VendorSlow", "AuthsvcSlow", "AuthsvcLookUpsBusy")
	w.stack.Vendor.TLS.ClearFaults()
	w.recover()
}

// probesStop: a result that is gone is as none.
func probesStop(w *world) {
	if !w.probe() {
		w.t.Error("the made-up pull still fails")
	}
	if err := os.Remove(w.result); err != nil {
		w.t.Fatal(err)
	}
	w.until(nothing, "ProbeMissing")
}

// vendorDown: known customers are still served, others are told "unavailable".
func vendorDown(w *world) {
	w.recover()
	w.stack.Vendor.TLS.Inject(standin.Fault{Status: http.StatusInternalServerError})
	w.until(func() {
		w.want(licensed, secret, 200)
		w.want(licensed, w.another(), 503)
	}, "VendorFails", "AuthsvcServesStale", "VendorBreakerOpen")
	w.stack.Vendor.TLS.ClearFaults()
	w.recover()
}

// digestsNearBound pushes an image with so many layers that they just fit.
func digestsNearBound(w *world) {
	var layers []v1.Layer
	for i := range 900 {
		layers = append(layers, static.NewLayer(fmt.Appendf(nil, "layer %d", i), types.OCILayer))
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.push("acme/appliance:1.900", image)
	w.until(func() { w.want("/v2/acme/appliance/manifests/1.900", secret, 200) }, "AuthsvcDigestsNearBound")
}

// cacheFull: new customers come while earlier ones have just pulled.
func cacheFull(w *world) {
	waitFor(w.t, func() string {
		for len(w.known) < maxEntries/2 {
			password := w.customer()
			if status := w.ask(licensed, password); status != http.StatusOK {
				return fmt.Sprintf("new customers to be served, not %d", status)
			}
			w.known = append(w.known, password)
		}
		return ""
	})
	w.until(func() { w.atOnce(20, licensed, w.customer) }, "AuthsvcCacheFull")
}

// vendorRefuses: the API refuses the first customers, in its own words.
func vendorRefuses(w *world) {
	w.stack.Vendor.TLS.Inject(standin.Fault{
		Status: http.StatusUnauthorized, Header: http.Header{"Content-Type": {"application/json"}},
		Body: `{"status_code":401,"error_code":"unauthorized","message":"no","id":"1"}`,
	})
	w.until(func() {
		n := -1
		w.atOnce(len(w.known), licensed, func() string { n++; return w.known[n] })
	}, "VendorRefusesMost")
	w.stack.Vendor.TLS.ClearFaults()
	w.recover()
}

func guessing(w *world) {
	here := w.client
	w.client = newClient("127.0.0.2")
	w.want(licensed, secret, 200)
	w.until(func() { w.atOnce(10, licensed, w.another) }, "AuthsvcGuessing", "AuthsvcAddressSpared")
	w.client = here
}

// reloads a bad configuration, then one with another realm, then the first.
func reloads(w *world) {
	file := filepath.Join(w.stack.Dir, "authsvc.yaml")
	good, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	reload := func(text string) {
		w.t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), w.stack.Process("authsvc").Signal(syscall.SIGHUP)); err != nil {
			w.t.Fatal(err)
		}
	}
	reload(string(good) + "nonsense: 1\n")
	w.until(nothing, "AuthsvcReloadRefused")
	reload(strings.Replace(string(good), "realm: ", "realm: another.", 1))
	w.until(nothing, "AuthsvcRestartNeeded")
	reload(string(good))
}

// restarts are so far apart that Prometheus sees each.
func restarts(w *world) {
	starts := func(job string) string {
		for _, r := range w.prom.query(`process_start_time_seconds{job="` + job + `"}`) {
			if start, ok := r.Value[1].(string); ok {
				return start
			}
		}
		return ""
	}
	w.until(func() {
		authsvc, tokenrefresher, content := starts("authsvc"), starts("tokenrefresher"), starts("authsvc-content")
		w.store.stop()
		w.store.start()
		if err := w.stack.RestartAuthsvc(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if err := w.stack.RestartTokenrefresher(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		waitFor(w.t, func() string {
			if authsvc == starts("authsvc") || tokenrefresher == starts("tokenrefresher") || content == starts("authsvc-content") {
				return "all to be seen as started again"
			}
			return ""
		})
	}, "AuthsvcRestarts", "TokenrefresherRestarts", "ContentStoreRestarts")
}

// down is one after the other: only what is down may be called so. A scrape
// that was missed at a restart is over with the next.
func down(w *world) {
	only := func(names ...string) {
		w.t.Helper()
		waitFor(w.t, func() string {
			for _, name := range []string{"AuthsvcDown", "TokenrefresherDown", "AuthsvcMissing", "TokenrefresherMissing"} {
				if is := w.active(name); is != slices.Contains(names, name) {
					return fmt.Sprintf("%q to be active; %s is: %t", names, name, is)
				}
			}
			return ""
		})
	}
	only()
	if err := w.stack.StopTokenrefresher(); err != nil {
		w.t.Fatal(err)
	}
	w.until(nothing, "TokenrefresherDown")
	only("TokenrefresherDown")
	if err := w.stack.KillAuthsvc(); err != nil {
		w.t.Fatal(err)
	}
	w.until(nothing, "AuthsvcDown")
}

// unwatched is the last trouble: nothing is down where nothing is watched.
func unwatched(w *world) {
	w.prom.watch(map[string]string{})
	w.until(nothing, "AuthsvcMissing", "TokenrefresherMissing", "ContentStoreMissing")
	for _, name := range []string{"AuthsvcDown", "TokenrefresherDown"} {
		waitFor(w.t, func() string {
			if w.active(name) {
				return "the end of " + name
			}
			return ""
		})
	}
}
