package explain

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// The bounds of an answer about licenses: repositories whose tags the registry is
// asked for, and tags that are shown of each.
const (
	maxRepositories = 50
	maxTags         = 500
)

// An Account is what a customer may pull.
type Account struct {
	Result     Result      `json:"result"`
	User       string      `json:"user"`
	Credential *Credential `json:"credential,omitempty"`
	Licenses   *Licenses   `json:"licenses,omitempty"`
	// Repositories are those that the customer may pull from now, with their
	// tags. A license's pattern opens repositories that are not among them,
	// unless catalog.repositories lists them.
	Repositories []Repository `json:"repositories"`
	// MoreRepositories is how many were left out.
	MoreRepositories int `json:"more_repositories,omitempty"`
	// Reason is why the credential was not accepted, or could not be checked.
	Reason   string   `json:"reason,omitempty"`
	Degraded []string `json:"degraded,omitempty"`
}

// A Repository is what a customer may pull of one.
type Repository struct {
	Repository string   `json:"repository"`
	Tags       []string `json:"tags"`
	// MoreTags is how many were left out.
	MoreTags int `json:"more_tags,omitempty"`
	// Missing: the registry does not have it.
	Missing bool   `json:"missing,omitempty"`
	Error   string `json:"error,omitempty"`
}

// List tells what a customer may pull, by the customer's own list of repositories and
// of the tags of each.
func List(ctx context.Context, p Parts, q Question) Account {
	s := newStudy(p, q)
	defer s.releases.Close()
	a := Account{Result: Allowed, User: q.User, Repositories: []Repository{}, Degraded: p.Troubles}
	catalog := s.decider.List(ctx, s.ask("/v2/_catalog"), func(f decision.Finding) {
		if f.Step == decision.Authenticate {
			a.Credential = newCredential(s.peek, f.Outcome)
		}
	})
	if !catalog.Allowed() {
		a.Result, a.Reason = Refused, catalog.Reason()
		switch {
		case errors.Is(catalog.Err, auth.ErrUntold):
			a.Result, a.Reason = Unknown, a.Reason+": run it again with --token-stdin"
		case catalog.Err != nil:
			a.Result = Outage
		}
		return a
	}
	a.Licenses = newLicenses(catalog.Grants, registry.Request{}, "", time.Now())
	repositories := s.rules().Catalog(catalog.Grants)
	if more := len(repositories) - maxRepositories; more > 0 {
		repositories, a.MoreRepositories = repositories[:maxRepositories], more
	}
	for _, name := range repositories {
		found := s.tags(ctx, catalog.Grants, name)
		if found.Error != "" {
			a.Result = Outage
		}
		a.Repositories = append(a.Repositories, found)
	}
	return a
}

// tags are those of a repository that the grants open.
func (s *study) tags(ctx context.Context, grants auth.Grants, name string) Repository {
	tags, verdict, err := s.rules().Tags(ctx, grants, name)
	found := Repository{Repository: name, Tags: slices.Clip(tags), Missing: verdict.Refusal != nil && verdict.Refusal.Status == http.StatusNotFound}
	if err != nil {
		found.Error = err.Error()
	}
	if more := len(tags) - maxTags; more > 0 {
		found.Tags, found.MoreTags = tags[:maxTags], more
	}
	if found.Tags == nil {
		found.Tags = []string{} // JSON would show null
	}
	return found
}
