package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Policy is a policy document. Other elements (Condition, NotAction …) are
// refused, so that Allows never sees what it does not understand.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
type Policy struct {
	Version   string
	Statement Statements
}

// A Statement is one of a Policy's.
type Statement struct {
	Sid       string
	Effect    string
	Principal map[string]Strings
	Action    Strings
	Resource  Strings
}

// Strings are one string, or a list of them.
type Strings []string

// Statements are one statement, or a list of them.
type Statements []Statement

// Malformed is IAM's error for a document that it rejects.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// UnmarshalJSON accepts a single value as a list of one.
func (s *Strings) UnmarshalJSON(b []byte) error { return unmarshalList(b, (*[]string)(s)) }

// UnmarshalJSON accepts a single value as a list of one.
func (s *Statements) UnmarshalJSON(b []byte) error { return unmarshalList(b, (*[]Statement)(s)) }

func unmarshalList[T any](b []byte, list *[]T) error {
	if !bytes.HasPrefix(b, []byte("[")) {
		b = slices.Concat([]byte("["), b, []byte("]"))
	}
	return decode(b, list)
}

func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the document")
	}
	return nil
}

var (
	actionRegexp   = regexp.MustCompile(`^[a-z0-9-]+:[A-Za-z0-9*?]+$`)
	resourceRegexp = regexp.MustCompile(`^(\*|arn:[^:]+:[^:]+:[^:]*:[^:]*:.+)$`)
	// principals are the services that may be trusted, as far as known here.
	principals = []string{"ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "lambda.amazonaws.com"}
)

// ParsePolicy reads the policy of an identity.
func ParsePolicy(document string) (*Policy, error) {
	p, err := parse(document)
	if err != nil {
		return nil, err
	}
	for _, st := range p.Statement {
		if st.Principal != nil {
			return nil, Malformed("Policy document should not specify a principal.")
		}
		if len(st.Resource) == 0 {
			return nil, Malformed("Policy statement must contain resources.")
		}
		for _, r := range st.Resource {
			if !resourceRegexp.MatchString(r) {
				return nil, Malformed(fmt.Sprintf("Resource %s must be in ARN format or \"*\".", r))
			}
		}
	}
	return p, nil
}

// ParseTrust reads the policy that says who may assume a role: services, and those of
// the given roles that it names. IAM refuses a role that does not exist.
func ParseTrust(document string, roles []string) (*Policy, error) {
	p, err := parse(document)
	if err != nil {
		return nil, err
	}
	for _, st := range p.Statement {
		if st.Resource != nil {
			return nil, Malformed("Has prohibited field Resource")
		}
		if len(st.Principal) == 0 {
			return nil, Malformed("Missing required field Principal")
		}
		for kind, names := range st.Principal {
			for _, name := range names {
				if known := map[string][]string{"Service": principals, "AWS": roles}[kind]; !slices.Contains(known, name) {
					return nil, Malformed(fmt.Sprintf("Invalid principal in policy: %q:%q", strings.ToUpper(kind), name))
				}
			}
		}
	}
	return p, nil
}

func parse(document string) (*Policy, error) {
	p := new(Policy)
	if err := decode([]byte(document), p); err != nil {
		return nil, Malformed("Syntax errors in policy: " + err.Error())
	}
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		return nil, Malformed("Syntax errors in policy.")
	}
	for _, st := range p.Statement {
		if st.Effect != "Allow" && st.Effect != "Deny" || len(st.Action) == 0 {
			return nil, Malformed("Syntax errors in policy.")
		}
		for _, a := range st.Action {
			if a != "*" && !actionRegexp.MatchString(a) {
				return nil, Malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
			}
		}
	}
	return p, nil
}

// ParseRepository reads the policy of a repository in ECR, which is itself the resource.
// Its principals are roles.
func ParseRepository(document string) (*Policy, error) {
	p, err := parse(document)
	if err != nil {
		return nil, err
	}
	for _, st := range p.Statement {
		if st.Resource != nil || len(st.Principal) != 1 || len(st.Principal["AWS"]) == 0 {
			return nil, Malformed("Invalid repository policy provided")
		}
		for _, action := range st.Action {
			// GetAuthorizationToken is about no repository.
			if !strings.HasPrefix(action, "ecr:") || action == "ecr:GetAuthorizationToken" {
				return nil, Malformed("Invalid repository policy provided: " + action)
			}
		}
	}
	return p, nil
}

// Admits reports whether a repository's policy lets a role take an action.
func (p *Policy) Admits(role, action string) bool {
	return slices.ContainsFunc(p.Statement, func(st Statement) bool {
		return st.Effect == "Allow" && slices.Contains(st.Principal["AWS"], role) && slices.Contains(st.Action, action)
	})
}

// Allows reports whether an identity's policy allows action on resource, an ARN.
func (p *Policy) Allows(action, resource string) bool {
	allowed := false
	for _, st := range p.Statement {
		applies := slices.ContainsFunc(st.Action, func(pattern string) bool { return glob(strings.ToLower(pattern), strings.ToLower(action)) }) &&
			slices.ContainsFunc(st.Resource, func(pattern string) bool { return glob(pattern, resource) })
		if applies && st.Effect == "Deny" {
			return false
		}
		allowed = allowed || applies
	}
	return allowed
}

// glob matches IAM's wildcards: * for any characters, / and : among them, and
// ? for one.
func glob(pattern, s string) bool {
	for i := range len(pattern) {
		switch {
		case pattern[i] == '*':
			for j := i; ; j++ {
				if glob(pattern[i+1:], s[min(j, len(s)):]) {
					return true
				}
				if j >= len(s) {
					return false
				}
			}
		case i >= len(s) || pattern[i] != '?' && pattern[i] != s[i]:
			return false
		}
	}
	return len(pattern) == len(s)
}
