package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// layoutBefore are the names of the include files in versions that had them all
// in one directory.
var layoutBefore = []string{
	"stream.conf", "parts/answer.conf", "parts/answers.conf", "parts/authorize.conf", "parts/authsvc.conf", "parts/decisions.conf",
	"parts/errors.conf", "parts/forget.conf", "parts/forward.conf", "parts/hide-aws.conf", "parts/hide.conf", "parts/isolate.conf",
	"parts/list.conf", "parts/log.conf", "parts/nowhere.conf", "parts/question.conf", "parts/read-only.conf", "parts/refusal.conf",
	"parts/request-headers.conf", "parts/upstream.conf", "parts/values.conf",
}

// older turns /root/old.deb into a package of another version with those files, and
// installs it.
const older = `
cd /root
rm -rf older
dpkg-deb --raw-extract old.deb older
sed -i 's/^Version: .*/Version: 1.0.9/' older/DEBIAN/control
for file in %[1]s; do echo '# of an older version' > older/usr/share/authsvc/nginx/$file; done
dpkg-deb --root-owner-group --build older older.deb
dpkg --install older.deb
for file in %[1]s; do cp /usr/share/authsvc/nginx/$file /etc/nginx/registry/$file; done
rm -r older older.deb old.deb`

// sameIncludes checks that nginx has the package's includes and no others.
const sameIncludes = `
for dir in /usr/share/authsvc/nginx /etc/nginx/registry; do
	for file in %s; do
		if [ -e $dir/$file ]; then echo "$dir/$file was not removed"; exit 1; fi
	done
done
cd /usr/share/authsvc/nginx; find . -type f | sort > /root/shipped
cd /etc/nginx/registry; find . -type f | sort | diff /root/shipped -
rm /root/shipped`

// layOlder gives the machine a version whose includes had other names.
func (w *world) layOlder(ctx context.Context) error {
	m, names := w.machines[0], strings.Join(layoutBefore, " ")
	deb, err := os.ReadFile(w.deb(oldVersion, "authsvc", "amd64"))
	if err != nil {
		return err
	}
	if err := m.put("root/old.deb", string(deb)); err != nil {
		return err
	}
	if out, err := m.ssh(ctx, fmt.Sprintf(older, names)); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if out, err := m.ssh(ctx, fmt.Sprintf(sameIncludes, names)); err == nil {
		return fmt.Errorf("expected the older version's files before the upgrade\n%s", out)
	}
	return nil
}

// wantLayout checks that the machine has the includes of its package alone.
func (w *world) wantLayout(ctx context.Context) error {
	if out, err := w.machines[0].ssh(ctx, fmt.Sprintf(sameIncludes, strings.Join(layoutBefore, " "))); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
