// Package e2e tests the whole system on loopback: real clients, the real nginx with
// the includes as shipped, authsvc, tokenrefresher, and a real registry behind a
// stand-in for ECR. Package nginx/stack starts all of that. pull_test.go is the
// simplest test; rights_test.go and hostile_test.go have the attacks.
package e2e_test

import (
	"testing"

	"github.com/pullgate/pullgate/nginx/stack"
	"github.com/pullgate/pullgate/nginx/stack/stacktest"
	"github.com/pullgate/pullgate/nginx/stack/vendorapi"
)

// The customer of most tests. Her license covers every tag of acme/*.
const (
	email  = "ann@acme.example"
	secret = "anns-token"
)

// start starts a stack with one customer. If the test fails, it shows the logs of
// its programs.
func start(t *testing.T, opts stack.Options) *stack.Stack {
	t.Helper()
	s := stacktest.Start(t, opts)
	s.Vendor.SetAccount(secret, vendorapi.Account{Email: email, Licenses: []vendorapi.License{
		license("lic_1", "acme/*", "*"),
	}})
	return s
}

// license returns a license for some tags of one repository that never expires.
func license(id, repository string, tags ...string) vendorapi.License {
	return vendorapi.License{ID: id, Releases: []vendorapi.Release{{Repository: repository, Tags: tags}}}
}

// push pushes an image generated from its reference, and returns its digest.
func push(t *testing.T, s *stack.Stack, reference string) string {
	t.Helper()
	img, err := stack.Image(reference)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Push(t.Context(), reference, img)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
