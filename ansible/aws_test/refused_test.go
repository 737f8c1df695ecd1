package awstest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A refusal is a setting that is invalid, and the reason.
type refusal struct {
	setting string
	value   any
	want    string
}

// TestRefused: invalid settings fail with a reason, before the first call to AWS.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		everything = "would open every repository of the account"
		notAName   = "expected repository names, with at most one * at the end"
		notDigits  = "aws_account_id must be 12 digits"
		notRegions = "aws_regions must name regions of the partition aws"
		notARole   = "aws_role_name must be 1 to 64"
		notABound  = "aws_permissions_boundary must be the ARN of a policy"
	)
	other := func(key string, value any) []any {
		entry := map[string]any{"account_id": "210987654321", "regions": []string{"eu-central-1"}, "repositories": []string{"tools/*"}}
		entry[key] = value
		return []any{entry}
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("acme/appliance-%d", i))
	}
	w.allRefused([]refusal{
		{"aws_repositories", nil, "aws_repositories"},
		{"aws_repositories", []string{}, "aws_repositories is empty"},
		{"aws_repositories", "acme/*", "aws_repositories must be a list"},
		{"aws_repositories", []string{"*"}, everything},
		{"aws_repositories", []string{"acme/*", "*"}, everything},
		{"aws_repositories", []string{"*/*"}, everything},
		{"aws_repositories", []string{"?*"}, everything},
		{"aws_repositories", []string{"acme/*/app"}, notAName},
		{"aws_repositories", []string{"acme/**"}, notAName},
		{"aws_repositories", []string{"acme/?"}, notAName},
		{"aws_repositories", []string{"acme/"}, notAName},
		{"aws_repositories", []string{""}, notAName},
		{"aws_repositories", []string{"acme/app\n"}, notAName},
		{"aws_repositories", []string{"Acme/app"}, notAName},
		{"aws_repositories", []string{"acme/app:1.0"}, notAName},
		{"aws_repositories", []string{"acme/${aws:username}"}, notAName},
		{"aws_repositories", many, "and IAM allows 10240"},
		{"aws_account_id", "12345678901", notDigits},
		{"aws_account_id", "1234567890123", notDigits},
		{"aws_account_id", "12345678901x", notDigits},
		{"aws_account_id", "123456789012\n", notDigits},
		{"aws_account_id", "*", notDigits},
		{"aws_regions", []string{}, notRegions},
		{"aws_regions", []string{"*"}, notRegions},
		{"aws_regions", []string{"eu-west"}, notRegions},
		{"aws_regions", []string{"eu-west-1", "cn-north-1"}, notRegions},
		{"aws_regions", "eu-west-1", "aws_regions must be a list"},
		{"aws_partition", "aws-mars", "value of aws_partition must be one of"},
		{"aws_state", "gone", "value of aws_state must be one of"},
		{"aws_role_name", "", notARole},
		{"aws_role_name", "pull gate", notARole},
		{"aws_role_name", strings.Repeat("a", 65), notARole},
		{"aws_permissions_boundary", "boundary", notABound},
		{"aws_permissions_boundary", "arn:aws-us-gov:iam::123456789012:policy/boundary", notABound},
		{"aws_managed_policies", []string{"AdministratorAccess"}, "aws_managed_policies must be ARNs"},
		{"aws_managed_policies", "arn:aws:iam::aws:policy/X", "aws_managed_policies must be a list"},
		{"aws_tags", "owner", "aws_tags"},
		{"aws_other_accounts", "210987654321", "aws_other_accounts"},
		{"aws_other_accounts", []string{"210987654321"}, "aws_other_accounts"},
		{"aws_other_accounts", other("account_id", "21098765432"), "aws_other_accounts[0].account_id must be 12 digits"},
		{"aws_other_accounts", other("regions", []string{"cn-north-1"}), "aws_other_accounts[0].regions must name regions of the partition aws"},
		{"aws_other_accounts", other("regions", "eu-central-1"), "regions and repositories must be lists"},
		{"aws_other_accounts", other("repositories", []string{}), "aws_other_accounts[0].repositories is empty"},
		{"aws_other_accounts", other("repositories", []string{"*"}), everything},
		{"aws_other_accounts", other("repositories", []string{"Tools"}), notAName},
		{"aws_other_accounts", other("repositories", many), "and IAM allows 10240"},
		{"aws_other_accounts", other("role", "x"), "role"},
		{"aws_assumed_roles", []string{"pull"}, "aws_assumed_roles must be ARNs"},
		{"aws_assumed_roles", []string{"arn:aws:iam::210987654321:role/*"}, "aws_assumed_roles must be ARNs"},
		{"aws_assumed_roles", []string{"arn:aws-cn:iam::210987654321:role/pull"}, "aws_assumed_roles must be ARNs"},
		{"aws_assumed_roles", "arn:aws:iam::210987654321:role/pull", "aws_assumed_roles must be a list"},
		{"aws_trusted_roles", []string{"arn:aws:iam::210987654321:root"}, "aws_trusted_roles must be ARNs"},
		{"aws_trusted_roles", []string{"*"}, "aws_trusted_roles must be ARNs"},
	})

	// A leading 0 without quotes makes YAML read the account as octal.
	t.Run("octal account", func(t *testing.T) {
		w.t = t
		file := filepath.Join(w.home, "octal.yml")
		err := os.WriteFile(file, []byte("aws_account_id: 012345670123\naws_regions: [eu-west-1]\naws_repositories: [acme/*]\n"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		wantRefused(t, w.run("aws.yml", "-e", "@"+file), notDigits)
	})
	t.Run("no settings", func(t *testing.T) {
		w.t = t
		wantRefused(t, w.run("aws.yml"), "missing required arguments: aws_account_id, aws_regions, aws_repositories")
	})
	w.t = t
	w.expect(nothing)
}

// allRefused gives the role each of the settings in place of a valid one, all in one run:
// most of a run's time is Ansible's start.
func (w *world) allRefused(refusals []refusal) {
	w.t.Helper()
	var tasks []any
	for i, r := range refusals {
		tasks = append(tasks, map[string]any{
			"name":  "Refuse",
			"block": []any{map[string]any{"name": "Try", "ansible.builtin.include_role": map[string]any{"name": "aws"}, "vars": readme.with(r.setting, r.value)}},
			"rescue": []any{map[string]any{"name": "Say why", "ansible.builtin.debug": map[string]any{
				"msg": fmt.Sprintf("refused %d: {{ ansible_failed_result | to_json(ensure_ascii=false) }}", i),
			}}},
		})
	}
	text, err := json.Marshal([]any{map[string]any{"name": "Refuse", "hosts": "localhost", "connection": "local", "gather_facts": false, "tasks": tasks}})
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.home, "refused.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	o := w.run(file)
	if o.failed || len(o.calls) != 0 {
		w.t.Errorf("failed: %v; calls of AWS: %q", o.failed, o.calls)
	}
	for i, r := range refusals {
		_, said, refused := strings.Cut(o.output, fmt.Sprintf("\"refused %d: ", i))
		if said, _, _ = strings.Cut(said, "\n"); !refused || !strings.Contains(said, r.want) {
			w.t.Errorf("%s=%.20v: expected a refusal with %q, found %t: %s", r.setting, r.value, r.want, refused, said)
		}
	}
}

func wantRefused(t *testing.T, o outcome, text string) {
	t.Helper()
	wantFailure(t, o, text)
	if len(o.calls) != 0 {
		t.Errorf("AWS was called: %q", o.calls)
	}
}
