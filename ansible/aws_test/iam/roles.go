package iam

import (
	"fmt"
	"maps"
	"net/url"
)

func (s *Server) getRole(form url.Values) (any, *Error) {
	name, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	return roleResult{toRoleXML(name, r)}, nil
}

func (s *Server) createRole(form url.Values) (any, *Error) {
	name, path := form.Get("RoleName"), form.Get("Path")
	if path == "" {
		path = "/"
	}
	if err := checkName(name, path); err != nil {
		return nil, err
	}
	if err := s.checkTrust(form.Get("AssumeRolePolicyDocument")); err != nil {
		return nil, err
	}
	if form.Has("PermissionsBoundary") {
		if err := checkPolicyARN(form.Get("PermissionsBoundary")); err != nil {
			return nil, err
		}
	}
	tags, err := tags(form)
	if err != nil {
		return nil, err
	}
	if s.account.Roles[name] != nil {
		return nil, exists("Role", name)
	}
	r := &Role{
		ARN: s.arn("role", path, name), Path: path, Description: form.Get("Description"),
		Trust: form.Get("AssumeRolePolicyDocument"), MaxSessionDuration: defaultSession,
		Boundary: form.Get("PermissionsBoundary"), Inline: map[string]string{}, Attached: []string{}, Tags: tags,
	}
	s.account.Roles[name] = r
	return roleResult{toRoleXML(name, r)}, nil
}

func (s *Server) updateRole(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	r.Description = form.Get("Description")
	return struct{}{}, nil
}

func (s *Server) deleteRole(form url.Values) (any, *Error) {
	name, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	switch {
	case len(s.profilesOf(name)) > 0:
		return nil, conflict("must remove roles from instance profile first.")
	case len(r.Attached) > 0:
		return nil, conflict("must detach all policies first.")
	case len(r.Inline) > 0:
		return nil, conflict("must delete policies first.")
	}
	delete(s.account.Roles, name)
	return nil, nil
}

func (s *Server) listRoleTags(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	return tagsResult{Tags: toTagsXML(r.Tags)}, nil
}

func (s *Server) tagRole(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	tags, err := tags(form)
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, invalid("Value null at 'tags' failed to satisfy constraint: Member must not be null")
	}
	maps.Copy(r.Tags, tags)
	return nil, nil
}

func (s *Server) untagRole(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	for i := 1; form.Has(fmt.Sprintf("TagKeys.member.%d", i)); i++ {
		delete(r.Tags, form.Get(fmt.Sprintf("TagKeys.member.%d", i)))
	}
	return nil, nil
}

func (s *Server) putRolePermissionsBoundary(form url.Values) (any, *Error) {
	_, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	if err := checkPolicyARN(form.Get("PermissionsBoundary")); err != nil {
		return nil, err
	}
	r.Boundary = form.Get("PermissionsBoundary")
	return nil, nil
}

func (s *Server) deleteRolePermissionsBoundary(form url.Values) (any, *Error) {
	name, r, err := s.role(form)
	if err != nil {
		return nil, err
	}
	if r.Boundary == "" {
		return nil, noSuchEntity("Role %s does not have a permissions boundary.", name)
	}
	r.Boundary = ""
	return nil, nil
}
