package awstest

import (
	"slices"
	"strings"
	"testing"

	"github.com/pullgate/pullgate/ansible/aws_test/iam"
)

// TestLifecycle creates everything in one account and removes it again.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	absent := readme.with("aws_state", "absent")
	created := string(read(t, "testdata/created.json"))

	o := w.must(3, readme, "--check", "--diff")
	w.expect(nothing)
	wantCalls(t, o.changes())
	wantText(t, o, "arn:aws:ecr:eu-west-1:123456789012:repository/acme/*") // the policy that would be set

	o = w.must(3, readme)
	w.expect(created)
	wantCalls(t, o.changes(), "CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile")
	wantText(t, o,
		"arn:aws:iam::123456789012:role/pullgate-registry-pull",
		"aws ec2 associate-iam-instance-profile --instance-id i-… --iam-instance-profile Name=pullgate-registry-pull",
		"'IamInstanceProfile={Name=pullgate-registry-pull},MetadataOptions={HttpTokens=required,HttpPutResponseHopLimit=1}'",
		"--http-tokens required --http-put-response-hop-limit 1",
		"they need no repository policy")

	o = w.must(0, readme)
	w.expect(created)
	wantCalls(t, o.changes())
	wantCalls(t, w.must(0, readme, "--check").changes())

	other := readme.with("aws_repositories", []string{"acme/appliance", "tools/*"})
	wantCalls(t, w.must(1, other, "--check").changes())
	w.expect(created)
	wantCalls(t, w.must(1, other).changes(), "PutRolePolicy")
	w.expect(strings.Replace(created,
		`"arn:aws:ecr:eu-west-1:123456789012:repository/acme/*"`,
		`"arn:aws:ecr:eu-west-1:123456789012:repository/acme/appliance",
                "arn:aws:ecr:eu-west-1:123456789012:repository/tools/*"`, 1))
	wantCalls(t, w.must(1, readme).changes(), "PutRolePolicy")
	w.expect(created)

	wantCalls(t, w.must(1, absent, "--check").changes())
	w.expect(created)
	wantCalls(t, w.must(1, absent).changes(),
		"RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole")
	w.expect(nothing)
	wantCalls(t, w.must(0, absent).changes())
	wantCalls(t, w.must(0, absent, "--check").changes())
	w.expect(nothing)
}

// TestOtherSettings sets each optional setting, changes it, and returns to the
// defaults.
func TestOtherSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ssm := "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
	vars := settings{
		"aws_account_id":           "210987654321",
		"aws_regions":              []string{"eu-west-1", "us-east-1"},
		"aws_repositories":         []string{"acme/appliance", "acme-tools/*"},
		"aws_role_name":            "docker.vendor.com",
		"aws_permissions_boundary": "arn:aws:iam::123456789012:policy/teams/boundary",
		"aws_managed_policies":     []string{ssm},
		"aws_tags":                 map[string]string{"owner": "platform", "cost-center": "42"},
	}
	w.must(3, vars, "--check")
	w.expect(nothing)
	o := w.must(3, vars)
	w.expect(string(read(t, "testdata/other-settings.json")))
	wantText(t, o, "each needs a repository policy that lets the role pull")
	w.must(0, vars)

	o = w.must(1, vars.with("aws_permissions_boundary", "arn:aws:iam::123456789012:policy/other"))
	wantCalls(t, o.changes(), "PutRolePermissionsBoundary")
	o = w.must(1, vars.with("aws_permissions_boundary", "").
		with("aws_managed_policies", []string{}).
		with("aws_tags", map[string]string{"owner": "registry"}))
	wantCalls(t, o.changes(), "UntagRole", "TagRole", "DeleteRolePermissionsBoundary", "DetachRolePolicy")
	w.iam.Change(func(a *iam.Account) {
		r := a.Roles["docker.vendor.com"]
		if r.Boundary != "" || len(r.Attached) != 0 || len(r.Tags) != 1 || r.Tags["owner"] != "registry" {
			t.Errorf("the role has kept something: %+v", r)
		}
	})
	w.must(1, vars) // all back, and absent removes what is attached
	w.must(1, vars.with("aws_state", "absent"))
	w.expect(nothing)
}

