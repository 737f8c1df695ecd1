package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	trust  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	policy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:ListImages","Resource":"*"}}`
)

// elsewhere is a role of another account, and trusting is a trust in it.
const (
	elsewhere = "arn:aws:iam::210987654321:role/pull"
	trusting  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["` + elsewhere + `"]},"Action":"sts:AssumeRole"}}`
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	creds = aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "session"}
)

func newServer(allowed ...string) *Server {
	return New(Options{
		Credentials: creds, AccountID: "123456789012", Partition: "aws", Region: "us-east-1",
		Allowed: allowed, Now: func() time.Time { return now }, Roles: []string{elsewhere},
	})
}

// A request is signed, and then changed by after.
type request struct {
	form   string
	creds  aws.Credentials
	region string
	date   time.Time
	after  func(*http.Request)
}

// code sends it, and returns the code of the error, empty for a result.
func (s *Server) code(t *testing.T, req request) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://iam.test/", strings.NewReader(req.form))
	r.ContentLength = 0 // botocore does not sign it
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(req.form))
	if err := v4.NewSigner().SignHTTP(t.Context(), req.creds, r, hex.EncodeToString(sum[:]), "iam", req.region, req.date); err != nil {
		t.Fatal(err)
	}
	if req.after != nil {
		req.after(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return ""
	}
	var answer struct {
		Code string `xml:"Error>Code"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Code == "" {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	return answer.Code
}

// call sends an action with parameters name, value, name, value …
func (s *Server) call(t *testing.T, action string, parameters ...string) string {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for p := range slices.Chunk(parameters, 2) {
		form.Add(p[0], p[1])
	}
	return s.code(t, request{form.Encode(), creds, "us-east-1", now, nil})
}

