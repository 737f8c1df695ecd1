package decision

import (
	"context"
	"slices"

	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// list lists what the customer may see, and cuts the requested page. Next is
// relative (RFC 8288), because the absolute URL is unknown behind a load balancer.
func (d *Decider) list(ctx context.Context, _ Question, o *Outcome) (*registry.Refusal, error) {
	all, verdict, err := d.whole(ctx, o)
	o.License, o.Stale = verdict.Grant.License, verdict.Stale
	if verdict.Refusal != nil || err != nil {
		return verdict.Refusal, err
	}
	asked, refusal := o.Request.Page()
	if refusal != nil {
		return refusal, nil
	}
	page, more := asked.Cut(all)
	if more {
		whole := registry.Request{Kind: o.Request.Kind, Repository: o.Request.Repository}
		o.Next = asked.Next(whole.Path(), page[len(page)-1])
	}
	if o.Page = page; page == nil {
		o.Page = []string{} // JSON would show null
	}
	return nil, nil
}

// whole returns the whole requested list.
func (d *Decider) whole(ctx context.Context, o *Outcome) (all []string, verdict entitlement.Verdict, err error) {
	switch o.Request.Kind {
	case registry.Tags:
		return d.Rules.Tags(ctx, o.Grants, o.Request.Repository)
	case registry.Catalog:
		return slices.DeleteFunc(d.Rules.Catalog(o.Grants), d.isNowhere), entitlement.Verdict{}, nil
	}
	// nginx sent another kind of request here.
	return nil, entitlement.Verdict{Refusal: registry.RefusePath()}, nil
}

// isNowhere says whether no registry has a repository, whatever a license says. A name
// that only a registry knows is one of these.
func (d *Decider) isNowhere(repository string) bool {
	_, ok := d.Routes.Find(repository)
	return !ok
}
