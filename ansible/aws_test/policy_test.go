package awstest

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/pullgate/pullgate/ansible/aws_test/iam"
)

var readmePolicy = regexp.MustCompile("(?s)## The IAM policy\n.*?```json\n(.*?)```")

// TestPolicyIsREADMEs: the README's policy for setting it by hand is the same.
func TestPolicyIsREADMEs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(3, readme)
	found := readmePolicy.FindSubmatch(read(t, "../../tokenrefresher/README.md"))
	if found == nil {
		t.Fatal(`tokenrefresher/README.md has no JSON in the section "The IAM policy"`)
	}
	got, want := parse(t, w.document()), parse(t, string(found[1]))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the role's policy is\n%+v\nand README's\n%+v", got, want)
	}
}

// pulling lists what the registry's token and authsvc's learning need.
var pulling = []string{
	"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
	"ecr:DescribeRepositories", "ecr:DescribeImages", "ecr:ListImages",
}

// TestPolicyGrantsNothingElse tries every action of ECR, some of others, and
// some hundred thousand names near the ones that are granted.
func TestPolicyGrantsNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vars := settings{
		"aws_account_id":   account,
		"aws_regions":      []string{"eu-west-1", "us-east-1"},
		"aws_repositories": []string{"acme/appliance", "acme/base/*", "tools-*"},
	}
	w.must(3, vars)
	policy := parse(t, w.document())

	// What is granted, computed without IAM's patterns.
	granted := func(prefix, name string) bool {
		return slices.Contains([]string{"arn:aws:ecr:eu-west-1:123456789012:repository/", "arn:aws:ecr:us-east-1:123456789012:repository/"}, prefix) &&
			(name == "acme/appliance" || strings.HasPrefix(name, "acme/base/") || strings.HasPrefix(name, "tools-"))
	}
	prefixes := []string{
		"arn:aws:ecr:eu-west-1:123456789012:repository/", "arn:aws:ecr:us-east-1:123456789012:repository/",
		"arn:aws:ecr:eu-west-2:123456789012:repository/", "arn:aws:ecr:eu-west-1:123456789013:repository/",
		"arn:aws-cn:ecr:eu-west-1:123456789012:repository/", "arn:aws:ecr-public::123456789012:repository/",
		"arn:aws:s3:::",
	}
	names := namesOf([]string{"acme", "appliance", "base", "tools", "/", "-", "x", "*"}, 5)
	allowed := 0
	for _, prefix := range prefixes {
		for _, name := range names {
			got, want := policy.Allows("ecr:BatchGetImage", prefix+name), granted(prefix, name)
			if got != want {
				t.Fatalf("pulling %s%s is allowed: %v, want %v", prefix, name, got, want)
			}
			if got {
				allowed++
			}
		}
	}

	actions := append(ecrActions(),
		// Actions that are not API calls, and actions of other services.
		"ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr-public:GetAuthorizationToken", "s3:GetObject", "s3:PutObject",
		"sts:AssumeRole", "iam:PassRole", "ec2:RunInstances", "kms:Decrypt", "ssm:GetParameter", "secretsmanager:GetSecretValue")
	near := namesOf([]string{"acme", "appliance", "base", "tools", "/", "-", "x", "*"}, 3)
	for _, action := range actions {
		for _, prefix := range prefixes {
			for _, name := range near {
				want := action == "ecr:GetAuthorizationToken" || slices.Contains(pulling, action) && granted(prefix, name)
				if got := policy.Allows(action, prefix+name); got != want {
					t.Fatalf("%s on %s%s is allowed: %v, want %v", action, prefix, name, got, want)
				}
			}
		}
	}
	t.Logf("%d repositories, %d of them allowed; %d actions on %d repositories",
		len(prefixes)*len(names), allowed, len(actions), len(prefixes)*len(near))
}

// ecrActions are all that AWS's SDK knows of ECR.
func ecrActions() (actions []string) {
	client := reflect.TypeFor[*ecr.Client]()
	for m := range client.Methods() {
		if m.Name != "Options" {
			actions = append(actions, "ecr:"+m.Name)
		}
	}
	return actions
}

// namesOf are all sequences of up to n pieces.
func namesOf(pieces []string, n int) []string {
	names, last := []string{""}, []string{""}
	for range n {
		var next []string
		for _, name := range last {
			for _, piece := range pieces {
				next = append(next, name+piece)
			}
		}
		names = append(names, next...)
		last = next
	}
	return names
}

func parse(t *testing.T, document string) *iam.Policy {
	t.Helper()
	p, err := iam.ParsePolicy(document)
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return p
}
