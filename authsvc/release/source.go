package release

import (
	"context"
	"errors"
)

// A Source is the registry from which Releases learn. The remote package asks
// a real one.
//
// All errors except those below are outages: a failure must never look like something
// that does not exist.
type Source interface {
	// Place says where a repository is; ErrNotFound if no registry has it. With any other
	// error, all but the host is known.
	Place(repository string) (Place, error)
	// Tags lists a repository's tags, in any order; ErrNotFound if there is no
	// such repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Resolve tells the digest that a tag has now; ErrNotFound if there is no
	// such tag.
	Resolve(ctx context.Context, repository, tag string) (digest string, err error)
	// Manifest fetches a manifest by its tag or its digest, and has checked
	// that the bytes have that digest; ErrNotFound if there is none, ErrTooBig
	// if it is larger than a manifest may be.
	Manifest(ctx context.Context, repository, reference string) (Manifest, error)
	// Referrers lists the digests of the manifests that have one as their
	// subject, all pages; ErrUnsupported if the registry does not know the
	// call.
	Referrers(ctx context.Context, repository, digest string) ([]string, error)
}

// A Place is where a repository is: what is known of one registry's repository does not
// apply to one of the same name in another.
type Place struct {
	// Registry is the registry's name in the configuration.
	Registry string
	Host     string
	// Repository is its name there.
	Repository string
}

// A Manifest is a manifest as the registry serves it.
type Manifest struct {
	Digest string
	Body   []byte
}

// What a Source may have found out instead of what was asked.
var (
	ErrNotFound    = errors.New("not in the registry")
	ErrTooBig      = errors.New("larger than a manifest may be")
	ErrUnsupported = errors.New("not supported by the registry")
	// ErrRefused is an answer, but does not tell what was asked: the role may not know.
	ErrRefused = errors.New("refused by the registry")
)
