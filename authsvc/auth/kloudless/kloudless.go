// Package kloudless authenticates customers with Kloudless' Meta API: the
// customer's API token is a Bearer token there, and the licenses it lists are the
// customer's rights.
//
// The Meta API's base, its Bearer tokens, and its object types (license,
// developer) are documented at https://developers.kloudless.com/docs/v1/meta. The
// path of the list of licenses and the fields of a license are not. Both are
// configuration, and their defaults are assumptions.
//
// Only Kloudless' own rules are here: what to ask, how lists continue, and what
// counts as a refusal. Package auth/web sends the requests, auth/jq reads the
// answers, and auth keeps the decision.
package kloudless

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/authsvc/credential"
)

// The defaults of what Kloudless does not document.
const (
	DefaultLicensesPath = "meta/licenses"
	DefaultAccountPath  = "meta/developer"
	// DefaultEmail maps the developer object to its e-mail.
	DefaultEmail = ".email"
	// DefaultGrants maps a license to grants. It assumes
	//
	//	{"id": "lic_1", "active": true, "expiration": "2027-01-01T00:00:00Z",
	//	 "docker_releases": [{"repository": "acme/appliance", "tags": ["1.*"]}]}
	//
	// where an expiration of null is never, and an inactive license has been
	// withdrawn. It does not guess: of what is missing or of another type it
	// names the field.
	DefaultGrants = `if has("expiration") | not then error("no field expiration; null is never") ` +
		`elif .active | type != "boolean" then error("the field active is not true or false") ` +
		`elif .docker_releases | type != "array" then error("the field docker_releases is not an array") ` +
		`else . as $license | .docker_releases[] | {repository, tags, expires: $license.expiration, withdrawn: ($license.active | not), license: $license.id} end`
)

// Config is what a Client needs to know. Every field but CAFile, Account and
// Observe is required.
type Config struct {
	// URL is the API's base, as web.Config has it.
	URL string
	// LicensesPath is relative to URL.
	LicensesPath string
	// PageSize is asked for; more than MaxPages pages are an error.
	PageSize, MaxPages int
	// Timeout bounds the whole look-up of a customer.
	Timeout time.Duration
	// CAFile is a PEM file of the authorities to trust; empty for the system's.
	CAFile string
	// Grants is a jq expression that maps a license object to grants, as
	// jq.AppendGrants has them.
	Grants  string
	Account Account
	// Observe is told the outcome and the duration of each request.
	Observe func(ctx context.Context, outcome string, d time.Duration) `json:"-"`
}

// Account tells whose account a token belongs to. The account's object is
// asked for only if ID or VerifyEmail needs it.
type Account struct {
	// Path of the account's object, relative to the base.
	Path string
	// ID is a jq expression that maps the object to the account's id; empty
	// for none.
	ID string
	// VerifyEmail compares the account's e-mail with what the customer typed.
	VerifyEmail bool
	// Email is a jq expression that maps the object to the e-mail.
	Email string
}

// A Client is an auth.Source.
type Client struct {
	web      *web.Client
	licenses *url.URL
	account  *url.URL // nil if nothing of the account is needed
	pageSize int
	maxPages int
	timeout  time.Duration
	grantsOf *jq.Expression
	idOf     *jq.Expression // nil for no id
	emailOf  *jq.Expression // nil if the e-mail is not verified
}

