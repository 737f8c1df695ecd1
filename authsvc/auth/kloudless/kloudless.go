// Package kloudless authenticates customers by Kloudless' Meta API: the
// customer's API token is a Bearer token there, and the licenses that it lists
// are the customer's rights.
//
// The Meta API's base, its Bearer tokens, and its object types (license,
// developer) are documented at https://developers.kloudless.com/docs/v1/meta.
// The path of the list of licenses and the fields of a license are not: both
// are configuration, and the defaults here are assumed.
package kloudless

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
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
	// where an expiration of null is never.
	DefaultGrants = `select(.active) | . as $license | .docker_releases[] | {repository, tags, expires: $license.expiration, license: $license.id}`
)

// Config is what a Client needs to know. Every field but CAFile, Account and
// Observe is required.
type Config struct {
	// URL is the API's base: https, or http to a loopback address.
	URL string
	// LicensesPath is relative to URL.
	LicensesPath string
	// PageSize is asked for; more than MaxPages pages are an error.
	PageSize, MaxPages int
	// Timeout bounds the whole look-up of a customer.
	Timeout time.Duration
	// CAFile is a PEM file of the authorities to trust; empty for the system's.
	CAFile string
	// Grants is a jq expression that maps a license object to grants:
	// objects with the keys repository (a pattern), tags (a pattern or an
	// array of them), expires and license (a string or a number). Expires is
	// an RFC 3339 time, the seconds since 1970, a day (2027-01-31, which is
	// still valid in UTC), or null for never.
	Grants  string
	Account Account
	// Observe is told the outcome and the duration of each request.
	Observe func(outcome string, d time.Duration)
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
	http     *http.Client
	licenses *url.URL
	account  *url.URL // nil if nothing of the account is needed
	pageSize int
	maxPages int
	timeout  time.Duration
	grantsOf *expression
	idOf     *expression // nil for no id
	emailOf  *expression // nil if the e-mail is not verified
	observe  func(string, time.Duration)
}

// New checks the configuration and returns a Client.
func New(c Config) (*Client, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	client := &Client{pageSize: c.PageSize, maxPages: c.MaxPages, timeout: c.Timeout, observe: c.Observe}
	if client.observe == nil {
		client.observe = func(string, time.Duration) {}
	}
	if client.http, err = newHTTPClient(c.CAFile); err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if client.licenses, err = below(base, c.LicensesPath); err != nil {
		return nil, fmt.Errorf("licenses_path: %w", err)
	}
	if client.grantsOf, err = compile(c.Grants); err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	if c.Account.ID == "" && !c.Account.VerifyEmail {
		return client, nil
	}
	if client.account, err = below(base, c.Account.Path); err != nil {
		return nil, fmt.Errorf("account.path: %w", err)
	}
	if c.Account.ID != "" {
		if client.idOf, err = compile(c.Account.ID); err != nil {
			return nil, fmt.Errorf("account.id: %w", err)
		}
	}
	if c.Account.VerifyEmail {
		if client.emailOf, err = compile(c.Account.Email); err != nil {
			return nil, fmt.Errorf("account.email: %w", err)
		}
	}
	return client, nil
}

// Bearer implements auth.Source: a token belongs to one account.
func (c *Client) Bearer() bool { return true }

// Authenticate implements auth.Source: it lists the licenses of the
// account whose token the customer presents.
func (c *Client) Authenticate(ctx context.Context, presented credential.Credential) (auth.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var decision auth.Decision
	if c.account != nil {
		refused, err := c.identify(ctx, presented.Secret, &decision)
		switch {
		case err != nil:
			return auth.Decision{}, fmt.Errorf("kloudless: account: %w", err)
		case refused:
			return auth.Decision{Refusal: auth.WrongCredential}, nil
		}
	}
	grants, refused, err := c.grants(ctx, presented.Secret)
	switch {
	case err != nil:
		return auth.Decision{}, fmt.Errorf("kloudless: licenses: %w", err)
	case refused:
		return auth.Decision{Refusal: auth.WrongCredential}, nil
	}
	decision.Grants = grants
	return decision, nil
}

// identify asks for the account's object and notes its id and e-mail.
func (c *Client) identify(ctx context.Context, token credential.Secret, decision *auth.Decision) (refused bool, err error) {
	body, status, err := c.get(ctx, c.account, token)
	if err != nil || isRefusal(status) {
		return isRefusal(status), err
	}
	if status != http.StatusOK {
		return false, unexpected(status)
	}
	object, err := decode(body)
	if err != nil {
		return false, err
	}
	if c.emailOf != nil {
		if decision.User, err = c.emailOf.text(ctx, object); err != nil {
			return false, fmt.Errorf("email: %w", err)
		}
		decision.Subject = decision.User
	}
	if c.idOf != nil {
		if decision.Subject, err = c.idOf.text(ctx, object); err != nil {
			return false, fmt.Errorf("id: %w", err)
		}
	}
	return false, nil
}

// grants asks for all pages of licenses.
func (c *Client) grants(ctx context.Context, token credential.Secret) (grants []auth.Grant, refused bool, err error) {
	next := "1"
	for page := 1; page <= c.maxPages; page++ {
		body, status, err := c.get(ctx, c.pageURL(next), token)
		switch {
		case err != nil:
			return nil, false, err
		case isRefusal(status):
			return nil, true, nil
		case status == http.StatusNotFound && page > 1:
			return grants, false, nil // the end, as the API has it
		case status != http.StatusOK:
			return nil, false, unexpected(status)
		}
		list, err := decodeList(body, page, c.pageSize)
		if err != nil {
			return nil, false, fmt.Errorf("page %d: %w", page, err)
		}
		if grants, err = c.appendGrants(ctx, grants, list.objects); err != nil {
			return nil, false, fmt.Errorf("page %d: %w", page, err)
		}
		if next = list.next; next == "" {
			return grants, false, nil
		}
	}
	return nil, false, fmt.Errorf("more than %d pages; see kloudless.max_pages", c.maxPages)
}

// isRefusal takes both statuses for the credential's refusal: an old SDK of
// Kloudless names them the wrong way round.
func isRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func unexpected(status int) error {
	return fmt.Errorf("expected status 200, found %d", status)
}
