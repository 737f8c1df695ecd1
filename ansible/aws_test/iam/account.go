package iam

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Bounds of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxInline      = 10240 // characters of all inline policies of a role, without white space
	maxTrust       = 2048
	defaultSession = 3600 // seconds
)

// An Account is what IAM holds, by name.
type Account struct {
	Roles            map[string]*Role
	InstanceProfiles map[string]*InstanceProfile
}

// A Role has its documents as they were sent.
type Role struct {
	ARN, Path, Description string
	Trust                  string
	MaxSessionDuration     int
	Boundary               string
	Inline                 map[string]string
	Attached               []string
	Tags                   map[string]string
}

// An InstanceProfile holds one role at most.
type InstanceProfile struct {
	ARN, Path string
	Roles     []string
}

func (s *Server) arn(kind, path, name string) string {
	return fmt.Sprintf("arn:%s:iam::%s:%s%s%s", s.opts.Partition, s.opts.AccountID, kind, path, name)
}

// role finds the role that form names.
func (s *Server) role(form url.Values) (string, *Role, *Error) {
	name := form.Get("RoleName")
	r, ok := s.account.Roles[name]
	if !ok {
		return name, nil, noSuchEntity("The role with name %s cannot be found.", name)
	}
	return name, r, nil
}

// profile finds the instance profile that form names.
func (s *Server) profile(form url.Values) (string, *InstanceProfile, *Error) {
	name := form.Get("InstanceProfileName")
	p, ok := s.account.InstanceProfiles[name]
	if !ok {
		return name, nil, noSuchEntity("Instance Profile %s cannot be found.", name)
	}
	return name, p, nil
}

var (
	nameRegexp   = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	pathRegexp   = regexp.MustCompile(`^/([!-~]+/)?$`)
	policyRegexp = regexp.MustCompile(`^arn:[a-z-]+:iam::(aws|[0-9]{12}):policy/.*[\w+=,.@-]+$`)
)

func checkName(name, path string) *Error {
	if !nameRegexp.MatchString(name) || !pathRegexp.MatchString(path) {
		return invalid("The specified value for name %q or path %q is invalid.", name, path)
	}
	return nil
}

func checkPolicyARN(arn string) *Error {
	if !policyRegexp.MatchString(arn) {
		return invalid("ARN %s is not valid.", arn)
	}
	return nil
}

func (s *Server) checkTrust(document string) *Error {
	if size(document) > maxTrust {
		return &Error{http.StatusConflict, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048"}
	}
	if _, err := ParseTrust(document, s.opts.Roles); err != nil {
		return malformed(err)
	}
	return nil
}

// tags reads Tags.member.N.
func tags(form url.Values) (map[string]string, *Error) {
	tags := map[string]string{}
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("Tags.member.%d.", i)
		key := form.Get(prefix + "Key")
		if key == "" {
			return tags, nil
		}
		if _, twice := tags[key]; twice || !form.Has(prefix+"Value") || strings.HasPrefix(key, "aws:") {
			return nil, &Error{http.StatusBadRequest, "InvalidInput", "Duplicate, reserved or incomplete tag " + key}
		}
		tags[key] = form.Get(prefix + "Value")
	}
}

// size counts as IAM does, without white space.
func size(document string) (n int) {
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

func noSuchEntity(format string, args ...any) *Error {
	return &Error{http.StatusNotFound, "NoSuchEntity", fmt.Sprintf(format, args...)}
}

func exists(what, name string) *Error {
	return &Error{http.StatusConflict, "EntityAlreadyExists", fmt.Sprintf("%s with name %s already exists.", what, name)}
}

func conflict(message string) *Error {
	return &Error{http.StatusConflict, "DeleteConflict", "Cannot delete entity, " + message}
}

func malformed(err error) *Error {
	return &Error{http.StatusBadRequest, "MalformedPolicyDocument", err.Error()}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