// New checks the configuration and returns a Client. Its errors begin with the
// name of the setting.
func New(c Config) (*Client, error) {
	asks, err := web.New(web.Config{URL: c.URL, CAFile: c.CAFile, Refuses: refuses, Observe: c.Observe})
	if err != nil {
		return nil, err
	}
	client := &Client{web: asks, pageSize: c.PageSize, maxPages: c.MaxPages, timeout: c.Timeout}
	if client.licenses, err = asks.Below(c.LicensesPath); err != nil {
		return nil, fmt.Errorf("licenses_path: %w", err)
	}
	if client.grantsOf, err = jq.Compile(c.Grants); err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	if c.Account.ID != "" {
		if client.idOf, err = jq.Compile(c.Account.ID); err != nil {
			return nil, fmt.Errorf("account.id: %w", err)
		}
	}
	if c.Account.VerifyEmail {
		if client.emailOf, err = jq.Compile(c.Account.Email); err != nil {
			return nil, fmt.Errorf("account.email: %w", err)
		}
	}
	if client.idOf != nil || client.emailOf != nil {
		if client.account, err = asks.Below(c.Account.Path); err != nil {
			return nil, fmt.Errorf("account.path: %w", err)
		}
	}
	return client, nil
}

// errRefused: the API rejects the token. It does not leave this package.
var errRefused = errors.New("the API rejects the token")

// Bearer implements auth.Source: a token belongs to one account.
func (c *Client) Bearer() bool { return true }

// Authenticate implements auth.Source: it lists the licenses of the
// account whose token the customer presents.
func (c *Client) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	authorization, ok := web.Bearer(presented.Secret)
	if !ok {
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	decision, err := c.identify(ctx, authorization)
	if err != nil {
		return failed("account", err)
	}
	grants, err := c.grants(ctx, authorization)
	if err != nil {
		return failed("licenses", err)
	}
	decision.Grants = auth.NewGrants(grants...)
	return decision, nil
}

// failed tells a refusal from an outage.
func failed(asking string, err error) (auth.Decision, error) {
	if errors.Is(err, errRefused) {
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	return auth.Decision{}, fmt.Errorf("kloudless: %s: %w", asking, err)
}

// identify says whose account it is, as far as that is configured.
func (c *Client) identify(ctx context.Context, authorization string) (decision auth.Decision, err error) {
	if c.account == nil {
		return auth.Decision{}, nil
	}
	answer, err := c.get(ctx, c.account, authorization)
	if err != nil {
		return auth.Decision{}, err
	}
	if answer.Status != http.StatusOK {
		return auth.Decision{}, unexpected(answer)
	}
	object, err := jq.Decode(answer.Body)
	if err != nil {
		return auth.Decision{}, err
	}
	if c.emailOf != nil {
		if decision.User, err = c.emailOf.Text(ctx, object); err != nil {
			return auth.Decision{}, fmt.Errorf("email: %w", err)
		}
		decision.Subject = decision.User
	}
	if c.idOf != nil {
		if decision.Subject, err = c.idOf.ID(ctx, object); err != nil {
			return auth.Decision{}, fmt.Errorf("id: %w", err)
		}
	}
	return decision, nil
}

// grants asks for all pages of licenses.
func (c *Client) grants(ctx context.Context, authorization string) (grants []auth.Grant, err error) {
	next := "1"
	for page := 1; page <= c.maxPages; page++ {
		answer, err := c.get(ctx, c.pageURL(next), authorization)
		switch {
		case err != nil:
			return nil, err
		case answer.Status == http.StatusNotFound && page > 1:
			return grants, nil // the end, as the API has it
		case answer.Status != http.StatusOK:
			return nil, unexpected(answer)
		}
		list, err := decodeList(answer.Body, page, c.pageSize)
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", page, err)
		}
		if grants, err = c.grantsOf.AppendGrants(ctx, grants, list.objects); err != nil {
			return nil, fmt.Errorf("page %d: %w: %w", page, auth.ErrUnreadable, err)
		}
		if next = list.next; next == "" {
			return grants, nil
		}
	}
	return nil, fmt.Errorf("%w: more than %d pages; see kloudless.max_pages", auth.ErrUnreadable, c.maxPages)
}

// get asks for a URL with the customer's token.
func (c *Client) get(ctx context.Context, u *url.URL, authorization string) (web.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return web.Answer{}, err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Accept", "application/json")
	answer, err := c.web.Do(request)
	if err == nil && answer.Refused {
		err = errRefused
	}
	return answer, err
}
