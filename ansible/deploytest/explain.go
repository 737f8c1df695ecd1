package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// explainPulls explains an allowed, a refused, and an unavailable pull on the machine,
// as an operator who is not root. The socket comes back with a restart of the service,
// as after an upgrade from a version without it.
func (w *world) explainPulls(ctx context.Context) (string, error) {
	m := w.machines[0]
	if out, err := m.ssh(ctx, "systemctl stop authsvc-explain.socket; systemctl restart authsvc.service"); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if err := w.explained(ctx, token, image, 0, "answer      200", "opens it", "the tag is sha256:"); err != nil {
		return "", err
	}
	if err := w.explained(ctx, token, "acme/appliance:2.0", 3, "404 MANIFEST_UNKNOWN: acme/appliance:2.0 does not exist or is not part of your license", "matches the repository, not the tag"); err != nil {
		return "", err
	}
	w.outside.Vendor.RefuseWith(http.StatusBadGateway)
	defer w.outside.Vendor.RefuseWith(http.StatusUnauthorized)
	if err := w.explained(ctx, "a-token-that-is-not-cached", image, 4, "503 UNAVAILABLE", "the source of customers did not answer"); err != nil {
		return "", err
	}
	out, err := m.ssh(ctx, "runuser -u nobody -- authsvc explain --user "+customer+" "+image+" 2>&1 || true")
	if err == nil && !strings.Contains(out, "permission denied") {
		err = fmt.Errorf("expected somebody outside the group not to be able to ask, found:\n%s", out)
	}
	return "allowed 0, refused 3, outage 4; others may not ask", err
}

// explained runs authsvc explain, and checks its exit status and that it says all of
// want, and no secret.
func (w *world) explained(ctx context.Context, token, reference string, status int, want ...string) error {
	out, err := w.machines[0].ssh(ctx, fmt.Sprintf("echo '%s' | runuser -u admin -- authsvc explain --user %s --token-stdin %s 2>&1 || echo status $?", token, customer, reference))
	if err != nil {
		return err
	}
	if status != 0 {
		want = append(want, fmt.Sprintf("status %d\n", status))
	} else if strings.Contains(out, "status ") {
		return fmt.Errorf("expected exit status 0 for %s, found:\n%s", reference, out)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			return fmt.Errorf("expected %q for %s, found:\n%s", text, reference, out)
		}
	}
	if strings.Contains(out, token) {
		return fmt.Errorf("the explanation shows the customer's token:\n%s", out)
	}
	return nil
}
