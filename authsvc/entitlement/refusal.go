package entitlement

import (
	"errors"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// errUnknown is that the customer never could pull a digest, before it is put
// into words.
var errUnknown = errors.New("no grant reaches the digest")

func unknownRepository(repository string) error {
	return notFound(registry.NameUnknown, "repository "+repository)
}

func unknownTag(repository, tag string) error {
	return notFound(registry.ManifestUnknown, repository+":"+tag)
}

func unknownDigest(request registry.Request) error {
	code := registry.ManifestUnknown
	if request.Kind == registry.Blob {
		code = registry.BlobUnknown
	}
	return notFound(code, request.Repository+"@"+request.Reference.Digest)
}

func notFound(code registry.Code, what string) error {
	return &registry.Error{Status: http.StatusNotFound, Code: code, Message: what + " does not exist or is not part of your license"}
}

func unsupported() error {
	return &registry.Error{Status: http.StatusNotFound, Code: registry.Unsupported, Message: "this list is not to be had here"}
}

func (r *Rules) hasEnded(grant auth.Grant) error {
	message := "license " + grant.License
	if grant.Withdrawn {
		message += " was withdrawn"
	} else {
		message += " expired on " + grant.Expires.UTC().Format(time.DateOnly)
	}
	if r.Renew != "" {
		message += "; " + r.Renew
	}
	return &registry.Error{Status: http.StatusForbidden, Code: registry.Denied, Message: message}
}
