package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// A person is a customer's developer, with an account at the vendor.
type person struct {
	email, token string
	licenses     []vendorapi.License
}

func newPerson(email string, licenses ...vendorapi.License) person {
	return person{email: email, token: strings.ToLower(rand.Text()), licenses: licenses}
}

// The customers. Each run gives them new tokens.
var (
	ann = newPerson("ann@acme.example", vendorapi.License{
		ID:         "lic_acme",
		Expiration: time.Now().AddDate(1, 0, 0),
		Releases:   []vendorapi.Release{{Repository: "vendor/appliance", Tags: []string{"1.*", "latest"}}},
	})
	bob = newPerson("bob@bygone.example", vendorapi.License{
		ID:         "lic_bygone",
		Expiration: time.Now().AddDate(0, -1, 0),
		Releases:   []vendorapi.Release{{Repository: "vendor/appliance", Tags: []string{"*"}}},
	})
	eve = newPerson("eve@else.example", vendorapi.License{
		ID:       "lic_else",
		Releases: []vendorapi.Release{{Repository: "vendor/tools", Tags: []string{"*"}}},
	})
)

// images are the images in the vendor's registry.
var images = []string{
	"vendor/appliance:1.4", "vendor/appliance:latest", "vendor/appliance:2.0", "vendor/tools:5.1",
}

// fill pushes the images and creates the accounts.
func (d *demo) fill(ctx context.Context) error {
	for _, ref := range images {
		img, err := stack.Image(ref)
		if err != nil {
			return err
		}
		if _, err := d.stack.Push(ctx, ref, img); err != nil {
			return err
		}
	}
	for _, p := range []*person{&ann, &bob, &eve} {
		var err error
		p.token, err = d.stack.Sources[d.source].Add(ctx, p.token, vendorapi.Account{Email: p.email, Licenses: p.licenses})
		if err != nil {
			return fmt.Errorf("adding %s: %w", p.email, err)
		}
	}
	return nil
}

// describe returns the license as one line.
func describe(l vendorapi.License) string {
	r := l.Releases[0]
	text := fmt.Sprintf("%s: %s, tags %s", l.ID, r.Repository, strings.Join(r.Tags, " and "))
	switch {
	case l.Expiration.IsZero():
		return text
	case l.Expiration.Before(time.Now()):
		return text + ", expired on " + l.Expiration.UTC().Format(time.DateOnly)
	}
	return text + ", until " + l.Expiration.UTC().Format(time.DateOnly)
}
