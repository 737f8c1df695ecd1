package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// behindBalancer is a server that somebody else might write: TLS is terminated in
// front of it, and clients that came over plain HTTP are redirected.
const behindBalancer = `include registry/http.conf;
server {
    listen 8080;
    server_name {{ our_name }};
    access_log /var/log/nginx/registry.log registry;
    set_real_ip_from 10.77.0.0/24;
    real_ip_header X-Forwarded-For;
    if ($http_x_forwarded_proto != https) {
        return 421;
    }
    include registry/server.conf;
}
`

// otherTimeouts replaces settings/authsvc-timeouts.conf.
const otherTimeouts = "proxy_connect_timeout 3s;\nproxy_send_timeout 5s;\nproxy_read_timeout 25s;\n"

// otherSettings deploys with values that differ from the defaults and from the
// other machine's.
func (w *world) otherSettings(ctx context.Context) (_ string, err error) {
	m, before := w.machines[1], w.config
	defer func() { w.config = before }()
	if err := w.configureOtherwise(); err != nil {
		return "", err
	}
	if _, err := w.deploy(ctx, "--limit", m.name); err != nil {
		return "", err
	}
	again, err := w.deploy(ctx, "--limit", m.name)
	if err := errors.Join(err, again.unchanged()); err != nil {
		return "", err
	}
	out, err := m.ssh(ctx, `
ask() { curl --silent --output /dev/null --write-out '%{http_code} ' "$@"; }
ask --header 'X-Forwarded-Proto: https' --header 'Host: `+serverName+`' --user `+customer+":"+token+` http://127.0.0.1:8080/v2/acme/appliance/manifests/1.4
ask http://127.0.0.1:9999/readyz
ask http://127.0.0.1:9998/readyz
stat --format %G /run/authsvc/authsvc.sock
systemctl show --property Environment --value tokenrefresher.service
tr '\0' '\n' < /proc/$(systemctl show --property MainPID --value tokenrefresher.service)/environ | grep -E '^(AWS_MAX|NO_)'
stat --format '%a %U' /etc/tokenrefresher/environment
grep -c 'read_timeout 25s' /etc/nginx/registry/settings/authsvc-timeouts.conf
ls /etc/nginx/modules-enabled | grep -c registry || true`)
	if err != nil {
		return "", err
	}
	if want := `200 200 200 asking AWS_MAX_ATTEMPTS=5 NO_PROXY=p"a\s%s$word 600 root 1 0`; strings.Join(strings.Fields(out), " ") != want {
		return "", fmt.Errorf("expected %q, found %q", want, out)
	}
	if _, err := w.deploy(ctx, "--limit", m.name, "-e", "state=absent"); err != nil {
		return "", err
	}
	return "serves with them; a second run changes nothing; after removal nothing is left", nothingLeft(ctx, m)
}

func (w *world) configureOtherwise() (err error) {
	if w.config, err = w.newInventory(example); err != nil {
		return err
	}
	template, settings := w.in("behind-balancer.conf.j2"), w.in("settings")
	if err := errors.Join(
		os.WriteFile(template, []byte(behindBalancer), 0o600),
		os.MkdirAll(settings, 0o700),
		os.WriteFile(w.in("settings", "authsvc-timeouts.conf"), []byte(otherTimeouts), 0o600),
	); err != nil {
		return err
	}
	for key, value := range map[string]any{
		"rollout_package_dir": w.packages(newVersion), "rollout_health_retries": 20,
		"our_name": serverName, "nginx_site_template": template, "nginx_settings_dir": settings,
		"nginx_server_name": nil, "nginx_certificate": nil, "nginx_certificate_key": nil,
		"nginx_health_url": "http://" + serverName + ":8080/v2/", "nginx_health_headers": []string{"X-Forwarded-Proto: https"},
		"authsvc_socket_group": "asking", "authsvc_config.private": map[string]any{"address": "127.0.0.1:9999"},
		"tokenrefresher_config.private": map[string]any{"address": "127.0.0.1:9998"},
		"tokenrefresher_environment":    map[string]string{"AWS_MAX_ATTEMPTS": "5", "NO_PROXY": `p"a\s%s$word`},
	} {
		w.config.set(key, value)
	}
	return nil
}
