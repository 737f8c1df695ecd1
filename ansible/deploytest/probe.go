package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The made-up pull, as systemd runs it; what authsvc says of the last one; and nginx
// with a resolver that does not answer, and with the one before.
const (
	probeOnce = `systemctl start authsvc-probe.service || true; systemctl show -P Result authsvc-probe.service`
	probed    = `curl -s ` + privateURL + `/metrics | grep '^authsvc_probe_failed'`

	breakResolver = `
cd /etc/nginx; grep -rlE '^ *resolver [0-9]' registry/settings modules-enabled conf.d | sort -u > /root/resolvers
test -s /root/resolvers; tar --create --file /root/resolvers.tar --dereference --files-from /root/resolvers
xargs sed -i -E 's/^( *resolver) [0-9.]+/\1 127.0.0.9/' < /root/resolvers
nginx -t -q && systemctl reload nginx; sleep 1`
	mendResolver = `cd /etc/nginx; tar --extract --file /root/resolvers.tar; nginx -t -q && systemctl reload nginx; sleep 1`
)

// probes makes up pulls: the timer's, one by hand, and one while nginx's resolver does
// not answer, for which a real Prometheus has the alert.
func (w *world) probes(ctx context.Context) (_ string, err error) {
	m := w.machines[0]
	if err := eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		out, err := m.ssh(ctx, "systemctl is-active authsvc-probe.timer; { cat /run/authsvc-probe/result.json && stat -c ' %a %U' /run/authsvc-probe/result.json; } || journalctl -u 'authsvc-probe*' -o cat -n 20")
		if err == nil && (!strings.HasPrefix(out, "active\n{\"ended\":") || strings.Contains(out, "failed") || !strings.HasSuffix(out, " 644 authsvc-probe\n")) {
			err = fmt.Errorf("expected the timer's result, found:\n%s", out)
		}
		return err
	}); err != nil {
		return "", err
	}
	out, err := m.ssh(ctx, "authsvc probe --probe.credential_file /etc/authsvc/secrets/probe")
	if err != nil || strings.Count(out, "ok      ") != 5 || !strings.Contains(out, "ok      storage") {
		return "", fmt.Errorf("expected five steps, found %w\n%s", err, out)
	}
	if out, err = m.ssh(ctx, "journalctl -u authsvc -o cat | grep -c '\"probe\":true'"); err != nil {
		return "", fmt.Errorf("expected decisions that are known to be made up, found none: %w\n%s", err, out)
	}
	if _, err := m.ssh(ctx, breakResolver); err != nil {
		return "", err
	}
	fired, err := w.probeAlert(ctx)
	if _, mended := m.ssh(context.WithoutCancel(ctx), mendResolver); err == nil {
		err = mended
	}
	if err != nil {
		return "", err
	}
	if out, err = m.ssh(ctx, probeOnce+"; "+probed); err != nil || !strings.HasPrefix(out, "success\n") || strings.Contains(out, "} 1") {
		return "", fmt.Errorf("expected the next to succeed, found %w\n%s", err, out)
	}
	return "by timer and by hand; " + fired, w.pull(ctx)
}

// probeAlert makes up a pull that must fail, and waits until a real Prometheus that
// has the shipped rules says so.
func (w *world) probeAlert(ctx context.Context) (string, error) {
	m := w.machines[0]
	out, err := m.ssh(ctx, probeOnce+"; "+probed+"; journalctl -u authsvc-probe -o cat -n 20")
	if err != nil {
		return "", err
	}
	for _, want := range []string{"exit-code\n", `authsvc_probe_failed{step="manifest"} 1`, "FAILED  manifest", "expected status 200, found 503: UNAVAILABLE", "nginx's error log"} {
		if !strings.Contains(out, want) {
			return "", fmt.Errorf("expected %q, found:\n%s", want, out)
		}
	}
	return w.alert(ctx, "ProbeFails")
}

// alert waits until a real Prometheus, with the shipped rules, has an alert of the
// first machine.
func (w *world) alert(ctx context.Context, name string) (string, error) {
	metrics, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	// authsvc listens on the machine's own loopback.
	forward := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		text, err := w.machines[0].ssh(r.Context(), "curl -s "+privateURL+"/metrics")
		if err != nil {
			out.WriteHeader(http.StatusBadGateway)
		}
		_, _ = io.WriteString(out, text) // Prometheus notices what is missing
	})}
	go func() { _ = forward.Serve(metrics) }()
	defer forward.Close() //nolint:errcheck // nothing is under way
	api := "http://127.0.0.1:9190"
	config := fmt.Sprintf("global: {scrape_interval: 2s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs: [{job_name: authsvc, static_configs: [{targets: ['%s']}]}]\n",
		filepath.Join(w.root, "ansible", "monitoring", "alerts.yml"), metrics.Addr())
	if err := os.WriteFile(w.in("prometheus.yml"), []byte(config), 0o600); err != nil {
		return "", err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := command{name: "prometheus", args: []string{"--config.file=" + w.in("prometheus.yml"), "--storage.tsdb.path=" + w.in("prometheus"), "--web.listen-address=" + strings.TrimPrefix(api, "http://")}}.run(running)
		ended <- err
	}()
	defer func() {
		stop()
		<-ended //nolint:errcheck // it was told to end
	}()
	var seen string
	return seen, eventually(ctx, time.Minute, func(ctx context.Context) error {
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("prometheus ended: %w", err)
		default:
		}
		var err error
		seen, err = firing(ctx, api, name)
		return err
	})
}

// firing returns what a firing alert says.
func firing(ctx context.Context, api, name string) (string, error) {
	text, err := sh(ctx, "curl -sS "+api+"/api/v1/alerts")
	if err != nil {
		return "", err
	}
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
				State               string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", err
	}
	for _, a := range answer.Data.Alerts {
		if a.Labels["alertname"] == name && a.State == "firing" {
			return fmt.Sprintf("%s: %s", name, a.Annotations["summary"]), nil
		}
	}
	return "", fmt.Errorf("expected the alert %s to fire in Prometheus, found %s", name, text)
}
