package awstest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pullgate/pullgate/ansible/aws_test/iam"
)

// Another account, and the role that pulls.
const (
	otherAccount = "210987654321"
	ours         = "arn:aws:iam::" + account + ":role/" + name
)

var readmeAccounts = regexp.MustCompile("(?s)### Several accounts and regions\n.*?```yaml\n(.*?)```")

// several are the settings in ansible/README.md: a registry in two regions, and one in
// another account.
func several(t *testing.T) (vars settings) {
	t.Helper()
	found := readmeAccounts.FindSubmatch(read(t, "../README.md"))
	if found == nil {
		t.Fatal(`ansible/README.md has no YAML in the section "Several accounts and regions"`)
	}
	if err := yaml.Unmarshal(found[1], &vars); err != nil {
		t.Fatal(err)
	}
	return vars
}

var printedPolicy = regexp.MustCompile(`"(\{\\"Version\\".*\})"`)

// TestSeveralAccounts: the role may pull what is named in each account and region, and
// nothing crosswise. The playbook prints the policy that the other account's repositories
// need, and that lets in this role alone.
func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vars := several(t)
	o := w.must(3, vars)
	policy := parse(t, w.document())
	want := map[string]bool{
		account + "/eu-west-1/acme/app": true, account + "/us-east-1/acme/app": true, account + "/us-east-1/prod-eu/app": true,
		otherAccount + "/eu-central-1/tools/cli": true,
	}
	for _, a := range []string{account, otherAccount, "333333333333"} {
		for _, region := range []string{"eu-west-1", "us-east-1", "eu-central-1"} {
			for _, repository := range []string{"acme/app", "prod-eu/app", "tools/cli", "tools"} {
				arn := "arn:aws:ecr:" + region + ":" + a + ":repository/" + repository
				at := a + "/" + region + "/" + repository
				allowed := want[at] || a == account && region == "eu-west-1" && strings.Contains(repository, "prod-eu/")
				for _, action := range []string{"ecr:BatchGetImage", "ecr:PutImage"} {
					if got := policy.Allows(action, arn); got != (allowed && action == "ecr:BatchGetImage") {
						t.Errorf("%s of %s is allowed: %v", action, at, got)
					}
				}
			}
		}
	}
	if policy.Allows("sts:AssumeRole", "arn:aws:iam::"+otherAccount+":role/"+name) {
		t.Error("the role may assume another, though none is named")
	}
	wantCalls(t, w.must(0, vars).changes())

	wantText(t, o, "The repositories tools/* are in another account, "+otherAccount+": each needs a repository policy that lets the role pull.",
		"aws ecr set-repository-policy --policy-text file://policy.json --repository-name … --region eu-central-1")
	if strings.Contains(o.output, "they need no repository policy") || strings.Contains(o.output, "--region us-east-1") {
		t.Errorf("the output is wrong about the role's own account:\n%s", o.output)
	}
	found := printedPolicy.FindStringSubmatch(o.output)
	if found == nil {
		t.Fatalf("no repository policy in\n%s", o.output)
	}
	printed, err := iam.ParseRepository(strings.ReplaceAll(found[1], `\"`, `"`))
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range ecrActions() {
		for _, role := range []string{ours, "arn:aws:iam::" + account + ":role/other", "arn:aws:iam::" + account + ":root"} {
			if got, want := printed.Admits(role, action), role == ours && slices.Contains(pulling, action); got != want {
				t.Errorf("the repository's policy lets %s do %s: %v", role, action, got)
			}
		}
	}
}

// TestRoleOfAnotherAccount: the other way, without repository policies. The other account
// makes a role that only ours can assume, and ours may assume that one alone.
func TestRoleOfAnotherAccount(t *testing.T) {
	t.Parallel()
	theirs := newAccount(t, iam.Options{AccountID: otherAccount, Partition: "aws", Region: "us-east-1", Roles: []string{ours}})
	vars := settings{
		"aws_account_id": otherAccount, "aws_regions": []string{"eu-central-1"}, "aws_repositories": []string{"tools/*"},
		"aws_trusted_roles": []string{ours},
	}
	o := theirs.must(2, vars)
	wantCalls(t, o.changes(), "CreateRole", "PutRolePolicy")
	wantText(t, o, "Only these can assume it: "+ours, "they need no repository policy")
	if strings.Contains(o.output, "associate-iam-instance-profile") {
		t.Errorf("the output is about instances:\n%s", o.output)
	}
	wantCalls(t, theirs.must(0, vars).changes())
	theirs.iam.Change(func(a *iam.Account) {
		trust, err := iam.ParseTrust(a.Roles[name].Trust, []string{ours})
		if err != nil || len(a.InstanceProfiles) > 0 {
			t.Errorf("trust %s, %v; profiles %v", a.Roles[name].Trust, err, a.InstanceProfiles)
			return
		}
		if p := trust.Statement[0].Principal; len(trust.Statement) != 1 || len(p) != 1 || !slices.Equal(p["AWS"], []string{ours}) {
			t.Errorf("trusted: %v, want %s alone", p, ours)
		}
	})

	w := newWorld(t)
	role := "arn:aws:iam::" + otherAccount + ":role/" + name
	w.must(3, readme.with("aws_assumed_roles", []string{role}))
	policy := parse(t, w.document())
	for arn, want := range map[string]bool{role: true, role + "2": false, ours: false, "arn:aws:iam::" + otherAccount + ":role/admin": false} {
		if got := policy.Allows("sts:AssumeRole", arn); got != want {
			t.Errorf("assuming %s is allowed: %v", arn, got)
		}
	}
	if policy.Allows("ecr:BatchGetImage", "arn:aws:ecr:eu-central-1:"+otherAccount+":repository/tools/cli") {
		t.Error("the role itself may pull from the other account")
	}

	// It must be there first: IAM knows the roles that a trust names.
	early := newAccount(t, iam.Options{AccountID: otherAccount, Partition: "aws", Region: "us-east-1"})
	wantFailure(t, early.play(vars), "Invalid principal in policy")
	early.expect(nothing)

	// Such a role in an instance profile is one more way to its rights.
	theirs.iam.Change(func(a *iam.Account) {
		a.InstanceProfiles["old"] = &iam.InstanceProfile{ARN: "arn:aws:iam::" + otherAccount + ":instance-profile/old", Path: "/", Roles: []string{name}}
	})
	wantFailure(t, theirs.play(vars), "remove-role-from-instance-profile --role-name "+name+" --instance-profile-name old")
}
