package main

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/proof/marks"
)

// leaks is what was seen of secrets before searchSecrets.
type leaks struct {
	outputs []string        // Ansible's
	search  *marks.Searcher // of the processes while Ansible ran
}

// leaksAllowed are the places on a machine that may contain a secret.
var leaksAllowed = []marks.Allowed{
	{Kind: "file", Place: "main.json", Mark: "ECR's token", Reason: "authsvc reads it there"},
	{Kind: "file", Place: "other.json", Mark: "password of another registry", Reason: "likewise"},
	{Kind: "file", Place: "other.password", Mark: "password of another registry", Reason: "root's, mode 0600, for LoadCredential=; and systemd's copy in /run/credentials"},
	{Kind: "file", Place: "probe", Mark: "token of the made-up pulls", Reason: "likewise"},
	{Kind: "file", Place: "environment", Mark: "password of a proxy", Reason: "root's, mode 0600, for EnvironmentFile="},
	{Kind: marks.Environment, Place: "tokenrefresher", Mark: "password of a proxy", Reason: "HTTP clients read proxies there; only root can"},
}

// deployVerbosely deploys with -vvv and --diff. It keeps the output, and watches the
// processes of the machines and of Ansible.
func (w *world) deployVerbosely(ctx context.Context) (result, error) {
	if w.leaks.search == nil {
		w.leaks.search = secrets.Searcher()
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		for watching.Err() == nil {
			if err := w.leaks.search.Processes(); err != nil {
				watched <- err
				return
			}
			time.Sleep(250 * time.Millisecond) // a search takes as long as a task of Ansible
		}
		watched <- nil
	}()
	r, err := w.deploy(ctx, "-vvv", "--diff")
	stop()
	w.leaks.outputs = append(w.leaks.outputs, r.out)
	return r, errors.Join(err, <-watched)
}

// searchSecrets crashes both programs, then searches everything. Then it plants all
// secrets, since the journal forgets nothing, and fails if it does not find them.
func (w *world) searchSecrets(ctx context.Context) (string, error) {
	m := w.machines[0]
	if err := w.dumpCore(ctx, m); err != nil {
		return "", err
	}
	for _, password := range w.outside.ECR.Passwords() {
		secrets.Add("ECR's token", password)
	}
	search := w.leaks.search
	search.Learn(secrets)
	for i, out := range w.leaks.outputs {
		search.Text("Ansible's output", fmt.Sprintf("run %d", i+1), out)
	}
	if err := m.searchAll(ctx, search); err != nil {
		return "", err
	}
	var report strings.Builder
	if err := search.Report(&report, leaksAllowed); err != nil {
		return "", err
	}
	if found := search.Leaks(leaksAllowed); len(found) > 0 {
		return "", fmt.Errorf("%d leaks:\n%s", len(found), report.String())
	}
	remove, err := m.plant(ctx)
	if err != nil {
		return "", err
	}
	planted := secrets.Searcher()
	err = errors.Join(m.searchAll(ctx, planted), m.wantPlants(planted))
	if err := errors.Join(err, remove()); err != nil {
		return "", fmt.Errorf("a search that finds nothing when planted is a failed run: %w", err)
	}
	places, bytes := 0, int64(0)
	for _, t := range search.Tallies() {
		places, bytes = places+t.Places, bytes+t.Bytes
	}
	return fmt.Sprintf("%d secrets, %d places, %d MB; found when planted", secrets.Len(), places, bytes>>20), nil
}

// dumpCore ends both programs with a signal that asks for a core dump, in the middle
// of their work.
func (w *world) dumpCore(ctx context.Context, m *machine) error {
	for _, service := range []string{"authsvc", "tokenrefresher"} {
		out, err := one(m.ssh(ctx, fmt.Sprintf("grep '^Max core' /proc/$(systemctl show -P MainPID %[1]s)/limits | tr -s ' '; systemctl kill -s ABRT %[1]s", service)))
		if err != nil {
			return err
		}
		if want := "Max core file size 0 0 bytes"; out != want {
			return fmt.Errorf("%s: expected the limit %q (LimitCORE=0), found %q", service, want, out)
		}
	}
	if _, err := w.again(ctx); err != nil {
		return err
	}
	if out, err := one(m.ssh(ctx, "find / -xdev \\( -path /proc -o -path /sys -o -path /usr \\) -prune -o -type f -name 'core*' -newer /etc/hostname -print; find /run -type f -name 'core*'")); err != nil || out != "" {
		return fmt.Errorf("expected no core dump, found %q, %w", out, err)
	}
	return nil
}

