package main

import (
	"net/http"
	"sync/atomic"
)

// A plant is a hole that is made on purpose, to see that it is found.
type plant struct {
	name, about string
	// file, old and new change one of nginx's includes; a map goes before the others.
	file, old, new, variable string
	// judge changes authsvc's answers.
	judge func(*http.Response)
}

// plants are holes that others had, one for each thing that the oracle checks.
func plants() []plant {
	return []plant{
		{name: "forward-decoded", about: "nginx forwards the normalized path, not the one that authsvc judged", file: "parts/forward/to-registry.conf", old: "$registry_target$registry_forwarded", new: "$registry_target$planted",
			variable: `map "$registry_forwarded|$request_uri" $planted { volatile; "~^(?<planted_match>[^|]*)\|\k<planted_match>$" $uri; default $registry_forwarded; }`},
		{name: "judge-part", about: "authsvc judges the target without parameters, query, or encoded part", file: "parts/ask/question.conf", old: "X-Original-URI    $request_uri", new: "X-Original-URI    $planted",
			variable: `map $request_uri $planted { volatile; "~^(?<planted_match>[^;?#%]*)" $planted_match; default ""; }`},
		{name: "believe-client", about: "authsvc judges the target in a header of the client's", file: "parts/ask/question.conf", old: "X-Original-URI    $request_uri", new: "X-Original-URI    $planted",
			variable: `map $http_x_original_uri $planted { volatile; "" $request_uri; default $http_x_original_uri; }`},
		{name: "forward-body", about: "nginx forwards bodies", file: "parts/guard/but-buffers.conf", old: "proxy_pass_request_body   off;\nproxy_set_body            \"\";", new: ""},
		{name: "forward-contract", about: "nginx forwards a header of the contract that the client sent", file: "parts/forward/request-headers.conf", old: "proxy_set_header X-Original-URI            \"\";", new: ""},
		{name: "show-token", about: "nginx shows the headers of authsvc's answer", file: "parts/forward/to-registry.conf", old: "add_header X-Content-Type-Options          nosniff always;", new: "add_header X-Copy $registry_authorization always;"},
		{name: "html", about: "nginx answers malformed requests with its own page", file: "dedicated.conf", old: "error_page 400 408 414", new: "error_page 408 414"},
		{name: "any-path", about: "nginx takes every path of the API's grammar from authsvc, whatever the client asks for", file: "parts/http/values.conf", old: `/\2\??$" $registry_match;`, new: `/[^|]*$" $registry_match;`},
		{name: "fall-back", about: "nginx forwards the client's own target where authsvc's path is malformed", file: "parts/http/values.conf", old: `\2\??$" $registry_match;` + "\n    default \"\";", new: `\2\??$" $registry_match;` + "\n    default $request_uri;"},
		{name: "separator", about: "a host can hold what separates it from the token and the path", file: "parts/http/values.conf", old: `"~^/[^|]*\|(?<registry_match>[a-z0-9.-]+(?::[0-9]+)?)\|[0-9A-Za-z.-]+$"`, new: `"~\|(?<registry_match>[a-z0-9.-]+(?::[0-9]+)?)\|[0-9A-Za-z.-]+\|?"`},
		{name: "inner-link", about: "nginx passes the registry's Link, with its name for the repository", file: "parts/forward/to-registry.conf", old: "$registry_link", new: "$upstream_http_link"},
		{name: "inner-location", about: "nginx passes the registry's redirect to itself", file: "parts/answer/locations.conf", old: "$registry_location", new: "$upstream_http_location"},
		{name: "stand-by-for-404", about: "nginx asks the stand-by for what the registry does not have", file: "parts/answer/error-pages.conf", old: "$registry_on_lack", new: "$registry_on_fail"},
		{name: "stand-by-by-tag", about: "authsvc lets the stand-by serve what a tag has there", judge: byTag},
		{name: "allow-all", about: "authsvc allows whatever it would refuse", judge: allowAll()}, //nolint:bodyclose // a function
	}
}

// byTag lets the stand-by serve one tag.
func byTag(r *http.Response) {
	if target := "/v2/" + licensed + "/manifests/1.0"; r.Header.Get("X-Ecr-Standby") == "serves" && r.Request.Header.Get("X-Original-Uri") == target {
		r.Header.Del("X-Ecr-Path")
	}
}

// allowAll turns refusals into allowances, with the token of an earlier one.
func allowAll() func(*http.Response) {
	var last atomic.Pointer[http.Header]
	return func(r *http.Response) {
		if r.StatusCode == http.StatusOK && r.Header.Get("X-Ecr-Authorization") != "" {
			header := r.Header.Clone()
			last.Store(&header)
		}
		if header := last.Load(); header != nil && r.StatusCode == http.StatusForbidden && r.Request.URL.Path == "/authorize" {
			r.StatusCode, r.Header = http.StatusOK, header.Clone()
		}
	}
}
