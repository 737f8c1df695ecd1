package server

import (
	"context"
	"net/http"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// errNoPath refuses what nginx has led to the wrong place.
var errNoPath = &registry.Error{Status: http.StatusNotFound, Code: registry.Unsupported, Message: "no such path in the registry API"}

// A list is what the client gets of one: a page, and where the next is.
type list struct {
	body any
	link string
}

// The bodies of lists (Distribution Specification 1.1, "Listing Tags";
// _catalog is the CNCF distribution registry's).
type (
	tagList struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	repositoryList struct {
		Repositories []string `json:"repositories"`
	}
)

// enumerate lists what the customer may see: parse, authenticate, entitle,
// and cut the page that was asked for.
func (s *Server) enumerate(ctx context.Context, q question, a *answer) error {
	grants, err := s.authenticate(ctx, q, a)
	if err != nil {
		return err
	}
	switch a.request.Kind {
	case registry.Tags:
		return s.listTags(ctx, grants, a)
	case registry.Catalog:
		return s.listRepositories(grants, a)
	}
	return errNoPath
}

func (s *Server) listTags(ctx context.Context, grants []auth.Grant, a *answer) error {
	repository := a.request.Repository
	all, grant, err := s.rules.Tags(ctx, grants, repository)
	a.license = grant.License
	if err != nil {
		return err
	}
	page, link, err := cut(a.request, all, "/v2/"+repository+"/tags/list")
	a.list = list{tagList{repository, page}, link}
	return err
}

func (s *Server) listRepositories(grants []auth.Grant, a *answer) error {
	page, link, err := cut(a.request, s.rules.Catalog(grants), "/v2/_catalog")
	a.list = list{repositoryList{page}, link}
	return err
}

// cut returns the page that was asked for, never nil, and a relative link to
// the next (RFC 8288): behind a load balancer nobody knows the absolute one.
func cut(request registry.Request, all []string, path string) (page []string, link string, err error) {
	asked, err := request.Page()
	if err != nil {
		return nil, "", err
	}
	page, more := asked.Cut(all)
	if more {
		link = "<" + asked.Next(path, page[len(page)-1]) + `>; rel="next"`
	}
	if page == nil {
		page = []string{}
	}
	return page, link, nil
}