// plantedUnit is a unit whose properties have all secrets in hexadecimal.
const plantedUnit = "planted.service"

// plant puts all secrets into places of each kind, and returns what removes them.
func (m *machine) plant(ctx context.Context) (remove func() error, err error) {
	all := strings.Join(secrets.Plants(), "\n")
	if err := m.put("root/planted", all); err != nil {
		return nil, err
	}
	_, err = m.ssh(ctx, `
cp /root/planted /etc/planted; cp /root/planted /var/lib/planted; cp /root/planted /run/planted
systemd-cat --identifier=planted cat /root/planted
printf '[Unit]\nDescription=`+hex.EncodeToString([]byte(all))[:1024]+`\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n' > /run/systemd/system/`+plantedUnit+`
systemctl daemon-reload
systemctl start `+plantedUnit+` # systemctl show '*' has loaded units alone
PLANTED="$(cat /root/planted)" setsid sh -c 'sleep 300; :' sh "$(cat /root/planted)" >/dev/null 2>&1 & echo $! > /run/planted.pid
sleep 0.2; journalctl --sync`)
	return func() error {
		_, err := m.ssh(context.WithoutCancel(ctx), `kill -- -"$(cat /run/planted.pid)"
systemctl stop `+plantedUnit+`
rm /root/planted /etc/planted /var/lib/planted /run/planted /run/planted.pid /run/systemd/system/`+plantedUnit+`
systemctl daemon-reload`)
		return err
	}, err
}

// wantPlants fails if a plant was not found.
func (m *machine) wantPlants(search *marks.Searcher) error {
	for _, place := range []struct{ kind, place string }{
		{"file", m.in("etc/planted")}, {"file", m.in("var/lib/planted")}, {"file", "/run/planted"},
		{"journal", m.name}, {marks.ProcessList, "sh"}, {marks.Environment, "sh"},
	} {
		if missed := search.Missed(place.kind, place.place); len(missed) > 0 {
			return fmt.Errorf("%s %s: planted, but not found: %d, the first %q", place.kind, place.place, len(missed), missed[:min(5, len(missed))])
		}
	}
	for _, f := range search.Findings() {
		if f.Kind == "unit properties" {
			return nil
		}
	}
	return errors.New("unit properties: planted, but not found")
}

// in is a path of the machine, as this process sees it.
func (m *machine) in(path string) string { return filepath.Join(m.dir, path) }

// searchAll searches a machine's files, journal, processes, and units.
func (m *machine) searchAll(ctx context.Context, search *marks.Searcher) error {
	skip := func(path string) bool {
		return path == m.in("var/cache") || path == m.in("var/lib/apt") || path == m.in("var/lib/dpkg")
	}
	file := func(string) string { return "file" }
	var errs []error
	for _, dir := range []string{"etc", "var", "root", "home", "srv"} {
		errs = append(errs, search.Tree(m.in(dir), time.Time{}, skip, file))
	}
	errs = append(errs, search.Processes(), m.searchMemory(ctx, search))
	for kind, script := range map[string]string{
		"journal":         "journalctl --no-pager --all --output=json; journalctl --no-pager --all --output=cat",
		"unit properties": "systemctl show --all '*'; systemctl cat '*' 2>/dev/null || true",
		"metrics":         "curl -s http://127.0.0.1:9101/metrics http://127.0.0.1:9101/readyz http://127.0.0.1:9102/metrics http://127.0.0.1:9102/readyz",
	} {
		out, err := m.ssh(ctx, script)
		search.Text(kind, m.name, out)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// searchMemory searches the file systems that are in the machine's memory.
func (m *machine) searchMemory(ctx context.Context, search *marks.Searcher) error {
	out, err := m.ssh(ctx, "tar --create --directory=/ run tmp dev/shm 2>/dev/null || true")
	if err != nil {
		return err
	}
	for archive := tar.NewReader(strings.NewReader(out)); ; {
		entry, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the machine's /run: %w", err)
		}
		if err := search.Search("file", string(os.PathSeparator)+entry.Name, archive); err != nil {
			return err
		}
	}
}
