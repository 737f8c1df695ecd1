package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// A member of the vendor's staff, whom only the list of users knows.
const staff, staffPassword = "staff@vendor.com", "staff-password"

// staffPulls asks for the image as the member of staff, and for the modes of what the
// role has put in place.
const staffPulls = `
curl -sk -o /dev/null -w '%{http_code}\n' --resolve ` + serverName + `:443:127.0.0.1 -u ` + staff + `:` + staffPassword + ` https://` + serverName + `/v2/`
const sourceModes = `
stat -c '%a %U %G' /etc/authsvc/secrets/staff.htpasswd /etc/authsvc/files/staff.yaml`

// twoSources puts staff into a list of users, which is a secret, and their grants into
// a file, beside the customers of the vendor's API. Then it goes back.
func (w *world) twoSources(ctx context.Context) (_ string, err error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(staffPassword), bcrypt.MinCost+1)
	if err != nil {
		return "", err
	}
	settings := w.config["authsvc_config"].(map[string]any)
	vendor := settings["kloudless"]
	customers := map[string]any{"name": "customers", "kind": "kloudless", "url": "https://" + vendorHost + "/v1/"}
	repository, _, _ := strings.Cut(image, ":")
	w.config.set("authsvc_config.kloudless", nil)
	w.config.set("authsvc_config.sources", []any{map[string]any{
		"name": "staff", "kind": "file", "users": []string{"*@vendor.com"},
		"users_file": "$CREDENTIALS_DIRECTORY/staff.htpasswd", "grants_file": "/etc/authsvc/files/staff.yaml",
	}, customers})
	before := w.config["authsvc_secrets"]
	w.config.set("authsvc_secrets", map[string]string{"staff.htpasswd": staff + ":" + string(hash) + "\n", "probe": probeUser + ":" + probeToken})
	w.config.set("authsvc_files", map[string]string{"staff.yaml": staff + ":\n  grants:\n    - {repository: " + repository + ", tags: '*', expires: null, license: staff}\n"})
	defer func() {
		w.config.set("authsvc_config.sources", nil)
		w.config.set("authsvc_secrets", before)
		w.config.set("authsvc_files", nil)
		w.config.set("authsvc_config.kloudless", vendor)
		_, back := w.deploy(ctx)
		err = errors.Join(err, back)
	}()
	r, err := w.deploy(ctx)
	if err != nil {
		return "", err
	}
	if strings.Contains(r.out, string(hash)) {
		return "", errors.New("expected no secret in Ansible's output, found the hash of a password")
	}
	out, err := w.machines[0].ssh(ctx, staffPulls+sourceModes)
	if err != nil {
		return "", err
	}
	if want := "200\n600 root root\n640 root authsvc\n"; out != want {
		return "", fmt.Errorf("expected a login with 200, then the modes of a secret and of a file, %q; found %q", want, out)
	}
	return "staff by an htpasswd file from systemd, customers by the vendor's API", w.pull(ctx)
}
