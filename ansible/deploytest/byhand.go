package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The README's installation without Ansible, on a clean machine.
const (
	installByHand = `
dpkg --install /root/*_` + oldVersion + `_amd64.deb
for unit in authsvc.service authsvc.socket authsvc-content.service tokenrefresher.service tokenrefresher-once.timer authsvc-probe.timer; do
	if systemctl is-active --quiet $unit || systemctl is-enabled --quiet $unit; then echo "$unit runs although it is not configured"; exit 1; fi
done
test -s /usr/share/man/man8/authsvc.8.gz
test -s /usr/share/bash-completion/completions/tokenrefresher
echo '# an edit' | tee -a /etc/authsvc/authsvc.yaml >> /etc/tokenrefresher/tokenrefresher.yaml
authsvc check-config --config /etc/authsvc/authsvc.yaml
tokenrefresher check-config --config /etc/tokenrefresher/tokenrefresher.yaml
systemctl enable --quiet --now tokenrefresher.service authsvc.socket authsvc.service
cp --recursive /usr/share/authsvc/nginx /etc/nginx/registry
cat > /etc/nginx/conf.d/registry.conf <<'END'
include registry/http.conf;
server {
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name ` + serverName + `;
    ssl_certificate     /etc/ssl/` + serverName + `.pem;
    ssl_certificate_key /etc/ssl/private/` + serverName + `.key;
    include registry/server.conf;
}
END
nginx -t -q
systemctl reload nginx`

	upgradeByHand = `
dpkg --install /root/*_` + newVersion + `_amd64.deb
for program in authsvc tokenrefresher; do
	systemctl is-active --quiet $program.service
	readlink /proc/$(systemctl show --property MainPID --value $program.service)/exe | grep -qx /usr/bin/$program
	$program version | grep -q 'v` + newVersion + `'
	tail -n 1 /etc/$program/$program.yaml | grep -qx '# an edit'
done
# As nginx/README.md says, from an older layout.
mkdir -p /etc/nginx/registry/parts
touch /etc/nginx/registry/stream.conf /etc/nginx/registry/parts/isolate.conf
echo '# an edit' >> /etc/nginx/registry/settings/upstream.conf
rm -r /etc/nginx/registry/*.conf /etc/nginx/registry/parts
cp -r /usr/share/authsvc/nginx/*.conf /usr/share/authsvc/nginx/parts /etc/nginx/registry/
cp -rn /usr/share/authsvc/nginx/settings /etc/nginx/registry/
nginx -t -q
systemctl reload nginx
tail -n 1 /etc/nginx/registry/settings/upstream.conf | grep -qx '# an edit'`

	purgeByHand = `
rm -r /etc/nginx/registry /etc/nginx/conf.d/registry.conf
systemctl reload nginx
dpkg --purge authsvc tokenrefresher
for path in /etc/authsvc /etc/tokenrefresher /run/authsvc /run/tokenrefresher /var/lib/authsvc /var/lib/authsvc-content /usr/share/authsvc; do
	if [ -e $path ]; then echo "$path was not removed"; exit 1; fi
done`
)

// byHand installs, upgrades and purges the packages without the playbook.
func (w *world) byHand(ctx context.Context) (_ string, err error) {
	m := w.machines[1]
	for _, version := range []string{oldVersion, newVersion} {
		for _, program := range []string{"authsvc", "tokenrefresher"} {
			path := w.deb(version, program, "amd64")
			deb, err := os.ReadFile(path) //nolint:gosec // our own path
			if err != nil {
				return "", err
			}
			if err := m.put("root/"+filepath.Base(path), string(deb)); err != nil {
				return "", err
			}
		}
	}
	before := w.front.Load().(string)
	if err := w.sendCustomersTo(m.address); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.sendCustomersTo(before)) }()
	upgradeByHand := upgradeByHand + fmt.Sprintf(sameIncludes, strings.Join(layoutBefore, " "))
	for _, script := range []string{installByHand, upgradeByHand} {
		if out, err := m.ssh(ctx, script); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		if err := eventually(ctx, 20*time.Second, w.pull); err != nil {
			return "", err
		}
	}
	out, err := m.ssh(ctx, purgeByHand)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return "nothing starts before it is configured; an upgrade restarts services and keeps edits; purge removes everything", nil
}
