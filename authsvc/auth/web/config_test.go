package web_test

import (
	"strings"
	"testing"

	"github.com/pullgate/pullgate/authsvc/auth"
)

var account = auth.Account{Subject: "7", User: "ann@acme.example"}

// TestConfiguration: each mistake is told at the start, by the name of the setting.
func TestConfiguration(t *testing.T) {
	const url = "url: https://api.example/check\n"
	const service = "service: {credential_file: /etc/authsvc/key}\n"
	tests := []struct{ config, want string }{
		{"", "url: expected the URL that checks a customer's credential, found nothing"},
		{"url: http://api.example/check", "url: expected https, found http"},
		{"url: https://ann:secret@api.example/", "url: expected a URL with a host, and without user"},
		{"url: https:///check", "url: expected a URL with a host"},
		{"url: '::'", "url: expected a URL such as"},
		{"url: 'https://api.example/#x'", "without user and fragment"},
		{"url: 'https://{user}.example/'", "url: expected"},
		{"url: 'https://api.example:{user}/'", "url: expected"},
		{"url: 'https://api.example/{name}'", "url: expected no braces but {user} and {subject}"},
		{"url: 'https://api.example/{user'", "url: expected no braces"},
		{"url: 'https://api.example/{subject}'", "found {subject}, which is known after the answer only"},
		{url + "method: DELETE", `method: expected GET, POST or PUT, found "DELETE"`},
		{url + "preset: ldap", `preset: expected docker_auth, introspection or nothing, found "ldap"`},
		{url + "credential: {as: digest}", "credential.as: expected basic, bearer, header, form or json"},
		{url + "credential: {as: header}", "credential.header: expected the name of a header"},
		{url + "credential: {as: header, header: 'X Key'}", "credential.header: expected the name of a header"},
		{url + "credential: {as: header, header: Host}", "credential.header: expected the name of a header"},
		{url + "credential: {as: form, secret_field: p}", "method: expected POST or PUT, because credential.as is form, found GET"},
		{url + "method: POST\ncredential: {as: json, user_field: u}", "credential.secret_field: expected the field for the secret"},
		{url + "method: POST\ncredential: {as: json, user_field: u, secret_field: u}", "credential.user_field: expected another field"},
		{url + service, "service.credential_file: expected service.to_url: true or licenses.credential: service"},
		{url + "service: {credential_file: /key, to_url: true}", "service.to_url: expected false, because the customer's credential is in the header Authorization"},
		{url + "service: {credential_file: key}", "service.credential_file: expected an absolute path"},
		{url + "service: {credential_file: /key, as: basic}", "service.user: expected the user without a colon"},
		{url + "service: {credential_file: /key, as: header}", "service.header: expected the name of a header"},
		{url + "refused: {statuses: 200}", "refused.if: expected what tells these answers from those of accepted, because both have status 200"},
		{url + "not_mine: {statuses: [401]}", "not_mine.if: expected what tells these answers from those of refused"},
		{url + "refused: {statuses: [401, no]}", "refused.statuses: expected a list of at most 20 whole numbers from 200 to 599"},
		{url + "refused: {statuses: 100}", "refused.statuses: expected a list"},
		{url + "accepted: {statuses: ''}", "accepted.statuses: expected at least one"},
		{url + "accepted: {if: '.['}", "accepted.if: expected a jq expression"},
		{url + "account: {ends: '$x'}", "account.ends: expected a jq expression"},
		{url + "account: {user: $user}", "account.user: expected a jq expression"},
		{url + "grants: '.['", "grants: expected a jq expression"},
		{url + "grants: .\nlicenses: {next: $user}", "licenses.next: expected a jq expression"},
		{url + "licenses: {url: https://api.example/licenses}", "grants: expected a jq expression, because licenses.url is set"},
		{url + "grants: .\nlicenses: {url: http://api.example/licenses}", "licenses.url: expected https"},
		{url + "grants: .\nlicenses: {url: 'https://api.example/{user}'}", "account.user: expected a jq expression, because licenses.url names {user}"},
		{url + "grants: .\nlicenses: {url: 'https://api.example/{subject}'}", "account.subject: expected a jq expression, because licenses.url names {subject}"},
		{url + "grants: .\nlicenses: {url: https://api.example/x, credential: mine}", "licenses.credential: expected customer or service"},
		{url + service + "grants: .\nlicenses: {url: https://api.example/x, credential: service}", "licenses.url: expected {user} or {subject}"},
		{url + "grants: .\nmethod: POST\ncredential: {as: form, secret_field: p}\nlicenses: {url: https://api.example/x}", "licenses.credential: expected service"},
		{"grants: .\nlicenses: {url: 'https://api.example/{user}'}", "url: expected the URL that checks"},
		{service + "licenses: {url: 'https://api.example/{user}', credential: service}", "grants: expected a jq expression"},
		{url + "grants: .\nlicenses: {none_statuses: 200}", "licenses.none_statuses: expected another status than 200"},
		{url + "client_certificate: /etc/client.pem", "client_key: expected client_certificate and client_key together"},
		{url + "client_certificate: /does/not/exist\nclient_key: /does/not/exist", "client_certificate: open /does/not/exist"},
		{url + "ca_file: /does/not/exist", "ca_file: open /does/not/exist"},
		{url + "timeout: 5", "timeout: expected a duration"},
		{url + "max_bytes: 0", "max_bytes: expected a whole number from 1024"},
		{url + "preset: introspection", "service.credential_file: expected the file with the secret of authsvc's client"},
		{url + "passwd: x", "unknown key passwd"},
	}
	for _, test := range tests {
		if _, err := read(t, nil, test.config, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %v\nwant %s", test.config, err, test.want)
		}
	}
}

// TestUses: what a source can be used for.
func TestUses(t *testing.T) {
	const byService = "licenses: {url: 'https://api.example/{user}', credential: service}\ngrants: .\nservice: {credential_file: /etc/authsvc/key}\n"
	tests := []struct {
		config                   string
		source, licensed, grants bool
	}{
		{"url: https://api.example/check", true, false, false},
		{"url: http://127.0.0.1:8080/check\ngrants: .", true, true, false},
		{"url: https://api.example/check\ngrants: .\nlicenses: {url: https://api.example/licenses}", true, true, false},
		{byService, false, false, true},
		{byService + "url: https://api.example/check\naccount: {user: .email}", true, true, true},
	}
	for _, test := range tests {
		made, err := read(t, nil, test.config, nil)
		if err != nil || (made.Source != nil) != test.source || made.Licensed != test.licensed || (made.Licenses != nil) != test.grants || made.Check == nil {
			t.Errorf("%s: %+v, %v", test.config, made, err)
		}
	}
}
