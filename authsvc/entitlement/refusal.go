package entitlement

import (
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
)

func refuse(refusal *registry.Refusal) Verdict { return Verdict{Refusal: refusal} }

// NoRepository refuses a repository that no registry has, in the words for one that the
// customer never licensed.
func NoRepository(name string) *registry.Refusal { return unknownRepository(name) }

// NoManifest refuses a tag or digest that the registry does not have.
func NoManifest(request registry.Request) *registry.Refusal {
	if request.Reference.Tag != "" {
		return unknownTag(request.Repository, request.Reference.Tag)
	}
	return unknownDigest(request)
}

func unknownRepository(repository string) *registry.Refusal {
	return notFound(registry.NameUnknown, "repository "+repository)
}

func unknownTag(repository, tag string) *registry.Refusal {
	return notFound(registry.ManifestUnknown, repository+":"+tag)
}

func unknownDigest(request registry.Request) *registry.Refusal {
	code := registry.ManifestUnknown
	if request.Kind == registry.Blob {
		code = registry.BlobUnknown
	}
	return notFound(code, request.Repository+"@"+request.Reference.Digest)
}

func notFound(code registry.Code, what string) *registry.Refusal {
	return registry.Refuse(code, what+" does not exist or is not part of your license")
}

func unsupported() *registry.Refusal {
	return registry.Refuse(registry.Unsupported, "listing is not supported here")
}

// hasEnded refuses what an ended grant used to allow, by a tag if that is known.
func (r *Rules) hasEnded(grant auth.Grant, tag string) Verdict {
	message := "license " + grant.License
	if grant.Withdrawn {
		message += " was withdrawn"
	} else {
		message += " expired on " + grant.Expires.UTC().Format(time.DateOnly)
	}
	if r.Renew != "" {
		message += "; " + r.Renew
	}
	return Verdict{Grant: grant, Tag: tag, Refusal: registry.Refuse(registry.Denied, message)}
}
