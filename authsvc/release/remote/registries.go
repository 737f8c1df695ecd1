package remote

import (
	"context"
	"slices"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// Registries ask the registry that has a repository, under its name there. They are a
// release.Source. A stand-by is never asked: what it has may have been withdrawn.
type Registries struct {
	routes  *upstream.Routes
	clients map[*upstream.Upstream]*Client
}

// NewRegistries makes Registries of a client for each registry that a route leads to.
func NewRegistries(routes *upstream.Routes, clients map[*upstream.Upstream]*Client) *Registries {
	return &Registries{routes, clients}
}

// Troubles say which registries are not asked because they failed too often.
func (r *Registries) Troubles() (troubles []string) {
	for u, c := range r.clients {
		if text := c.Trouble(); text != "" {
			troubles = append(troubles, u.Name()+": "+text)
		}
	}
	slices.Sort(troubles)
	return troubles
}

// find returns who is asked about a repository, and its name there.
func (r *Registries) find(repository string) (c *Client, inner string, err error) {
	route, ok := r.routes.Find(repository)
	if !ok {
		return nil, "", release.ErrNotFound
	}
	return r.clients[route.First], route.Repository(repository), nil
}

// Place implements release.Source.
func (r *Registries) Place(repository string) (release.Place, error) {
	route, ok := r.routes.Find(repository)
	if !ok {
		return release.Place{}, release.ErrNotFound
	}
	at, err := r.clients[route.First].Place(route.Repository(repository))
	at.Registry = route.First.Name()
	return at, err
}

// Tags implements release.Source.
func (r *Registries) Tags(ctx context.Context, repository string) ([]string, error) {
	c, inner, err := r.find(repository)
	if err != nil {
		return nil, err
	}
	return c.Tags(ctx, inner)
}

// Resolve implements release.Source.
func (r *Registries) Resolve(ctx context.Context, repository, tag string) (digest string, err error) {
	c, inner, err := r.find(repository)
	if err != nil {
		return "", err
	}
	return c.Resolve(ctx, inner, tag)
}

// Manifest implements release.Source.
func (r *Registries) Manifest(ctx context.Context, repository, reference string) (release.Manifest, error) {
	c, inner, err := r.find(repository)
	if err != nil {
		return release.Manifest{}, err
	}
	return c.Manifest(ctx, inner, reference)
}

// Referrers implements release.Source.
func (r *Registries) Referrers(ctx context.Context, repository, digest string) ([]string, error) {
	c, inner, err := r.find(repository)
	if err != nil {
		return nil, err
	}
	return c.Referrers(ctx, inner, digest)
}
