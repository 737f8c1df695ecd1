package decision

import (
	"context"

	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// locate finds the object that the content store may serve for a request. A tag is what
// the registry has for it. Where that is not known, there is no object: the request is
// forwarded, and the registry, or its stand-by, answers it.
func (d *Decider) locate(ctx context.Context, _ Question, o *Outcome) (*registry.Refusal, error) {
	if o.Request.Kind != registry.Manifest && o.Request.Kind != registry.Blob {
		return nil, nil
	}
	digest, known := o.Request.Reference.Digest, true
	if digest == "" {
		pinned, err := d.pin(ctx, o)
		digest, known = pinned.Digest, err == nil
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !known:
		return nil, nil
	case digest == "":
		return entitlement.NoManifest(o.Request), nil
	}
	o.Object = registry.Request{Kind: o.Request.Kind, Repository: o.Request.Repository, Reference: registry.Reference{Digest: digest}}
	return nil, nil
}

// pin finds the requested manifest, and notes if that is what a registry that fails said
// last.
func (d *Decider) pin(ctx context.Context, o *Outcome) (registry.Pinned, error) {
	pinned, err := d.Manifests.Pin(ctx, o.Request)
	o.Stale = o.Stale || pinned.Stale
	return pinned, err
}

// routeObject finds the registry of the object, and its path there, which has the
// client's query.
func (d *Decider) routeObject(ctx context.Context, q Question, o *Outcome) (*registry.Refusal, error) {
	if o.Object.Kind == registry.Invalid {
		return nil, nil
	}
	asked := o.Request
	o.Request = o.Object
	refusal, err := d.route(ctx, q, o)
	o.Request = asked
	if refusal != nil || err != nil {
		return refusal, err
	}
	route, _ := d.Routes.Find(asked.Repository)
	o.Path = forwarded(route, asked, o.Object.Reference.Digest)
	return nil, nil
}
