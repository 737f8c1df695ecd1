package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An inventory is an edited inventory.example: the variables of all hosts, some of
// them changed.
type inventory map[string]any

// The examples, by the files with the variables of all hosts.
var (
	example = []string{"inventory.example/group_vars/registry.yml"}
	several = []string{"inventory.several.example/group_vars/registry/settings.yml", "inventory.several.example/group_vars/registry/vault.yml"}
)

// newInventory reads an example, so that the test deploys the example itself.
func (w *world) newInventory(files []string) (inventory, error) {
	config := inventory{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(w.root, "ansible", file))
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &config); err != nil {
			return nil, fmt.Errorf("reading the example's variables: %w", err)
		}
	}
	return config, nil
}

// set sets a variable, or a key inside one, such as "authsvc_config.cache.ttl". A
// nil value removes it.
func (i inventory) set(key string, value any) {
	node := map[string]any(i)
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		child, ok := node[part].(map[string]any)
		if inner, isInventory := node[part].(inventory); isInventory {
			child, ok = inner, true
		}
		if !ok {
			child = map[string]any{}
		}
		node[part] = child
		node = child
	}
	if value == nil {
		delete(node, parts[len(parts)-1])
		return
	}
	node[parts[len(parts)-1]] = value
}

// write writes the inventory directory for ansible-playbook.
func (w *world) writeInventory(machines ...*machine) (dir string, err error) {
	hosts := map[string]any{}
	for _, m := range machines {
		hosts[m.name] = map[string]any{"ansible_host": m.address, "ansible_user": "admin", "ansible_ssh_private_key_file": m.key}
	}
	dir = w.in("inventory")
	if err := os.MkdirAll(filepath.Join(dir, "group_vars"), 0o700); err != nil {
		return "", err
	}
	for path, content := range map[string]any{
		"hosts.yml":               map[string]any{"registry": map[string]any{"hosts": hosts}},
		"group_vars/registry.yml": map[string]any(w.config),
	} {
		text, err := yaml.Marshal(content)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// A recap is ansible-playbook's final line about a host.
type recap struct{ changed, failed int }

// A result is a run of the playbook.
type result struct {
	out   string
	took  time.Duration
	hosts map[string]recap
}

var recapLine = regexp.MustCompile(`(?m)^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)`)

// playbook runs site.yml as the README says.
func (w *world) playbook(args ...string) (command, error) {
	dir, err := w.writeInventory(w.machines...)
	if err != nil {
		return command{}, fmt.Errorf("writing the inventory: %w", err)
	}
	return command{
		name: "ansible-playbook", args: append([]string{"-i", dir, "site.yml"}, args...), dir: filepath.Join(w.root, "ansible"),
		env: []string{"HOME=" + w.work, "ANSIBLE_HOST_KEY_CHECKING=False", "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=False"},
	}, nil
}

// deploy runs the playbook and expects it to succeed everywhere.
func (w *world) deploy(ctx context.Context, args ...string) (result, error) {
	playbook, err := w.playbook(args...)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	out, err := playbook.run(ctx)
	r := result{out: out, took: time.Since(began).Round(100 * time.Millisecond), hosts: map[string]recap{}}
	for _, m := range recapLine.FindAllStringSubmatch(out, -1) {
		number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n } // they are digits
		r.hosts[m[1]] = recap{changed: number(2), failed: number(3) + number(4)}
	}
	if err != nil {
		err = fmt.Errorf("%w\nfailed tasks:\n%s", err, r.tasks("fatal:"))
	}
	return r, err
}

// unchanged checks that no host was changed.
func (r result) unchanged() error {
	if len(r.hosts) == 0 {
		return fmt.Errorf("the playbook ran on no host:\n%s", lastLines(r.out, 20))
	}
	for host, recap := range r.hosts {
		if recap.changed != 0 || recap.failed != 0 {
			return fmt.Errorf("%s: %d changed, %d failed, expected none:\n%s", host, recap.changed, recap.failed, r.tasks("changed:"))
		}
	}
	return nil
}

// text is the output in one line, since Ansible wraps its messages anywhere.
func (r result) text() string { return strings.Join(strings.Fields(r.out), " ") }

// tasks returns the tasks with such a line.
func (r result) tasks(prefix string) string {
	var found []string
	task := ""
	for line := range strings.Lines(r.out) {
		if strings.HasPrefix(line, "TASK ") {
			task = line
		}
		if strings.HasPrefix(line, prefix) {
			found = append(found, task+line)
		}
	}
	return strings.Join(found, "")
}
