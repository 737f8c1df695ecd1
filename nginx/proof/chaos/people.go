package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// What is in the registry, and what the license of most customers covers.
const (
	licensedRepository = "acme/appliance"
	otherRepository    = "acme/secret"
	licensedTags       = "1.*"
	unlicensedTag      = "2.0"
	releases           = 5 // 1.0 to 1.4
)

// A credential is what a customer presents.
type credential struct{ user, secret string }

// A request is what a customer asks for.
type request struct {
	repository, reference string // reference is empty for a list
	digest                string // of the image
}

// images has the digests of what was pushed, by "repository:tag".
type images map[string]string

// kind is what a customer is.
type kind struct {
	name string
	want outcome // of everything that these customers ask
	// status is the refusal to expect, such as "404".
	status string
	// fresh customers have a new account for each pull.
	fresh bool
	// account returns the account behind a token, or nil for none.
	account func(c credential) *vendorapi.Account
	// repositories and tags are what they ask for.
	targets []target
}

// A target is a repository with the tags that somebody asks for.
type target struct {
	repository string
	tags       []string
}

// everyKind are the customers, with how many of them use which client.
var everyKind = []struct {
	kind
	clients []string
}{
	{kind{name: "known", want: served, account: licensed, targets: released()},
		[]string{"crane", "crane", "crane", "crane", "skopeo", "skopeo", "regctl", "docker"}},
	{kind{name: "new", want: served, fresh: true, account: licensed, targets: released()},
		[]string{"crane", "crane", "crane", "skopeo"}},
	{kind{name: "ended", want: refused, status: "403", account: expired, targets: released()},
		[]string{"crane", "crane", "skopeo"}},
	{kind{name: "unlicensed", want: refused, status: "404", account: licensed, targets: []target{{licensedRepository, []string{unlicensedTag}}, {otherRepository, []string{"1.0"}}}},
		[]string{"crane", "crane", "regctl"}},
	{kind{name: "wrong", want: refused, status: "401", account: func(credential) *vendorapi.Account { return nil }, targets: released()},
		[]string{"crane", "skopeo"}},
}

func kinds() []string {
	var names []string
	for _, k := range everyKind {
		names = append(names, k.name)
	}
	return names
}

func released() []target {
	return []target{{licensedRepository, releaseTags()}}
}

func releaseTags() []string {
	var tags []string
	for i := range releases {
		tags = append(tags, fmt.Sprintf("1.%d", i))
	}
	return tags
}

func licensed(c credential) *vendorapi.Account { return account(c, time.Time{}) }

func expired(c credential) *vendorapi.Account {
	return account(c, time.Now().Add(-30*24*time.Hour)) // more than any shift of the clock
}

// unlimited is what nobody has.
func unlimited(c credential) *vendorapi.Account {
	return &vendorapi.Account{Email: c.user, Licenses: []vendorapi.License{{
		ID: "lic_1", Releases: []vendorapi.Release{{Repository: "acme/*", Tags: []string{"*"}}},
	}}}
}

func account(c credential, end time.Time) *vendorapi.Account {
	return &vendorapi.Account{Email: c.user, Licenses: []vendorapi.License{{
		ID: "lic_1", Expiration: end,
		Releases: []vendorapi.Release{{Repository: licensedRepository, Tags: []string{licensedTags}}},
	}}}
}

// pushImages fills both regions.
func pushImages(ctx context.Context, s *stack.Stack) (images, error) {
	all := images{}
	for _, t := range append(released(), target{licensedRepository, []string{unlicensedTag}}, target{otherRepository, []string{"1.0"}}) {
		for _, tag := range t.tags {
			reference := t.repository + ":" + tag
			image, err := stack.Image(reference)
			if err != nil {
				return nil, err
			}
			// OCI's types, so that no client converts it and changes its digest.
			image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
			if all[reference], err = s.Upstreams[first].Push(ctx, reference, image); err != nil {
				return nil, err
			}
		}
	}
	for _, repository := range []string{licensedRepository, otherRepository} {
		if err := s.Upstreams[first].Replicate(ctx, s.Upstreams[second], repository); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// requests returns everything that customers of this kind ask for, in turn.
func (k kind) requests(all images) []request {
	var asked []request
	for _, t := range k.targets {
		for _, tag := range t.tags {
			digest := all[t.repository+":"+tag]
			asked = append(asked, request{t.repository, tag, digest}, request{t.repository, digest, digest})
		}
		// A list of what is licensed in part is served, and says less.
		if k.want == served || t.repository != licensedRepository || k.status != "404" {
			asked = append(asked, request{repository: t.repository})
		}
	}
	return asked
}

func (r request) asks() string {
	switch r.reference {
	case "":
		return aList
	case r.digest:
		return byDigest
	}
	return byTag
}

// name is the reference under a host.
func (r request) name(host string) string {
	switch r.asks() {
	case aList:
		return host + "/" + r.repository
	case byDigest:
		return host + "/" + r.repository + "@" + r.reference
	}
	return host + "/" + r.repository + ":" + r.reference
}

// mark is in every secret of the run, so that a search finds them all.
var mark = "chaos" + rand.Text()

// newCredential returns a credential of a kind, with an account if it has one.
func newCredential(s *stack.Stack, k kind, who string) credential {
	c := credential{user: who + "@acme.example", secret: mark + rand.Text()}
	if a := k.account(c); a != nil {
		s.Vendor.SetAccount(c.secret, *a)
	}
	return c
}

// sameTags reports whether a client listed exactly the licensed tags.
func sameTags(listed []string) bool {
	slices.Sort(listed)
	return slices.Equal(listed, releaseTags())
}
