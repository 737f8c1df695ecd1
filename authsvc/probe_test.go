package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// front is an nginx that asks authsvc, and forwards to the registry of the world.
func (w *world) front(r *running, broken *atomic.Bool) *httptest.Server {
	w.t.Helper()
	f := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		user, token, _ := request.BasicAuth()
		switch {
		case r.ask(user+":"+token, request.URL.Path) != http.StatusOK:
			out.WriteHeader(http.StatusUnauthorized)
		case broken.Load() && request.URL.Path != "/v2/":
			out.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(out, `{"errors":[{"code":"UNAVAILABLE","message":"the registry is temporarily unavailable\u001b[2J"}]}`)
		default:
			w.registry.Config.Handler.ServeHTTP(out, request)
		}
	}))
	w.t.Cleanup(f.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	for name, text := range map[string][]byte{"front.pem": ca, "probe": []byte("ann@example.com:0ther\n")} {
		if err := os.WriteFile(w.path(name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return f
}

// TestProbe: a made-up pull says what works, its result shows in the running authsvc's
// metrics, and it counts as nobody's.
func TestProbe(t *testing.T) {
	w := newWorld(t)
	w.write()
	r := w.start()
	var broken atomic.Bool
	f := w.front(r, &broken)
	w.write("kloudless: {url: "+w.vendor.URL+"}", fmt.Sprintf("probe: {url: 'https://example.com', address: '%s', image: acme/appliance:1.4, ca_file: %[2]s/front.pem, credential_file: %[2]s/probe, result_file: %[2]s/result.json}",
		f.Listener.Addr(), w.dir))
	if r.metric(`authsvc_probe_ended_timestamp_seconds 0`) {
		t.Error("the metrics of a made-up pull are there before it is configured")
	}
	r.reload(reloaded)
	if !r.metric(`authsvc_probe_ended_timestamp_seconds 0`) || !r.metric(`authsvc_probe_failed{step="manifest"} 0`) {
		t.Errorf("the metrics of a made-up pull are not there: %s", r.metrics())
	}
	out, status := w.support("", "probe")
	for _, step := range []string{"connect", "ping", "manifest", "blob"} {
		if !strings.Contains(out, "ok      "+step) {
			t.Errorf("no step %s:\n%s", step, out)
		}
	}
	if status != 0 || !r.metric(`authsvc_probe_ended_timestamp_seconds 0`) {
		t.Errorf("status %d; by hand, nothing is recorded:\n%s", status, out)
	}
	if out, status := w.support("", "probe", "--record"); status != 0 || out != "" || r.metric(`authsvc_probe_ended_timestamp_seconds 0`) {
		t.Errorf("status %d, and it prints %q", status, out)
	}
	broken.Store(true)
	out, status = w.support("", "probe", "--record")
	if status != 3 || !strings.HasPrefix(out, "FAILED  manifest") || !strings.Contains(out, "found 503: UNAVAILABLE: the registry is temporarily unavailable?[2J\nnext    nginx cannot reach") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if !r.metric(`authsvc_probe_failed{step="manifest"} 1`) || !r.metric("authsvc_decision_duration_seconds_count 0") || strings.Contains(out+r.logged(), "0ther") {
		t.Errorf("%s\n%s", r.metrics(), r.logged())
	}
}

// TestProbeWithoutAccount: an authsvc that cannot recognize the made-up pulls serves
// its customers, and check-config says what is wrong.
func TestProbeWithoutAccount(t *testing.T) {
	w := newWorld(t)
	w.write("kloudless: {url: "+w.vendor.URL+"}", "probe: {url: 'https://docker.vendor.com', image: acme/appliance:1.4}")
	r := w.start()
	if status := r.ask("ann@example.com:r1ght", "/v2/"); status != http.StatusOK || !strings.Contains(r.logged(), "made-up pulls count as a customer's") {
		t.Errorf("status %d, with the log %s", status, r.logged())
	}
	for command, want := range map[string]string{
		"check-config": "authsvc.service needs LoadCredential=probe:/etc/authsvc/secrets/probe",
		"probe":        "probe.credential_file: systemd passes $CREDENTIALS_DIRECTORY/probe to its units alone",
	} {
		if out, status := w.support("", command); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %q", command, status, out)
		}
	}
	if text := r.ready(); !strings.Contains(text, "degraded: made-up pulls count as a customer's") {
		t.Errorf("/readyz says %q", text)
	}
	w.write("kloudless: {url: " + w.vendor.URL + "}")
	if out, status := w.support("", "probe"); status != 1 || !strings.Contains(out, "probe.url is not set") {
		t.Errorf("status %d, %q", status, out)
	}
}

func TestProbeSettings(t *testing.T) {
	w := newWorld(t)
	for section, want := range map[string]string{
		"{url: 'http://docker.vendor.com', image: a/b:1}":                                                "probe.url: expected https://HOST",
		"{url: 'https://docker.vendor.com/v2/', image: a/b:1}":                                           "probe.url: expected https://HOST",
		"{url: 'https://ann:x@docker.vendor.com', image: a/b:1}":                                         "probe.url: expected https://HOST",
		"{url: 'http://docker.vendor.com', address: '192.0.2.1:80', image: a/b:1}":                       "probe.url: expected https://HOST",
		"{image: a/b:1, address: '127.0.0.1:443'}":                                                       "probe.url: expected the registry's URL, because probe.image is set",
		"{url: 'https://docker.vendor.com', image: a/b:1, result_file: ''}":                              "probe.result_file: expected an absolute path",
		"{url: 'https://docker.vendor.com'}":                                                             "probe.image: expected",
		"{url: 'https://docker.vendor.com', image: A/b:1}":                                               "probe.image: expected an image",
		"{url: 'https://docker.vendor.com', image: a/b:1, credential_file: secret}":                      "probe.credential_file: expected an absolute path",
		"{url: 'https://docker.vendor.com', image: a/b:1, timeout: 5h}":                                  "probe.timeout: expected",
		"{url: 'https://docker.vendor.com', image: a/b:1, ca_file: /nowhere, credential_file: CRED}":     "probe.ca_file",
		"{url: 'http://docker.vendor.com', address: '127.0.0.1:1', image: a/b:1, credential_file: CRED}": "FAILED  connect",
	} {
		if err := os.WriteFile(w.path("probe"), []byte("ann:x"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.write("kloudless: {url: "+w.vendor.URL+"}", "probe: "+strings.ReplaceAll(section, "CRED", w.path("probe")))
		if out, status := w.support("", "probe"); status == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %q, want %q", section, status, out, want)
		}
		if out, status := w.support("", "check-config"); strings.HasPrefix(want, "probe.") && (status == 0 || !strings.Contains(out, want)) {
			t.Errorf("%s: check-config: status %d, %q, want %q", section, status, out, want)
		}
	}
}
