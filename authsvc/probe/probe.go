// Package probe makes up a pull. It asks through nginx as a customer would, always as
// far as the registry, so that what only nginx sees is noticed before a customer does:
// its resolver, its CA file, its way to the registry and the storage.
//
// Where to read on: steps.go has the steps of the pull. result.go hands the result to
// the running authsvc, for its metrics; account.go lets it recognize these pulls.
package probe

import (
	"context"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// A Config says what is pulled, and from where.
type Config struct {
	// URL is the registry as customers reach it: https://HOST[:PORT]. Empty for no
	// made-up pulls.
	URL string
	// Address is asked in place of the URL's host, such as this machine's nginx
	// behind a balancer: HOST:PORT. Empty for the URL's host.
	Address string
	// CAFile is a PEM file of CAs to trust besides the system's; empty for none.
	CAFile string
	// Image is what is pulled, as docker has it.
	Image string
	// CredentialFile has the account's USER:TOKEN. See settings.SecretPath.
	CredentialFile string
	// Timeout bounds each step.
	Timeout time.Duration
	// ResultFile is where a result is handed over.
	ResultFile string
}

// Enabled says whether there are made-up pulls.
func (c Config) Enabled() bool { return c.URL != "" }

// A Step is a part of the pull.
type Step string

// The steps, in the order in which they run.
const (
	// Connect: nginx takes a connection, and has a certificate for the name.
	Connect Step = "connect"
	// Ping: the account is accepted (Distribution Specification 1.1, "Determining
	// Support").
	Ping Step = "ping"
	// Manifest: the registry answers nginx, and what it sends has its digest.
	Manifest Step = "manifest"
	// Blob: the registry answers with the blob's first bytes, or a redirect.
	Blob Step = "blob"
	// Storage: the redirect's target has the blob.
	Storage Step = "storage"
)

// Steps returns all steps, in the order in which they run.
func Steps() []Step { return []Step{Connect, Ping, Manifest, Blob, Storage} }

// A Finding is what a step has found.
type Finding struct {
	Step  Step
	Found string
	// Err is what was expected and found instead; nil if all is well. It shows
	// what strangers have sent: print it as such.
	Err error
	// Next is what to do; empty if all is well.
	Next string
	Took time.Duration
}

// Pull makes up a pull, and tells what each step has found. It ends with the first
// that fails. Its error says that there was no pull, or that it did not end.
func Pull(ctx context.Context, c Config, account credential.Credential, told func(Finding)) (Result, error) {
	p, err := newPull(c, account)
	if err != nil {
		return Result{}, err
	}
	defer p.nginx.CloseIdleConnections()
	for _, s := range steps {
		f := p.take(ctx, s, c.Timeout)
		switch {
		case ctx.Err() != nil: // nobody waits for it any more
			return Result{}, ctx.Err()
		case f.Found == "" && f.Err == nil:
			continue
		}
		told(f)
		if f.Err != nil {
			return Result{Ended: time.Now(), Failed: s.name}, nil
		}
	}
	return Result{Ended: time.Now()}, nil
}

// take takes a step, within a time.
func (p *pull) take(ctx context.Context, s step, timeout time.Duration) Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	found, err := s.do(p, ctx)
	f := Finding{Step: s.name, Found: found, Err: err, Took: time.Since(start)}
	if err != nil {
		f.Next = p.next(s.name, err)
	}
	return f
}

// ValidImage says whether an image can be pulled: REPOSITORY[:TAG][@DIGEST].
func ValidImage(image string) bool {
	request, refusal := registry.Parse(http.MethodGet, registry.ImagePath(image))
	return refusal == nil && request.Kind == registry.Manifest
}
