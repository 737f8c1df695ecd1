package inventorytest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content"
	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// TestContentStore: the store's registries are those of authsvc, with hosts that
// tokenrefresher knows or the inventory names.
func TestContentStore(t *testing.T) {
	for example, test := range map[string]struct {
		changes variables
		want    []origin.Upstream
		regions []string
	}{
		"inventory.example": {
			variables{"authsvc_content_hosts": map[string]string{"main": "123456789012.dkr.ecr.eu-west-1.amazonaws.com"}},
			[]origin.Upstream{{Name: "main", Host: "123456789012.dkr.ecr.eu-west-1.amazonaws.com"}},
			[]string{"eu-west-1"},
		},
		"inventory.several.example": {
			variables{"authsvc_content_hosts": map[string]string{
				"eu": "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "us": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
			}},
			[]origin.Upstream{
				{Name: "eu", Host: "123456789012.dkr.ecr.eu-west-1.amazonaws.com"},
				{Name: "us", Host: "123456789012.dkr.ecr.us-east-1.amazonaws.com"},
				{Name: "tools", Host: "210987654321.dkr.ecr.eu-central-1.amazonaws.com"},
				{Name: "partner", Host: "registry.partner.example"},
			},
			[]string{"eu-west-1", "us-east-1", "eu-central-1"},
		},
	} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			test.changes["nginx_blobs"] = "content"
			test.changes["authsvc_content_config"] = variables{"max_size": "300GB"}
			dir, failure := check(t, example, test.changes)
			if failure != "" {
				t.Fatal(failure)
			}
			c, err := content.Load(filepath.Join(dir, "content.yaml"), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			var redirects []string
			for _, region := range test.regions {
				redirects = append(redirects, origin.S3Hosts(region)...)
			}
			if !reflect.DeepEqual(c.Origin.Upstreams, test.want) || !reflect.DeepEqual(c.Origin.Redirects, redirects) || c.Limits.MaxBytes != 300e9 {
				t.Errorf("found %+v, redirects %q, and %d bytes; want %+v, %q", c.Origin.Upstreams, c.Origin.Redirects, c.Limits.MaxBytes, test.want, redirects)
			}
			if private := strings.HasPrefix(example, "inventory.several"); (c.Origin.CAFile != "") != private {
				t.Errorf("authorities: %q; expected a file of its own: %t", c.Origin.CAFile, private)
			}
		})
	}
}

// shipped are nginx's settings, with those that the playbook changes.
func shipped(t *testing.T, blobs string) (stage string) {
	t.Helper()
	stage = t.TempDir()
	settings := filepath.Join(stage, "etc/nginx/registry/settings")
	if err := os.CopyFS(settings, os.DirFS("../../nginx/registry/settings")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "blobs.conf"), []byte(blobs), 0o600); err != nil {
		t.Fatal(err)
	}
	return stage
}

const (
	redirects = "# Which one.\n\ninclude registry/parts/blobs/redirect.conf;\n#include registry/parts/blobs/content.conf;\n"
	contents  = "# Which one.\n\n#include registry/parts/blobs/redirect.conf;\ninclude registry/parts/blobs/content.conf;\n"
)

// TestBlobs: exactly one of the two lines is in force, whatever a fleet's own settings
// say.
func TestBlobs(t *testing.T) {
	for name, test := range map[string]struct{ before, choice, after, failure string }{
		"as shipped":         {redirects, "redirect", redirects, ""},
		"content":            {redirects, "content", contents, ""},
		"back again":         {contents, "redirect", redirects, ""},
		"no line for it":     {"include registry/parts/blobs/redirect.conf;\n", "content", "", "nginx_blobs: expected a line for content in settings/blobs.conf, found"},
		"content, as before": {contents, "content", contents, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stage := shipped(t, test.before)
			failure := play(t, "localhost,", "settings.yml", t.TempDir(), variables{"rollout_stage": variables{"path": stage}, "nginx_blobs": test.choice})
			if test.failure != "" {
				if !strings.Contains(failure, test.failure) {
					t.Errorf("expected a failure with %q, found %q", test.failure, failure)
				}
				return
			}
			after, err := os.ReadFile(filepath.Join(stage, "etc/nginx/registry/settings/blobs.conf")) //nolint:gosec // our own
			if err != nil || failure != "" || string(after) != test.after {
				t.Errorf("found %q, %v, %s", after, err, failure)
			}
		})
	}
}

// TestDecisionCache: nginx caches decisions in a folder that only its workers can
// read, and in memory alone.
func TestDecisionCache(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	mine := " of " + me.Username
	for name, test := range map[string]struct {
		parent string
		mode   os.FileMode // 0: no folder
		worker string
		want   string // refused with it
	}{
		"none yet":        {"/dev/shm", 0, me.Username, ""},
		"as nginx makes":  {"/dev/shm", 0o700, me.Username, ""},
		"on a disk":       {"/var/tmp", 0, me.Username, "to be on tmpfs, found"},
		"open to a group": {"/dev/shm", 0o750, me.Username, "of mode 700" + mine + ", as which nginx's workers run, found a directory of mode 750" + mine},
		"somebody else's": {"/dev/shm", 0o700, "www", "to be a directory of mode 700 of www, as which nginx's workers run, found a directory of mode 700" + mine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent, err := os.MkdirTemp(test.parent, "decisions-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(parent) })
			folder := filepath.Join(parent, "cache")
			if test.mode != 0 {
				if err := os.Mkdir(folder, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			stage := shipped(t, redirects)
			failure := play(t, "localhost,", "settings.yml", t.TempDir(), variables{
				"rollout_stage": variables{"path": stage}, "nginx_decision_cache": true, "nginx_decision_cache_folder": folder, "nginx_worker_user": test.worker,
			})
			if test.want != "" || failure != "" {
				if !strings.Contains(failure, test.want) || test.want == "" || !strings.Contains(failure, "nginx_decision_cache_folder: expected "+folder) {
					t.Errorf("expected a failure with %q, found %q", test.want, failure)
				}
				return
			}
			for file, want := range map[string]string{
				"decisions.conf":      "\n#proxy_cache off;\ninclude registry/parts/ask/cached.conf;\n",
				"decision-cache.conf": fmt.Sprintf("\nproxy_cache_path %s keys_zone=registry_decisions:8m\n                  levels=1:2 max_size=128m inactive=5s use_temp_path=off;\n", folder),
			} {
				text, err := os.ReadFile(filepath.Join(stage, "etc/nginx/registry/settings", file)) //nolint:gosec // our own
				if err != nil || !strings.HasSuffix(string(text), want) {
					t.Errorf("%s: %v, found\n%s", file, err, text)
				}
			}
		})
	}
}
