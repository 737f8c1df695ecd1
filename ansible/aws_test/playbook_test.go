// Package awstest runs ansible/aws.yml with the real ansible-playbook and the real
// collections, against a stand-in for IAM (package iam).
package awstest

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/pullgate/pullgate/ansible/aws_test/iam"
)

const (
	account = "123456789012"
	name    = "pullgate-registry-pull"
	// playbookTimeout is far longer than any run.
	playbookTimeout = 15 * time.Minute
)

// credentials are the operator's.
var credentials = aws.Credentials{
	AccessKeyID:     "ASIAEXAMPLEEXAMPLE00",
	SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	SessionToken:    "FwoGZXIvYXdzEXAMPLE//////////wEaDEXAMPLE==",
}

// settings are extra variables; unchanged, they are the README's example.
type settings map[string]any

func (s settings) with(name string, value any) settings {
	changed := settings{name: value}
	for n, v := range s {
		if n != name {
			changed[n] = v
		}
	}
	return changed
}

var readme = settings{
	"aws_account_id":   account,
	"aws_regions":      []string{"eu-west-1"},
	"aws_repositories": []string{"acme/*"},
}

// a world is one account's IAM, and the operator who runs Ansible.
type world struct {
	t    *testing.T
	iam  *iam.Server
	url  string
	home string
}

// newWorld starts with an empty account. The operator has only the rights that
// aws.yml lists.
func newWorld(t *testing.T) *world { return newPartition(t, "aws", "us-east-1") }

func newPartition(t *testing.T, partition, iamRegion string) *world {
	return newAccount(t, iam.Options{AccountID: account, Partition: partition, Region: iamRegion})
}

func newAccount(t *testing.T, o iam.Options) *world {
	t.Helper()
	for _, tool := range [][]string{{"ansible-playbook", "--version"}, {"/usr/bin/python3", "-c", "import boto3"}} {
		if out, err := exec.CommandContext(t.Context(), tool[0], tool[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s\napt-get install -y ansible python3-boto3", tool, err, out)
		}
	}
	o.Credentials, o.Allowed, o.Now = credentials, operatorRights(t), time.Now
	server := iam.New(o)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return &world{t, server, listening.URL, t.TempDir()}
}

// operatorRights are the actions in the comment of aws.yml.
func operatorRights(t *testing.T) (actions []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`iam:(\w+)`).FindAllSubmatch(read(t, "../aws.yml"), -1) {
		actions = append(actions, string(m[1]))
	}
	return actions
}

// An outcome of a run.
type outcome struct {
	output  string
	failed  bool
	changed int
	calls   []string // of IAM
}

// changes are the calls that can change the account.
func (o outcome) changes() []string {
	return slices.DeleteFunc(slices.Clone(o.calls), func(call string) bool { return !iam.Changes(call) })
}

var recap = regexp.MustCompile(`(?m)^localhost\s+:.*\bchanged=(\d+).*\bfailed=(\d+)`)

// play runs ansible-playbook aws.yml.
func (w *world) play(vars settings, args ...string) outcome {
	w.t.Helper()
	extra, err := json.Marshal(vars)
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.home, "settings.json")
	if err := os.WriteFile(file, extra, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.run(append([]string{"aws.yml", "-e", "@" + file}, args...)...)
}

// run runs ansible-playbook with its own environment.
func (w *world) run(args ...string) outcome {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), playbookTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ansible-playbook", args...)
	cmd.Dir = ".."
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + w.home,
		"LANG=C.UTF-8",
		"ANSIBLE_NOCOLOR=1",
		"ANSIBLE_STDOUT_CALLBACK=default",
		"AWS_ACCESS_KEY_ID=" + credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN=" + credentials.SessionToken,
		"AWS_URL=" + w.url, // the endpoint of all amazon.aws and community.aws modules
		"AWS_EC2_METADATA_DISABLED=true",
	}
	b, err := cmd.CombinedOutput()
	o := outcome{output: string(b), failed: err != nil, calls: w.iam.Calls()}
	found := recap.FindStringSubmatch(o.output)
	if found == nil {
		w.t.Fatalf("ansible-playbook %s: %v, and no recap:\n%s", strings.Join(args, " "), err, o.output)
	}
	o.changed, _ = strconv.Atoi(found[1]) // digits, as the expression says
	if (found[2] != "0") != o.failed {
		w.t.Fatalf("ansible-playbook %s: %v, but the recap says failed=%s:\n%s", strings.Join(args, " "), err, found[2], o.output)
	}
	return o
}

// must is play for a run that must succeed with this number of changes.
func (w *world) must(changed int, vars settings, args ...string) outcome {
	w.t.Helper()
	o := w.play(vars, args...)
	if o.failed || o.changed != changed {
		w.t.Fatalf("failed is %v with %d changes, want success with %d:\n%s", o.failed, o.changed, changed, o.output)
	}
	return o
}

// state is the whole account, with documents as JSON rather than text.
func (w *world) state() string {
	w.t.Helper()
	var b []byte
	w.iam.Change(func(a *iam.Account) {
		var err error
		if b, err = json.MarshalIndent(a, "", "  "); err != nil {
			w.t.Fatal(err)
		}
	})
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		w.t.Fatal(err)
	}
	b, err := json.MarshalIndent(openDocuments(tree), "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b) + "\n"
}

// openDocuments replaces strings that contain JSON objects with the objects.
func openDocuments(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = openDocuments(v[key])
		}
	case string:
		var object map[string]any
		if json.Unmarshal([]byte(v), &object) == nil {
			return object
		}
	}
	return v
}

const nothing = `{
  "InstanceProfiles": {},
  "Roles": {}
}
`

// expect compares the whole account.
func (w *world) expect(want string) {
	w.t.Helper()
	if got := w.state(); got != want {
		w.t.Fatalf("the account holds\n%s\nwant\n%s", got, want)
	}
}

// document is the role's own inline policy.
func (w *world) document() string {
	w.t.Helper()
	var document string
	w.iam.Change(func(a *iam.Account) {
		if a.Roles[name] != nil {
			document = a.Roles[name].Inline[name]
		}
	})
	if document == "" {
		w.t.Fatalf("role %s has no policy %s", name, name)
	}
	return document
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
