// Package kloudless is the preset of package auth/web for Kloudless' Meta API: the
// customer's API token is a Bearer token there, and the licenses it lists are the
// customer's rights.
//
// The Meta API's base, its Bearer tokens, and its object types (license,
// developer) are documented at https://developers.kloudless.com/docs/v1/meta. The
// path of the list of licenses and the fields of a license are not. Both are
// configuration, and their defaults are assumptions.
package kloudless

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/web"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
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

const (
	// refuses is true of a 401 or 403 in the API's own form,
	//
	//	{"status_code": 401, "error_code": "unauthorized", "message": "…", "id": "…"}
	//
	// (https://developers.kloudless.com/docs#errors). An old SDK names 401 and
	// 403 the wrong way round; an older error lacks status_code, and a newer one
	// may not have both, so either is enough. A firewall's blanket 403 has
	// neither: treating it as the API's would refuse every customer.
	refuses = `(.error_code | type == "string" and . != "") or (.status_code | tostring) == ($status | tostring)`
	// next: the API answers {"objects": […]} and either "next_page", which is
	// what to ask for next, or "page", the page's own number. In the second form
	// a page that is not full is the last; a full one may be the last too, and
	// then the next is a 404. The argument is the size of a full page.
	next = `if has("next_page") then .next_page elif has("page") and $count >= %d then $page + 1 else null end`
	// items does not guess either.
	items = `if .objects | type == "array" then .objects else error("no list with the key objects") end`
)

// maxAnswer bounds one answer, in bytes.
const maxAnswer = 4 << 20

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
type Client = web.Source

// New checks the configuration and returns a Client. Its errors begin with the
// name of the setting.
func New(c Config) (*Client, error) {
	made, err := c.web()
	if err != nil {
		return nil, err
	}
	return web.New(made, auth.Environment{Observe: c.Observe})
}

// web is the Config in terms of package web.
func (c Config) web() (web.Config, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return web.Config{}, fmt.Errorf("url: %w", err)
	}
	licenses, err := below(base, c.LicensesPath)
	if err != nil {
		return web.Config{}, fmt.Errorf("licenses_path: %w", err)
	}
	query := licenses.Query()
	query.Set("page", "1")
	query.Set("page_size", strconv.Itoa(c.PageSize))
	licenses.RawQuery = query.Encode()
	made := web.Config{
		Method:     http.MethodGet,
		Credential: web.Credential{As: "bearer"},
		Accepted:   web.Rule{Statuses: []int{http.StatusOK}},
		Refused:    web.Rule{Statuses: []int{http.StatusUnauthorized, http.StatusForbidden}, If: refuses},
		Licenses: web.Licenses{
			Credential: "customer", Items: items, Next: fmt.Sprintf(next, c.PageSize), Parameter: "page", EndStatuses: []int{http.StatusNotFound},
		},
		Grants: c.Grants, CAFile: c.CAFile, Timeout: c.Timeout, MaxPages: c.MaxPages, MaxBytes: maxAnswer,
	}
	if made.Account.Subject = c.Account.ID; c.Account.VerifyEmail {
		made.Account.User = c.Account.Email
	}
	for setting, expression := range map[string]string{"account.id": made.Account.Subject, "account.email": made.Account.User} {
		if _, err := jq.Compile(expression); expression != "" && err != nil {
			return web.Config{}, fmt.Errorf("%s: %w", setting, err)
		}
	}
	if made.Account == (web.Account{}) {
		made.URL = licenses.String()
		return made, nil
	}
	account, err := below(base, c.Account.Path)
	if err != nil {
		return web.Config{}, fmt.Errorf("account.path: %w", err)
	}
	made.URL, made.Licenses.URL = account.String(), licenses.String()
	return made, nil
}

// parseBase checks the API's base.
func parseBase(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("expected the base URL of the vendor's API such as https://api.example.com/v1/, found nothing; there is no default because customers' secrets are sent there")
	}
	base, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("expected a URL such as https://api.example.com/v1/")
	}
	if err := web.CheckSecure(base); err != nil {
		return nil, err
	}
	if base.RawQuery != "" {
		return nil, errors.New("expected a URL without query")
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return base, nil
}

// below resolves a path below the base. One that leads to another host would take the
// customers' secrets there.
func below(base *url.URL, path string) (*url.URL, error) {
	u, err := base.Parse(path)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || !strings.HasPrefix(u.Path, base.Path) {
		return nil, fmt.Errorf("expected a path below %s such as meta/licenses, found %s", base, settings.Found(path))
	}
	return u, nil
}
