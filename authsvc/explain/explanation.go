package explain

import (
	"cmp"
	"slices"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// A Result is what a request would get, in a word.
type Result string

// The results.
const (
	Allowed Result = "allowed"
	Refused Result = "refused"
	Outage  Result = "outage"
	// Unknown: nobody can tell without the customer's token.
	Unknown Result = "unknown"

	passed Result = "ok" // of a step
)

// An Explanation is what a request would get, and why. What was not reached is nil.
type Explanation struct {
	Result    Result `json:"result"`
	User      string `json:"user"`
	Reference string `json:"reference"`
	// Path is the request's path and query.
	Path       string      `json:"path"`
	Request    *Request    `json:"request,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
	Licenses   *Licenses   `json:"licenses,omitempty"`
	// License and Tag decided. For a digest, Tag is a tag that reaches it.
	License string `json:"license,omitempty"`
	// Stale says that the registry fails, and that what it said last has decided.
	Stale    bool      `json:"stale,omitempty"`
	Tag      string    `json:"tag,omitempty"`
	Route    *Route    `json:"route,omitempty"`
	Token    *Token    `json:"token,omitempty"`
	Registry *Registry `json:"registry,omitempty"`
	Steps    []Step    `json:"steps"`
	// Answer is what the customer gets.
	Answer Answer `json:"answer"`
	// Next is what to do.
	Next string `json:"next"`
	// Degraded is what authsvc reports as degraded at /readyz.
	Degraded []string `json:"degraded,omitempty"`
}

// A Request is what was asked for.
type Request struct {
	Kind       string `json:"kind"`
	Repository string `json:"repository,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest,omitempty"`
}

// A Step is how one step of the decision has ended.
type Step struct {
	Step string `json:"step"`
	// Result is ok, refused, or outage. Reason is the operator's.
	Result       Result  `json:"result"`
	Reason       string  `json:"reason,omitempty"`
	Milliseconds float64 `json:"duration_ms"`
}

// A Credential is what the sources say of the customer's credential.
type Credential struct {
	Accepted bool `json:"accepted"`
	// TokenGiven: it was checked with the customer's token.
	TokenGiven bool   `json:"token_given"`
	Subject    string `json:"subject,omitempty"`
	// Confirmed: the source confirms the user for the token.
	Confirmed bool      `json:"user_confirmed"`
	Sources   []Consult `json:"sources"`
}

// A Consult is what one source says.
type Consult struct {
	Source string `json:"source"`
	// How is cache, asked, or licenses (told without the token).
	How string `json:"how"`
	// Cache is hit, stale, or miss.
	Cache string `json:"cache,omitempty"`
	// AgeSeconds is the age of what is cached; Credentials is how many
	// credentials of the user are cached, if the token was not given.
	AgeSeconds   float64 `json:"age_s,omitempty"`
	Credentials  int     `json:"cached_credentials,omitempty"`
	Milliseconds float64 `json:"duration_ms"`
	Refusal      string  `json:"refusal,omitempty"`
	// Account is whose token it is, if that is not the user.
	Account string `json:"account,omitempty"`
	Error   string `json:"error,omitempty"`
}

func newCredential(p *auth.Peek, o decision.Outcome) *Credential {
	c := &Credential{Accepted: o.Allowed(), TokenGiven: !p.NoSecret, Sources: []Consult{}}
	if c.Accepted {
		c.Subject, c.Confirmed = o.Subject.Name, o.Subject.Unverified == ""
	}
	for _, f := range p.Findings {
		found := Consult{Source: f.Source, How: string(f.How), Cache: string(f.Decision.Cache), Credentials: f.Credentials,
			Milliseconds: milliseconds(f.Took), Refusal: string(f.Decision.Refusal)}
		if !f.Asked.IsZero() {
			found.AgeSeconds = time.Since(f.Asked).Round(time.Second).Seconds()
		}
		if f.Err != nil {
			found.Error = f.Err.Error()
		}
		if f.Decision.Refusal == auth.WrongAccount {
			found.Account = f.Account
		}
		c.Sources = append(c.Sources, found)
	}
	return c
}

// maxLicenses bounds the licenses that are shown. Those that match come first.
const maxLicenses = 100

// Licenses are a customer's.
type Licenses struct {
	Total int       `json:"total"`
	Shown []License `json:"shown"`
}

// A License is one grant of a license.
type License struct {
	License    string `json:"license"`
	Repository string `json:"repository"`
	Tags       string `json:"tags"`
	// Expires is the first moment at which it is not valid; zero for never.
	Expires   time.Time `json:"expires,omitzero"`
	Withdrawn bool      `json:"withdrawn,omitempty"`
	InForce   bool      `json:"in_force"`
	// MatchesRepository and MatchesTag tell what of the request it matches. A
	// digest is matched by the tag that reaches it.
	MatchesRepository bool `json:"matches_repository"`
	MatchesTag        bool `json:"matches_tag"`
}

func (l License) score() int {
	score := 0
	for i, yes := range []bool{l.InForce, l.MatchesTag, l.MatchesRepository} {
		if yes {
			score |= 1 << i
		}
	}
	return score
}

func newLicenses(grants auth.Grants, r registry.Request, tag string, now time.Time) *Licenses {
	tag = cmp.Or(tag, r.Reference.Tag)
	all := &Licenses{Total: grants.Len(), Shown: []License{}}
	for g := range grants.All() {
		all.Shown = append(all.Shown, License{
			License: g.License, Repository: g.Repository.String(), Tags: g.Tag.String(), Expires: g.Expires, Withdrawn: g.Withdrawn, InForce: g.ValidAt(now),
			MatchesRepository: r.Repository != "" && g.Repository.Match(r.Repository),
			MatchesTag:        tag != "" && g.Repository.Match(r.Repository) && g.Tag.Match(tag),
		})
	}
	slices.SortStableFunc(all.Shown, func(a, b License) int { return b.score() - a.score() })
	all.Shown = all.Shown[:min(len(all.Shown), maxLicenses)]
	return all
}

// A Route is which registry has the repository.
type Route struct {
	Upstream string `json:"upstream"`
	// Repository is its name in the registry, if customers see another.
	Repository string `json:"repository,omitempty"`
	// Standby: the registry stands in for one that fails.
	Standby bool `json:"standby,omitempty"`
}

// newRoute returns the route of a request; nil if it has none. Then u is nil, too.
func newRoute(o decision.Outcome, routes *upstream.Routes) (r *Route, u *upstream.Upstream) {
	route, ok := routes.Find(o.Request.Repository)
	if !ok || o.Request.Kind == registry.Invalid {
		return nil, nil
	}
	if u = o.Upstream; u == nil {
		u = route.First
	}
	r = &Route{Upstream: u.Name(), Standby: o.Standby}
	if route.Renamed() && o.Request.Repository != "" {
		r.Repository = route.Repository(o.Request.Repository)
	}
	return r, u
}

// A Token is the state of the registry's token; never the token itself.
type Token struct {
	// Used: the request would be forwarded with it.
	Used      bool      `json:"used"`
	Registry  string    `json:"registry,omitempty"`
	FetchedAt time.Time `json:"fetched_at,omitzero"`
	// ExpiresAt is zero for never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Error     string    `json:"error,omitempty"`
}

func newToken(o decision.Outcome, u *upstream.Upstream) *Token {
	current, err := u.Current()
	t := &Token{Used: o.Token.Host != "", Registry: current.Host, FetchedAt: current.FetchedAt, ExpiresAt: current.ExpiresAt}
	if err != nil {
		t.Error = err.Error()
	}
	return t
}

// A Registry is what the registry says of the requested tag.
type Registry struct {
	Digest string `json:"digest,omitempty"`
	// Missing: it has no such tag.
	Missing      bool    `json:"missing,omitempty"`
	Error        string  `json:"error,omitempty"`
	Milliseconds float64 `json:"duration_ms"`
}

// An Answer is what the customer gets, word by word. Status 200 means that nginx
// forwards the request, or that authsvc answers with the list.
type Answer struct {
	Status     int    `json:"status"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter int    `json:"retry_after_s,omitempty"`
}
