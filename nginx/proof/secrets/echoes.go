package main

import (
	"fmt"
	"net/http"

	"github.com/pullgate/pullgate/nginx/stack/standin"
)

// echoes are the ways in which something behind nginx repeats the Authorization that
// it was sent, or fails otherwise.
func echoes() map[string]standin.Fault {
	json := http.Header{"Content-Type": {"application/json"}}
	return map[string]standin.Fault{
		"500 with the credential":              {Status: 500, Body: "<html>" + standin.Echo + "</html>", Header: http.Header{"X-Debug": {standin.Echo}}},
		"401 with the credential":              {Status: 401, Body: `{"message":"` + standin.Echo + `"}`, Header: http.Header{"Content-Type": {"application/json"}, "Www-Authenticate": {`Basic realm="` + standin.Echo + `"`}}},
		"401 that asks for a token elsewhere":  {Status: 401, Header: http.Header{"Www-Authenticate": {`Bearer realm="https://127.0.0.1:1/` + standin.Echo + `",service="` + standin.Echo + `"`}}},
		"403 as the registry's JSON":           {Status: 403, Body: `{"errors":[{"code":"DENIED","message":"` + standin.Echo + `","detail":"` + standin.Echo + `"}]}`, Header: json},
		"403 as the vendor's JSON":             {Status: 403, Body: `{"status_code":403,"error_code":"` + standin.Echo + `","message":"` + standin.Echo + `","id":"1"}`, Header: json},
		"404 with the credential":              {Status: 404, Body: standin.Echo},
		"429 with the credential":              {Status: 429, Body: standin.Echo, Header: http.Header{"Retry-After": {standin.Echo}}},
		"a redirect with the credential":       {Status: 302, Header: http.Header{"Location": {"https://127.0.0.1:1/?token=" + standin.Echo}}},
		"a redirect to no URL":                 {Status: 307, Header: http.Header{"Location": {"https://%zz/" + standin.Echo}}},
		"200 with the credential and no JSON":  {Status: 200, Body: standin.Echo, Header: json},
		"200 with the credential in a field":   {Status: 200, Body: `{"objects":[{"id":"` + standin.Echo + `","active":"` + standin.Echo + `","expiration":null,"docker_releases":[]}]}`, Header: json},
		"200 with the credential as a time":    {Status: 200, Body: `{"objects":[{"id":"lic_1","active":true,"expiration":"` + standin.Echo + `","docker_releases":[{"repository":"acme/appliance","tags":["*"]}]}]}`, Header: json},
		"200 with the credential as a pattern": {Status: 200, Body: `{"objects":[{"id":"lic_1","active":true,"expiration":null,"docker_releases":[{"repository":"` + standin.Echo + `[","tags":["` + standin.Echo + `["]}]}]}`, Header: json},
		"200 with the credential as a page":    {Status: 200, Body: `{"objects":[],"next_page":"` + standin.Echo + `"}`, Header: json},
		"200 with another media type":          {Status: 200, Body: "{}", Header: http.Header{"Content-Type": {standin.Echo}, "Docker-Content-Digest": {standin.Echo}, "Etag": {standin.Echo}, "Link": {"<https://127.0.0.1:1/" + standin.Echo + `>; rel="next"`}}},
		"a reset connection":                   {Reset: true},
		"no answer":                            {Hang: true},
	}
}

// shortEchoes are those that a short run has.
var shortEchoes = []string{"500 with the credential", "401 with the credential", "a redirect with the credential", "200 with the credential in a field", "no answer"}

// faults calls do for each fault, in an order that the seed determines.
func (r *rig) faults(do func(what string, f standin.Fault) error) error {
	all := echoes()
	names := sortedKeys(all)
	if r.short {
		names = shortEchoes
	}
	r.order.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		if err := do(name, all[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