func TestSignature(t *testing.T) {
	good := request{"Action=GetRole&Version=2010-05-08&RoleName=a", creds, "us-east-1", now, nil}
	for name, tt := range map[string]struct {
		change func(*request)
		want   string
	}{
		"good":     {func(*request) {}, "NoSuchEntity"},
		"secret":   {func(r *request) { r.creds.SecretAccessKey = "guess" }, "SignatureDoesNotMatch"},
		"key":      {func(r *request) { r.creds.AccessKeyID = "ASIAOTHER" }, "InvalidClientTokenId"},
		"session":  {func(r *request) { r.creds.SessionToken = "" }, "InvalidClientTokenId"},
		"region":   {func(r *request) { r.region = "eu-west-1" }, "SignatureDoesNotMatch"},
		"old":      {func(r *request) { r.date = now.Add(-time.Hour) }, "SignatureDoesNotMatch"},
		"unsigned": {func(r *request) { r.after = func(h *http.Request) { h.Header.Del("Authorization") } }, "MissingAuthenticationToken"},
		"no date":  {func(r *request) { r.after = func(h *http.Request) { h.Header.Del("X-Amz-Date") } }, "IncompleteSignature"},
		"body":     {func(r *request) { r.after = func(h *http.Request) { h.Body = http.NoBody } }, "SignatureDoesNotMatch"},
		"host":     {func(r *request) { r.after = func(h *http.Request) { h.Host = "other.test" } }, "SignatureDoesNotMatch"},
		"GET":      {func(r *request) { r.after = func(h *http.Request) { h.Method = http.MethodGet } }, "MalformedQueryString"},
		"no form":  {func(r *request) { r.after = func(h *http.Request) { h.Header.Set("Content-Type", "text/xml") } }, "MalformedQueryString"},
		"form type": {func(r *request) {
			r.after = func(h *http.Request) { h.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
		}, "SignatureDoesNotMatch"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			tt.change(&r)
			if got := newServer("GetRole").code(t, r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCalls is one account's life, call by call.
func TestCalls(t *testing.T) {
	s := newServer(Actions()...)
	profile := []string{"InstanceProfileName", "p"}
	both := []string{"InstanceProfileName", "p", "RoleName", "a"}
	for i, tt := range []struct {
		action     string
		parameters []string
		want       string
	}{
		{"CreateUser", []string{"UserName", "u"}, "InvalidAction"},
		{"GetRole", nil, "ValidationError"},
		{"GetRole", []string{"RoleName", "a", "Path", "/"}, "ValidationError"},
		{"GetRole", []string{"RoleName", "a", "RoleName", "b"}, "ValidationError"},
		{"GetRole", []string{"RoleName", "a"}, "NoSuchEntity"},
		{"CreateRole", []string{"RoleName", "a b", "AssumeRolePolicyDocument", trust}, "ValidationError"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", policy}, "MalformedPolicyDocument"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", strings.Replace(trust, "ec2.", "ec3.", 1)}, "MalformedPolicyDocument"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", strings.Replace(trusting, "role/pull", "role/none", 1)}, "MalformedPolicyDocument"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", strings.Replace(trusting, elsewhere, "*", 1)}, "MalformedPolicyDocument"},
		{"CreateRole", []string{"RoleName", "b", "AssumeRolePolicyDocument", trusting}, ""},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", trust, "PermissionsBoundary", "b"}, "ValidationError"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", trust, "Tags.member.1.Key", "aws:x", "Tags.member.1.Value", ""}, "InvalidInput"},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", trust}, ""},
		{"CreateRole", []string{"RoleName", "a", "AssumeRolePolicyDocument", trust}, "EntityAlreadyExists"},
		{"DeleteRolePermissionsBoundary", []string{"RoleName", "a"}, "NoSuchEntity"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", trust}, "MalformedPolicyDocument"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", "{"}, "MalformedPolicyDocument"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", strings.Replace(policy, `"*"`, `"acme"`, 1)}, "MalformedPolicyDocument"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", strings.Replace(policy, "Resource", "NotResource", 1)}, "MalformedPolicyDocument"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", strings.Replace(policy, "Images", strings.Repeat("s", 10240), 1)}, "LimitExceeded"},
		{"PutRolePolicy", []string{"RoleName", "a", "PolicyName", "x", "PolicyDocument", strings.ReplaceAll(policy, ",", ","+strings.Repeat(" ", 10240))}, ""},
		{"GetRolePolicy", []string{"RoleName", "a", "PolicyName", "y"}, "NoSuchEntity"},
		{"DeleteRolePolicy", []string{"RoleName", "a", "PolicyName", "y"}, "NoSuchEntity"},
		{"DeleteRole", []string{"RoleName", "a"}, "DeleteConflict"},
		{"DeleteRolePolicy", []string{"RoleName", "a", "PolicyName", "x"}, ""},
		{"AddRoleToInstanceProfile", both, "NoSuchEntity"},
		{"CreateInstanceProfile", profile, ""},
		{"CreateInstanceProfile", profile, "EntityAlreadyExists"},
		{"RemoveRoleFromInstanceProfile", both, "NoSuchEntity"},
		{"AddRoleToInstanceProfile", both, ""},
		{"AddRoleToInstanceProfile", both, "LimitExceeded"},
		{"DeleteInstanceProfile", profile, "DeleteConflict"},
		{"DeleteRole", []string{"RoleName", "a"}, "DeleteConflict"},
		{"RemoveRoleFromInstanceProfile", both, ""},
		{"DeleteInstanceProfile", profile, ""},
		{"DeleteInstanceProfile", profile, "NoSuchEntity"},
		{"AttachRolePolicy", []string{"RoleName", "a", "PolicyArn", "ReadOnlyAccess"}, "ValidationError"},
		{"AttachRolePolicy", []string{"RoleName", "a", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, ""},
		{"DeleteRole", []string{"RoleName", "a"}, "DeleteConflict"},
		{"DetachRolePolicy", []string{"RoleName", "a", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, ""},
		{"DetachRolePolicy", []string{"RoleName", "a", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, "NoSuchEntity"},
		{"DeleteRole", []string{"RoleName", "a"}, ""},
		{"DeleteRole", []string{"RoleName", "a"}, "NoSuchEntity"},
	} {
		if got := s.call(t, tt.action, tt.parameters...); got != tt.want {
			t.Fatalf("call %d, %s %.80q: got %q, want %q", i, tt.action, tt.parameters, got, tt.want)
		}
	}
	if got := newServer("GetRole").call(t, "DeleteRole", "RoleName", "a"); got != "AccessDenied" {
		t.Errorf("without the right: got %q", got)
	}
}

// TestRepositoryPolicy: what ECR refuses, and whom a policy lets in.
func TestRepositoryPolicy(t *testing.T) {
	const good = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + elsewhere + `"},"Action":["ecr:BatchGetImage"]}]}`
	for what, document := range map[string]string{
		"a resource":               strings.Replace(good, `"Action"`, `"Resource":"*","Action"`, 1),
		"no principal":             strings.Replace(good, `"Principal":{"AWS":"`+elsewhere+`"},`, "", 1),
		"a service":                strings.Replace(good, `"AWS"`, `"Service"`, 1),
		"another service's action": strings.Replace(good, "ecr:BatchGetImage", "s3:GetObject", 1),
		"the token's action":       strings.Replace(good, "BatchGetImage", "GetAuthorizationToken", 1),
	} {
		if _, err := ParseRepository(document); err == nil {
			t.Errorf("%s: not refused", what)
		}
	}
	p, err := ParseRepository(good)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Admits(elsewhere, "ecr:BatchGetImage") || p.Admits(elsewhere, "ecr:PutImage") || p.Admits(elsewhere+"2", "ecr:BatchGetImage") {
		t.Error("the policy lets in somebody else, or somebody do something else")
	}
}

func TestAllows(t *testing.T) {
	p, err := ParsePolicy(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ecr:Get*","ecr:List?mages"],"Resource":"arn:aws:ecr:r:1:repository/acme/*"},
		{"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:r:1:repository/acme/secret"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		action, name string
		want         bool
	}{
		{"ecr:GetX", "acme/a", true},
		{"ECR:getx", "acme/a/b", true},
		{"ecr:ListImages", "acme/", true},
		{"ecr:Listmages", "acme/a", false},
		{"ecr:PutImage", "acme/a", false},
		{"ecr:GetX", "acme", false},
		{"ecr:GetX", "ACME/a", false},
		{"ecr:GetX", "acme/secret", false},
		{"ecr:GetX", "acme/secrets", true},
	} {
		if got := p.Allows(tt.action, "arn:aws:ecr:r:1:repository/"+tt.name); got != tt.want {
			t.Errorf("%s on %s: %v, want %v", tt.action, tt.name, got, tt.want)
		}
	}
}