// TestPartition: other partitions have other ARNs and another IAM, but the same
// name for EC2 in the trust.
func TestPartition(t *testing.T) {
	t.Parallel()
	created := string(read(t, "testdata/created.json"))
	for _, p := range []struct{ partition, iamRegion, region string }{
		{"aws-cn", "cn-north-1", "cn-northwest-1"},
		{"aws-us-gov", "us-gov-west-1", "us-gov-east-1"},
	} {
		t.Run(p.partition, func(t *testing.T) {
			w := newPartition(t, p.partition, p.iamRegion)
			vars := readme.with("aws_partition", p.partition).with("aws_regions", []string{p.region})
			w.must(3, vars)
			w.expect(strings.NewReplacer("arn:aws:", "arn:"+p.partition+":", "eu-west-1", p.region).Replace(created))
			w.must(1, vars.with("aws_state", "absent"))
			w.expect(nothing)
		})
	}
}

// TestDrift: changes made by hand are corrected or reported.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(3, readme)
	created := w.state()

	w.iam.Change(func(a *iam.Account) {
		r := a.Roles[name]
		r.Trust = strings.Replace(r.Trust, "ec2.", "lambda.", 1)
		r.Inline[name] = strings.Replace(r.Inline[name], "ecr:ListImages", "ecr:PutImage", 1)
		r.Description, r.Attached = "", []string{"arn:aws:iam::aws:policy/AdministratorAccess"}
		delete(a.InstanceProfiles, name)
	})
	o := w.must(3, readme)
	w.expect(created)
	wantCalls(t, o.changes(), "UpdateAssumeRolePolicy", "UpdateRole", "DetachRolePolicy", "PutRolePolicy",
		"CreateInstanceProfile", "AddRoleToInstanceProfile")

	w.iam.Change(func(a *iam.Account) { a.Roles[name].Inline["debugging"] = a.Roles[name].Inline[name] })
	o = w.play(readme)
	wantFailure(t, o, "inline policies that this playbook did not create: debugging.")
	w.iam.Change(func(a *iam.Account) { delete(a.Roles[name].Inline, "debugging") })
	w.must(0, readme)
}

// TestInterrupted: the next run completes one that was interrupted, or that did not
// see at once what it had created.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := &iam.Error{Status: 404, Code: "NoSuchEntity", Message: "The role with name " + name + " cannot be found."}
	w.iam.Fail("ListRolePolicies", late)
	w.must(3, readme)

	denied := &iam.Error{Status: 403, Code: "AccessDenied", Message: "not authorized to perform: iam:AddRoleToInstanceProfile"}
	w = newWorld(t)
	w.iam.Fail("AddRoleToInstanceProfile", denied)
	wantFailure(t, w.play(readme), denied.Message)
	// The module does not see an empty profile; the verification does.
	wantFailure(t, w.play(readme), "aws iam add-role-to-instance-profile --instance-profile-name "+name+" --role-name "+name)
	w.iam.Change(func(a *iam.Account) { a.InstanceProfiles[name].Roles = []string{name} })
	w.must(0, readme)
	w.expect(string(read(t, "testdata/created.json")))
}

// TestOperatorRights: aws.yml names the rights that the stand-in knows, and no
// others. The other tests show that they suffice: the stand-in grants no more.
func TestOperatorRights(t *testing.T) {
	t.Parallel()
	// PassRole is not an API call: adding a role to a profile requires it.
	want := append(iam.Actions(), "PassRole")
	got := operatorRights(t)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("aws.yml asks for %q, want %q", got, want)
	}
}

func wantCalls(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("calls that change: %q, want %q", got, want)
	}
}

func wantText(t *testing.T, o outcome, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.output, text) {
			t.Errorf("the output does not have %q:\n%s", text, o.output)
		}
	}
}

func wantFailure(t *testing.T, o outcome, text string) {
	t.Helper()
	if !o.failed {
		t.Fatalf("the run succeeded:\n%s", o.output)
	}
	wantText(t, o, text)
}
