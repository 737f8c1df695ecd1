// Package inventorytest checks the example inventories with the real ansible-playbook and
// with both programs, without any host. deploytest deploys them.
package inventorytest

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authsvc "github.com/pullgate/pullgate/authsvc/config"
	tokenrefresher "github.com/pullgate/pullgate/tokenrefresher/config"
)

// timeout is far longer than any run.
const timeout = 3 * time.Minute

// variables are extra variables: changes of the inventory.
type variables map[string]any

// check runs the checks on an inventory, and returns the folder with the settings files
// that the roles would write, and ansible-playbook's output if it failed.
func check(t *testing.T, inventory string, changes variables) (dir, failure string) {
	t.Helper()
	dir = t.TempDir()
	return dir, play(t, inventory, "check.yml", dir, changes)
}

// play runs a playbook of testdata, and returns its output if it failed.
func play(t *testing.T, inventory, playbook, dir string, changes variables) (failure string) {
	t.Helper()
	extra := variables{"written": dir}
	for name, value := range changes {
		extra[name] = value
	}
	text, err := json.Marshal(extra)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ansible-playbook", "-i", inventory, "inventory_test/testdata/"+playbook, "-e", string(text))
	cmd.Dir = ".."
	cmd.Env = append(cmd.Environ(), "HOME="+dir, "ANSIBLE_NOCOLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "PLAY RECAP") {
		t.Fatalf("ansible-playbook: %v\n%s", err, out)
	}
	if err != nil {
		// In one line, since Ansible wraps its messages anywhere.
		return strings.Join(strings.Fields(string(out)), " ")
	}
	return ""
}

// TestExamples: the roles have nothing to say against an example, and both programs
// accept the settings that come out of it.
func TestExamples(t *testing.T) {
	examples, err := filepath.Glob("../inventory*.example")
	if err != nil || len(examples) != 2 {
		t.Fatalf("examples: %q, %v", examples, err)
	}
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			t.Parallel()
			dir, failure := check(t, filepath.Base(example), nil)
			if failure != "" {
				t.Fatal(failure)
			}
			environ := []string{"CREDENTIALS_DIRECTORY=" + dir}
			if _, err := authsvc.Load(filepath.Join(dir, "authsvc.yaml"), environ, nil); err != nil {
				t.Error(err)
			}
			if _, err := tokenrefresher.Load(filepath.Join(dir, "tokenrefresher.yaml"), environ, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMistakes: what would show only later, on a bad day, is refused before any host is
// asked.
func TestMistakes(t *testing.T) {
	const example = "inventory.several.example"
	registries := func(names ...string) variables {
		var all []map[string]any
		for _, name := range names {
			all = append(all, map[string]any{"name": name, "region": "eu-west-1", "file": "/run/tokenrefresher/" + name + ".json"})
		}
		return variables{"registries": all}
	}
	upstreams := func(entries ...map[string]any) variables { return variables{"upstreams": entries} }
	for name, test := range map[string]struct {
		changes variables
		want    string
	}{
		"a token file that nobody writes": {
			variables{"tokenrefresher_config": registries("eu", "tools", "partner")},
			"the registry us reads /run/tokenrefresher/us.json and asks for us. Expected a token file and a name of " +
				"tokenrefresher_config.registries: eu: /run/tokenrefresher/eu.json, partner: ",
		},
		"a name that tokenrefresher does not know": {
			variables{"authsvc_config": upstreams(map[string]any{"name": "europe", "token_file": "/run/tokenrefresher/eu.json"})},
			"the registry europe reads /run/tokenrefresher/eu.json and asks for europe. Expected",
		},
		"another registry's token file": {
			variables{"authsvc_config": upstreams(map[string]any{"name": "eu", "token_file": "/run/tokenrefresher/us.json"})},
			"the registry eu reads /run/tokenrefresher/us.json and asks for eu. Expected",
		},
		"one registry, and no token of its name": {
			variables{"authsvc_config": variables{"realm": "docker.vendor.com"}},
			"the registry main reads /run/tokenrefresher/main.json and asks for main. Expected",
		},
		"a kept connection to a port": {
			variables{"nginx_keep_alive": []string{"registry.partner.example:5000"}},
			"nginx_keep_alive: expected host names in lower case, each once, without ports, found registry.partner.example:5000",
		},
		"a kept connection twice": {
			variables{"nginx_keep_alive": []string{"registry.partner.example", "registry.partner.example"}},
			"nginx_keep_alive: expected host names in lower case, each once",
		},
		"an unknown way to serve images": {
			variables{"nginx_blobs": "store"}, "nginx_blobs: expected redirect or content, found store",
		},
		"a content store, and a registry without a known host": {
			variables{"nginx_blobs": "content", "authsvc_content_hosts": map[string]string{"eu": "a.example"}},
			"authsvc_content_hosts: expected the host of the registry us, since tokenrefresher_config has neither its host nor its registry_id, found eu",
		},
		"a content store elsewhere than nginx looks": {
			variables{"nginx_blobs": "content", "authsvc_content_config": map[string]string{"folder": "/srv/images"}},
			"authsvc_content_config: expected no folder, since nginx's includes name",
		},
		"no certificate": {variables{"nginx_certificate": ""}, "expected nginx_server_name, nginx_certificate and nginx_certificate_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, failure := check(t, example, test.changes); !strings.Contains(failure, test.want) {
				t.Errorf("expected a failure with %q, found %q", test.want, failure)
			}
		})
	}
	// What else an inventory may be.
	for name, changes := range map[string]variables{
		// As ansible/README.md says for a region that stays down.
		"the stand-by in place of the first": {
			"authsvc_config": upstreams(
				map[string]any{"name": "us", "prefixes": []any{"acme/", map[string]string{"vendor/": "prod-eu/"}}},
				map[string]any{"name": "tools", "prefixes": []string{"tools/"}},
			),
			"tokenrefresher_config": registries("us", "tools"),
		},
		// Whoever asks nobody for a new token needs no name.
		"no refresh socket": {"authsvc_config": upstreams(map[string]any{
			"name": "europe", "token_file": "/run/tokenrefresher/eu.json", "refresh_socket": "", "prefixes": []string{"acme/"},
		})},
		"one of several": {"authsvc_config": variables{"upstream": map[string]any{
			"token_file": "/run/tokenrefresher/eu.json", "refresh_name": "eu",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, failure := check(t, example, changes)
			if failure != "" {
				t.Fatal(failure)
			}
			if _, err := authsvc.Load(filepath.Join(dir, "authsvc.yaml"), nil, nil); err != nil && !strings.Contains(err.Error(), "kloudless.url") {
				t.Error(err)
			}
		})
	}
}
