package kloudless

import (
	"context"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// Kind is how package config knows Kloudless.
var Kind = auth.Kind{Name: "kloudless", Keys: keys, Read: read}

var keys = settings.Table{
	{Key: "url", Default: "", Usage: "base URL of the Meta API, such as https://api.kloudless.com/v1/. Required; there is no default because customers' tokens are sent there"},
	{Key: "licenses_path", Default: DefaultLicensesPath, Usage: "path of the list of licenses, relative to the URL (assumed: Kloudless does not document it)"},
	{Key: "page_size", Default: 100, Usage: "licenses per page"},
	{Key: "max_pages", Default: 20, Usage: "maximum pages per customer"},
	{Key: "timeout", Default: "5s", Usage: "timeout of one customer's lookup, all pages together"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for the API's certificate; empty for the system's"},
	{Key: "grants", Default: DefaultGrants, Usage: "jq expression that turns a license object into grants {repository, tags, expires, license}, optionally with withdrawn (true if the vendor ended the license)"},
	{Key: "account.id", Default: "", Usage: "jq expression that extracts the account's id for logs, such as .id; empty for none"},
	{Key: "account.verify_email", Default: false, Usage: "refuse a token if its account's e-mail differs from the one the customer gave"},
	{Key: "account.path", Default: DefaultAccountPath, Usage: "path of the account object, relative to the URL (assumed)"},
	{Key: "account.email", Default: DefaultEmail, Usage: "jq expression that extracts the account's e-mail"},
}

// read builds the Config from the keys' values. Each line states the bounds.
func read(r *settings.Reader) auth.Settings {
	return Config{
		URL:          r.Text("url", 0, 1024),
		LicensesPath: r.Text("licenses_path", 1, 256),
		PageSize:     r.Number("page_size", 1, 1000),
		MaxPages:     r.Number("max_pages", 1, 1000),
		Timeout:      r.Duration("timeout", 100*time.Millisecond, time.Minute),
		CAFile:       r.Optional("ca_file", r.Path),
		Grants:       r.Text("grants", 1, 8192),
		Account: Account{
			ID:          r.Text("account.id", 0, 8192),
			VerifyEmail: r.Boolean("account.verify_email"),
			Path:        r.Text("account.path", 1, 256),
			Email:       r.Text("account.email", 1, 8192),
		},
	}
}

// New implements auth.Settings.
func (c Config) New(_ context.Context, env auth.Environment) (auth.Made, error) {
	c.Observe = env.Observe
	client, err := New(c)
	if err != nil {
		return auth.Made{}, err
	}
	return auth.Made{Source: client, Licensed: true, Check: client.Check, Try: client.Try}, nil
}
