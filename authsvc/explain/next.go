package explain

import (
	"slices"

	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// next says what to do.
func next(e *Explanation, o decision.Outcome) string {
	switch e.Result {
	case Allowed:
		return allowed(e)
	case Outage:
		return outages[last(e)]
	}
	if o.Allowed() {
		return notThere
	}
	if decision.Step(e.Steps[len(e.Steps)-1].Step) == decision.Route {
		return unrouted(e, o)
	}
	if account := e.Credential.otherAccount(); account != "" {
		return "the token belongs to " + account + ": the customer must log in with that e-mail"
	}
	if o.Refusal.Code == registry.Denied && e.Licenses.withdrawn(o.License) {
		return "the vendor ended the license, and renewing it does not help: ask the vendor's sales, or tell the customer"
	}
	if e.Registry != nil && e.Registry.Error == "" {
		return unlicensed[o.Refusal.Code][e.Registry.Missing]
	}
	return refusals[o.Refusal.Code]
}

const notThere = "the license covers it, but the registry does not have it: push the tag, or correct the name"

// unrouted says what to do where a license covers what no registry can serve.
func unrouted(e *Explanation, o decision.Outcome) string {
	switch {
	case e.Route == nil:
		return "a license covers it, but no registry has it: add a prefix of the repository to upstreams in authsvc.yaml"
	case o.Refusal.Message == decision.OldSchema:
		return "push it again with a current client: its manifest has the registry's name of the repository"
	}
	return notThere
}

func allowed(e *Explanation) string {
	text := "nothing"
	if e.Registry != nil && e.Registry.Error != "" {
		text += "; the registry did not answer authsvc, but its stand-by has what it had"
	}
	if !e.Credential.TokenGiven {
		text += ", if the customer's token is right (run it again with --token-stdin to check it)"
	}
	if e.Token != nil && e.Token.Used {
		text += "; if the pull still fails, look for the request in nginx's log, and try it from the customer's network: " +
			"layers come from the registry's storage, which a firewall may block"
	}
	return text
}

// last is the step that ended the decision; empty if that was the registry.
func last(e *Explanation) decision.Step {
	if e.Registry != nil {
		return ""
	}
	return decision.Step(e.Steps[len(e.Steps)-1].Step)
}

// outages are what to do about one, by the step that found it.
var outages = map[decision.Step]string{
	decision.Authenticate: "the source of customers did not answer: check it, and this machine's way to it; known customers are served for cache.stale_ttl longer",
	decision.Entitle:      "the registry could not be asked which tag leads to the digest: check upstream.address, the network, and the role's policy",
	decision.Route:        "the registry could not be asked what the tag is, as it must where customers see another name: check its address, the network, and the role's policy",
	decision.List:         "the registry could not be asked for its tags: check upstream.address, the network, and the role's policy",
	decision.Key:          "there is no usable token for the registry: systemctl status tokenrefresher, and its log",
	"":                    "the registry did not answer authsvc: check the network and the role's policy; a token that it rejects is renewed by the next pull",
}

// refusals are what to do about one, by the code of the answer.
var refusals = map[registry.Code]string{
	registry.Unauthorized:    "the customer must log in again with the e-mail and a token that is valid; check both in the vendor's account",
	registry.Denied:          "renew the license, or tell the customer that it has ended; a renewed license works within cache.ttl",
	registry.NameUnknown:     "no license names this repository: compare its name with the licenses above, letter by letter",
	registry.ManifestUnknown: "no license covers this tag or digest: pull one that is covered (authsvc licenses), or extend the license",
	registry.BlobUnknown:     "no license covers an image with this layer: pull a tag that is covered (authsvc licenses), or extend the license",
	registry.TooManyRequests: "wait as long as the answer says",
	registry.Unsupported:     "the request is not part of the registry API: check the path",
	registry.NameInvalid:     "correct the repository's name",
	registry.TagInvalid:      "correct the tag",
	registry.DigestInvalid:   "correct the digest",

	registry.PaginationNumberInvalid: "correct the query",
}

// unlicensed is what to do about a tag that no license covers, by the code of the
// answer, and by whether the registry does not have the tag either.
var unlicensed = map[registry.Code]map[bool]string{
	registry.NameUnknown: {
		true:  "no license names this repository, and the registry does not have it: compare its name with the licenses above, letter by letter",
		false: "the registry has it, but no license names this repository: the license must be extended",
	},
	registry.ManifestUnknown: {
		true:  "no license covers this tag, and the registry does not have it: compare it with those that are covered (authsvc licenses)",
		false: "the registry has this tag, but no license covers it: pull one that is covered (authsvc licenses), or extend the license",
	},
}

// withdrawn says whether the license that decided was.
func (l *Licenses) withdrawn(id string) bool {
	return l != nil && slices.ContainsFunc(l.Shown, func(shown License) bool { return shown.License == id && shown.MatchesTag && shown.Withdrawn })
}

// otherAccount is whose token it is, if a source refused it for that.
func (c *Credential) otherAccount() string {
	if c == nil {
		return ""
	}
	for _, s := range c.Sources {
		if s.Account != "" {
			return s.Account
		}
	}
	return ""
}
