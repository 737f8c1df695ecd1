package iam

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (s *Server) updateAssumeRolePolicy(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	if err := s.checkTrust(form.Get("PolicyDocument")); err != nil {
		return nil, err
	}
	r.Trust = form.Get("PolicyDocument")
	return nil, nil
}

func (s *Server) listAttachedRolePolicies(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	var result attachedResult
	for _, arn := range r.Attached {
		name := arn[strings.LastIndex(arn, "/")+1:]
		result.AttachedPolicies.Member = append(result.AttachedPolicies.Member, attachedXML{name, arn})
	}
	return result, nil
}

func (s *Server) attachRolePolicy(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	arn := form.Get("PolicyArn")
	if err := checkPolicyARN(arn); err != nil {
		return nil, err
	}
	if !slices.Contains(r.Attached, arn) {
		r.Attached = append(r.Attached, arn)
		slices.Sort(r.Attached)
	}
	return nil, nil
}

func (s *Server) detachRolePolicy(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	i := slices.Index(r.Attached, form.Get("PolicyArn"))
	if i < 0 {
		return nil, noSuchEntity("Policy %s was not found.", form.Get("PolicyArn"))
	}
	r.Attached = slices.Delete(r.Attached, i, i+1)
	return nil, nil
}

func (s *Server) listRolePolicies(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	return namesResult{PolicyNames: list[string]{sortedKeys(r.Inline)}}, nil
}

func (s *Server) getRolePolicy(form url.Values) (any, *Error) {
	role, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	document, ok := r.Inline[name]
	if !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", name)
	}
	return policyResult{role, name, escape(document)}, nil
}

func (s *Server) putRolePolicy(form url.Values) (any, *Error) {
	role, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	name, document := form.Get("PolicyName"), form.Get("PolicyDocument")
	if _, err := ParsePolicy(document); err != nil {
		return nil, malformed(err)
	}
	total := size(document)
	for other, document := range r.Inline {
		if other != name {
			total += size(document)
		}
	}
	if total > maxInline {
		return nil, &Error{http.StatusConflict, "LimitExceeded", fmt.Sprintf("Maximum policy size of %d bytes exceeded for role %s", maxInline, role)}
	}
	r.Inline[name] = document
	return nil, nil
}

func (s *Server) deleteRolePolicy(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	if _, ok := r.Inline[name]; !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", name)
	}
	delete(r.Inline, name)
	return nil, nil
}
