package web

import (
	"errors"
	"regexp"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// Kind is how package config knows web services.
var Kind = auth.Kind{Name: "web", Keys: keys, Read: read}

var keys = settings.Table{
	{Key: "preset", Default: "", Usage: "defaults for a known protocol: docker_auth (the services of docker_auth's http_auth) or introspection (OAuth 2.0 Token Introspection, RFC 7662). A key that is set takes precedence"},
	{Key: "url", Default: "", Usage: "URL that customers' credentials are sent to, such as https://api.vendor.com/v1/customers/{user}; {user} is what the customer typed, escaped. Empty for a source that is asked for grants alone"},
	{Key: "method", Default: "GET", Usage: "GET, POST or PUT"},
	{Key: "credential.as", Default: asBearer, Usage: "how the customer's credential is sent: basic, bearer, header, form or json. bearer and header send the password alone"},
	{Key: "credential.header", Default: "", Usage: "name of the header, for credential.as: header"},
	{Key: "credential.user_field", Default: "", Usage: "field for the user, for form and json; empty to send the password alone"},
	{Key: "credential.secret_field", Default: "", Usage: "field for the password, for form and json"},
	{Key: "service.credential_file", Default: "", Usage: "file with the service credential, authsvc's own at the service: an absolute path or $CREDENTIALS_DIRECTORY/NAME, read for each request. service.to_url and licenses.credential say where it is sent"},
	{Key: "service.to_url", Default: false, Usage: "send the service credential to url too, beside the customer's, which must be in another header or in the body"},
	{Key: "service.as", Default: asBearer, Usage: "how the service credential is sent: basic, client_secret_basic (as OAuth 2.0 has it, RFC 6749, section 2.3.1), bearer or header"},
	{Key: "service.user", Default: "", Usage: "user or client id, for basic and client_secret_basic"},
	{Key: "service.header", Default: "", Usage: "name of the header, for service.as: header"},
	{Key: "accepted.statuses", Default: "200", Usage: "statuses that accept the credential. Whatever is neither accepted, refused nor not_mine is an outage"},
	{Key: "accepted.if", Default: "", Usage: "jq expression that must be true of an accepting answer; empty for any. It has $status"},
	{Key: "refused.statuses", Default: "401", Usage: "statuses that refuse the credential"},
	{Key: "refused.if", Default: "", Usage: "jq expression that must be true of a refusing answer, such as has(\"error_code\"), so that a firewall's 401 or 403 is an outage; empty for any. It has $status"},
	{Key: "refused.reason", Default: "", Usage: "jq expression that gives the reason for a refusal, which the customer sees; empty for none"},
	{Key: "not_mine.statuses", Default: "", Usage: "statuses that mean that the service does not know the user, so that the next source is asked"},
	{Key: "not_mine.if", Default: "", Usage: "jq expression that must be true of such an answer; empty for any. It has $status"},
	{Key: "account.subject", Default: "", Usage: "jq expression that gives the account's id from the answer, for logs and licenses.url; empty for account.user"},
	{Key: "account.user", Default: "", Usage: "jq expression that gives the user whom the service confirms; another typed user is refused. $user is what was typed: use it only if the service itself checks that the password is the user's"},
	{Key: "account.ends", Default: "", Usage: "jq expression that gives the end of the credential or the account: a time, seconds since 1970, a day, or null for never"},
	{Key: "licenses.url", Default: "", Usage: "URL of the account's licenses, with {user} (account.user) or {subject} (account.subject); empty if they are in the answer of url"},
	{Key: "licenses.credential", Default: ofCustomer, Usage: "whose credential is sent to licenses.url: customer or service. Other sources can take their grants from here only with service"},
	{Key: "licenses.items", Default: ".", Usage: "jq expression that gives the array of licenses in an answer, such as .items"},
	{Key: "licenses.next", Default: "", Usage: "jq expression that gives the next page: null at the end, else its number, cursor, or URL at the same host. It has $link (the next URL of the header Link, or null), $page (this page's number, from 1) and $count (the licenses on this page). Empty if there is one page only"},
	{Key: "licenses.page_parameter", Default: "", Usage: "query parameter for a number or a cursor; empty if licenses.next gives a URL"},
	{Key: "licenses.none_statuses", Default: "", Usage: "statuses of licenses.url that mean that the account has no licenses, such as 404"},
	{Key: "licenses.end_statuses", Default: "", Usage: "statuses of a further page that mean that the page before was the last one, such as 404"},
	{Key: "grants", Default: "", Usage: "jq expression that turns a license into grants {repository, tags, expires, license}, optionally with withdrawn (true if the vendor ended the license); empty with grants_from"},
	{Key: "client_certificate", Default: "", Usage: "PEM file of authsvc's certificate for the service; read for each connection"},
	{Key: "client_key", Default: "", Usage: "PEM file of its key: an absolute path or $CREDENTIALS_DIRECTORY/NAME"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for the service's certificate; empty for the system's"},
	{Key: "timeout", Default: "5s", Usage: "timeout of one customer's lookup, all requests together"},
	{Key: "max_pages", Default: 20, Usage: "maximum pages of licenses per customer"},
	{Key: "max_bytes", Default: 4 << 20, Usage: "maximum size of one answer"},
}

// presets change the defaults of keys.
var presets = map[string]map[string]any{
	"": nil,
	// https://github.com/cesanta/docker_auth, authn/http_auth.go
	"docker_auth": {
		"method": "POST", "credential.as": asJSON, "credential.user_field": "user", "credential.secret_field": "password",
		"accepted.if":      `.result == "allow"`,
		"refused.statuses": "200", "refused.if": `.result == "deny" or .result == "failed"`,
		"not_mine.statuses": "200", "not_mine.if": `.result == "no_match"`,
		"account.user": "$user", // the protocol's: the service has checked the pair
	},
	// RFC 7662, section 2. A 401 refuses the service credential, not the token.
	introspection: {
		"method": "POST", "credential.as": asForm, "credential.secret_field": "token", "service.as": asClient, "service.to_url": true,
		"accepted.if":      ".active == true",
		"refused.statuses": "200", "refused.if": ".active == false",
		"account.subject": ".sub", "account.ends": ".exp",
	},
}

const introspection = "introspection"

var (
	methods          = regexp.MustCompile(`^(GET|POST|PUT)$`)
	presetNames      = regexp.MustCompile(`^(docker_auth|introspection)?$`)
	customerForms    = regexp.MustCompile(`^(basic|bearer|header|form|json)$`)
	serviceForms     = regexp.MustCompile(`^(basic|client_secret_basic|bearer|header)$`)
	whoseCredentials = regexp.MustCompile(`^(customer|service)$`)
)

const maxExpression = 8 << 10

// read builds the Config from the keys' values. Each line states the bounds.
func read(r *settings.Reader) auth.Settings {
	preset := r.Match("preset", presetNames, "docker_auth, introspection or nothing")
	r.Default(presets[preset])
	c := Config{
		URL:    r.Text("url", 0, 1024),
		Method: r.Match("method", methods, "GET, POST or PUT"),
		Credential: Credential{
			As:          r.Match("credential.as", customerForms, "basic, bearer, header, form or json"),
			Header:      r.Text("credential.header", 0, 100),
			UserField:   r.Text("credential.user_field", 0, 100),
			SecretField: r.Text("credential.secret_field", 0, 100),
		},
		Service: Service{
			As:             r.Match("service.as", serviceForms, "basic, client_secret_basic, bearer or header"),
			User:           r.Text("service.user", 0, maxName),
			Header:         r.Text("service.header", 0, 100),
			CredentialFile: r.Optional("service.credential_file", r.SecretFile),
			ToURL:          r.Boolean("service.to_url"),
		},
		Accepted: readRule(r, "accepted"),
		Refused:  readRule(r, "refused"),
		NotMine:  readRule(r, "not_mine"),
		Reason:   r.Text("refused.reason", 0, maxExpression),
		Account: Account{
			Subject: r.Text("account.subject", 0, maxExpression),
			User:    r.Text("account.user", 0, maxExpression),
			Ends:    r.Text("account.ends", 0, maxExpression),
		},
		Licenses:          readLicenses(r),
		Grants:            r.Text("grants", 0, maxExpression),
		ClientCertificate: r.Optional("client_certificate", r.Path),
		ClientKey:         r.Optional("client_key", r.SecretFile),
		CAFile:            r.Optional("ca_file", r.Path),
		Timeout:           r.Duration("timeout", 100*time.Millisecond, time.Minute),
		MaxPages:          r.Number("max_pages", 1, 1000),
		MaxBytes:          r.Number("max_bytes", 1<<10, 64<<20),
	}
	if preset == introspection && c.Service.CredentialFile == "" && c.ClientCertificate == "" {
		r.Add(errors.New("service.credential_file: expected the file with the secret of authsvc's client (or client_certificate), because an introspection endpoint answers known clients only; found nothing"))
	}
	return c
}

func readRule(r *settings.Reader, key string) Rule {
	return Rule{Statuses: readStatuses(r, key+".statuses"), If: r.Text(key+".if", 0, maxExpression)}
}

func readLicenses(r *settings.Reader) Licenses {
	return Licenses{
		URL:          r.Text("licenses.url", 0, 1024),
		Credential:   r.Match("licenses.credential", whoseCredentials, "customer or service"),
		Items:        r.Text("licenses.items", 1, maxExpression),
		Next:         r.Text("licenses.next", 0, maxExpression),
		Parameter:    r.Text("licenses.page_parameter", 0, 100),
		NoneStatuses: readStatuses(r, "licenses.none_statuses"),
		EndStatuses:  readStatuses(r, "licenses.end_statuses"),
	}
}

func readStatuses(r *settings.Reader, key string) []int { return r.Numbers(key, 20, 200, 599) }
