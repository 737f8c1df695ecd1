package decision

import (
	"context"
	"errors"

	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// route finds the registry that has the repository, and the path to forward if that is
// not the client's: where the registry has another name for the repository, and where
// its stand-by serves.
func (d *Decider) route(ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
	if o.Request.Kind == registry.Ping {
		return nil, nil
	}
	route, ok := d.Routes.Find(o.Request.Repository)
	if !ok {
		return entitlement.NoRepository(o.Request.Repository), nil
	}
	if q.Failed != "" && route.Of(q.TokenID) == route.Standby {
		return nil, errBothFail
	}
	switch d.standsIn(route, q) {
	case must:
		return nil, d.toStandby(route, o)
	case should:
		if d.toStandby(route, o) == nil {
			return nil, nil
		}
	}
	return d.toFirst(ctx, route, o)
}

var (
	errBothFail  = errors.New("the registry fails, and so does its stand-by")
	errNoStandby = errors.New("the registry fails, and no other one stands by for it")
)

// OldSchema is the message about a manifest that carries the registry's own name of the
// repository.
const OldSchema = "this image has a manifest of Docker's old schema 1, which cannot be served here; ask the vendor to push it again with a current client"

// A need says whether a request goes to the stand-by.
type need int

const (
	none   need = iota
	should      // if it can serve it
	must
)

func (d *Decider) standsIn(route upstream.Route, q Question) need {
	admits := route.First.Admits
	if d.Peek {
		admits = route.First.Serves
	}
	switch {
	case q.Failed != "", q.Retry && route.Of(q.TokenID) != route.First:
		return must
	case route.Standby == nil || q.Retry:
		return none
	}
	if _, err := route.First.Current(); err != nil || !admits() {
		return should
	}
	return none
}

// toFirst routes to the registry itself. Where that has another name for the repository,
// a tag is forwarded by its digest: a registry makes a manifest of Docker's schema 1,
// which carries the name, for whom asks for a tag and accepts nothing newer.
func (d *Decider) toFirst(ctx context.Context, route upstream.Route, o *Outcome) (*registry.Refusal, error) {
	o.Upstream, o.Standby, o.Spare, o.Path = route.First, false, route.Standby != nil, ""
	if !route.Renamed() {
		return nil, nil
	}
	digest := o.Request.Reference.Digest
	if o.Request.Kind == registry.Manifest {
		pinned, err := d.pin(ctx, o)
		digest = pinned.Digest
		switch {
		case err != nil:
			return nil, err
		case digest == "":
			return entitlement.NoManifest(o.Request), nil
		case pinned.Schema1:
			return registry.Refuse(registry.ManifestUnknown, OldSchema), nil
		}
	}
	o.Path = forwarded(route, o.Request, digest)
	return nil, nil
}

// toStandby routes to the registry's stand-by, which serves nothing that the registry had
// not shown: replication never deletes. So a tag is forwarded by the digest that it had,
// and a list of referrers is not forwarded at all.
func (d *Decider) toStandby(route upstream.Route, o *Outcome) error {
	if route.Standby == nil {
		return errNoStandby
	}
	o.Upstream, o.Standby, o.Spare, o.Path = route.Standby, true, false, ""
	if o.Request.Kind == registry.Referrers {
		return ErrNotShown
	}
	digest, schema1, ok := d.Manifests.Shown(o.Request)
	if !ok || schema1 && route.Renamed() {
		return ErrNotShown
	}
	if route.Renamed() || o.Request.Reference.Tag != "" {
		o.Path = forwarded(route, o.Request, digest)
	}
	return nil
}

// StandsIn says whether a stand-by would serve an allowed request if its registry failed.
func (d *Decider) StandsIn(o Outcome) bool {
	route, ok := d.Routes.Find(o.Request.Repository)
	return ok && o.Spare && d.toStandby(route, &o) == nil
}

// forwarded is the path of a request by the registry's name and by digest.
func forwarded(route upstream.Route, request registry.Request, digest string) string {
	request.Repository = route.Repository(request.Repository)
	request.Reference = registry.Reference{Digest: digest}
	return request.Path()
}
