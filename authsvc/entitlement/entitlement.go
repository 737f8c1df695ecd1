// Package entitlement says whether a customer's grants allow a request.
package entitlement

import (
	"fmt"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// Rules are what a vendor can choose of the refusals.
type Rules struct {
	// Renew follows the day on which a licence ended: where to renew it.
	// Empty for none.
	Renew string
}

// Check finds the grant that allows request at the moment now.
//
// A ping needs no grant. A tag needs one whose repository and tag match. A
// digest, a list of tags and a list of referrers need one for the repository.
//
// The error, a *registry.Error, tells the truth and no more: what the customer
// never had does not exist (404), what has ended is denied with the day (403).
func (r Rules) Check(grants []auth.Grant, request registry.Request, now time.Time) (auth.Grant, error) {
	switch request.Kind {
	case registry.Ping:
		return auth.Grant{}, nil
	case registry.Catalog:
		return auth.Grant{}, &registry.Error{Status: http.StatusNotFound, Code: registry.Unsupported,
			Message: "this registry lists no repositories; name the one that you have licensed"}
	}
	var ended *auth.Grant // the one that ended last
	known := false        // the customer has, or had, something in the repository
	for i := range grants {
		grant := &grants[i]
		if !grant.Repository.Match(request.Repository) {
			continue
		}
		valid := grant.ValidAt(now)
		known = known || valid
		switch {
		case request.Reference.Tag != "" && !grant.Tag.Match(request.Reference.Tag):
		case valid:
			return *grant, nil
		case ended == nil || ended.Expires.Before(grant.Expires):
			ended = grant
		}
	}
	switch {
	case ended != nil:
		return *ended, r.hasEnded(*ended)
	case known:
		return auth.Grant{}, &registry.Error{Status: http.StatusNotFound, Code: registry.ManifestUnknown,
			Message: fmt.Sprintf("%s:%s does not exist or is not part of your license", request.Repository, request.Reference.Tag)}
	}
	return auth.Grant{}, &registry.Error{Status: http.StatusNotFound, Code: registry.NameUnknown,
		Message: fmt.Sprintf("repository %s does not exist or is not part of your license", request.Repository)}
}

func (r Rules) hasEnded(grant auth.Grant) error {
	message := fmt.Sprintf("license %s expired on %s", grant.License, grant.Expires.UTC().Format(time.DateOnly))
	if r.Renew != "" {
		message += "; " + r.Renew
	}
	return &registry.Error{Status: http.StatusForbidden, Code: registry.Denied, Message: message}
}
