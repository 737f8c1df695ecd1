package iam

import (
	"net/http"
	"net/url"
	"slices"
)

// profilesOf are the names of the instance profiles that hold a role.
func (s *Server) profilesOf(role string) (names []string) {
	for _, name := range sortedKeys(s.account.InstanceProfiles) {
		if slices.Contains(s.account.InstanceProfiles[name].Roles, role) {
			names = append(names, name)
		}
	}
	return names
}

func (s *Server) listInstanceProfilesForRole(form url.Values) (any, *Error) {
	role, _, err := s.role(form)
	if err != nil {
		return nil, err
	}
	var result profilesResult
	for _, name := range s.profilesOf(role) {
		result.InstanceProfiles.Member = append(result.InstanceProfiles.Member, s.account.toProfileXML(name, s.account.InstanceProfiles[name]))
	}
	return result, nil
}

func (s *Server) createInstanceProfile(form url.Values) (any, *Error) {
	name, path := form.Get("InstanceProfileName"), form.Get("Path")
	if path == "" {
		path = "/"
	}
	if err := checkName(name, path); err != nil {
		return nil, err
	}
	if s.account.InstanceProfiles[name] != nil {
		return nil, exists("Instance Profile", name)
	}
	p := &InstanceProfile{ARN: s.arn("instance-profile", path, name), Path: path, Roles: []string{}}
	s.account.InstanceProfiles[name] = p
	return profileResult{s.account.toProfileXML(name, p)}, nil
}

func (s *Server) deleteInstanceProfile(form url.Values) (any, *Error) {
	name, p, err := s.profile(form)
	if err != nil {
		return nil, err
	}
	if len(p.Roles) > 0 {
		return nil, conflict("must remove roles from instance profile first.")
	}
	delete(s.account.InstanceProfiles, name)
	return nil, nil
}

func (s *Server) addRoleToInstanceProfile(form url.Values) (any, *Error) {
	role, _, err := s.role(form)
	if err != nil {
		return nil, err
	}
	name, p, err := s.profile(form)
	if err != nil {
		return nil, err
	}
	if len(p.Roles) > 0 {
		return nil, &Error{http.StatusConflict, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1 (" + name + ")"}
	}
	p.Roles = append(p.Roles, role)
	return nil, nil
}

func (s *Server) removeRoleFromInstanceProfile(form url.Values) (any, *Error) {
	role, _, err := s.role(form)
	if err != nil {
		return nil, err
	}
	name, p, err := s.profile(form)
	if err != nil {
		return nil, err
	}
	i := slices.Index(p.Roles, role)
	if i < 0 {
		return nil, noSuchEntity("Role %s in instance profile %s cannot be found.", role, name)
	}
	p.Roles = slices.Delete(p.Roles, i, i+1)
	return nil, nil
}
