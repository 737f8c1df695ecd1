// Package registry parses the read side of the Distribution API (OCI Distribution
// Specification 1.1, https://github.com/opencontainers/distribution-spec): its
// requests (request.go, grammar.go), pages of lists (page.go), and errors
// (refusal.go).
//
// The grammar has quirks that decide how it is parsed. A repository's name may
// contain components that look like operations ("a/manifests/b", "tags"), so a path
// is read from its end, where the operation and the reference have a fixed place.
// What a proxy would normalize ("%2e", "..", "//") is not in the grammar at all, so
// it is refused instead of normalized: what is authorized is, byte for byte, what
// is forwarded.
package registry

import (
	"net/http"
	"strings"
)

// MaxURI is the longest accepted request target, in bytes.
const MaxURI = 4 << 10

// A Kind is what a Request asks for.
type Kind int

// The kinds of request.
const (
	Invalid   Kind = iota // not of the API
	Ping                  // GET /v2/
	Catalog               // GET /v2/_catalog
	Tags                  // GET /v2/<name>/tags/list
	Manifest              // GET /v2/<name>/manifests/<reference>
	Blob                  // GET /v2/<name>/blobs/<digest>
	Referrers             // GET /v2/<name>/referrers/<digest>
)

// String names the kind, for a log or a metric's label.
func (k Kind) String() string {
	return [...]string{"invalid", "ping", "catalog", "tags", "manifest", "blob", "referrers"}[k]
}

// A Request is a parsed request of the read side.
type Request struct {
	Kind Kind
	// Repository is empty for Ping and Catalog.
	Repository string
	// Reference is a tag or a digest for Manifest, a digest for Blob and
	// Referrers.
	Reference Reference
	// Query is the checked, raw query, without the question mark.
	Query string
}

// Parse parses a request's method and its target exactly as the client sent
// it (nginx: $request_uri). It refuses with 405 for a method other
// than GET and HEAD, 404 for a path that the API does not have, and 400 for
// one whose name, tag, digest or query is malformed.
func Parse(method, uri string) (Request, *Refusal) {
	if method != http.MethodGet && method != http.MethodHead {
		return Request{}, &Refusal{Status: http.StatusMethodNotAllowed, Code: Unsupported,
			Message: "this registry is read-only: you can pull, but not push or delete"}
	}
	if len(uri) > MaxURI {
		return Request{}, malformed(NameInvalid, "the request's path is too long")
	}
	path, query, hasQuery := strings.Cut(uri, "?")
	request, refusal := parsePath(path)
	if refusal != nil {
		return Request{}, refusal
	}
	if hasQuery {
		if refusal := checkQuery(query); refusal != nil {
			return Request{}, refusal
		}
	}
	request.Query = query
	return request, nil
}

func parsePath(path string) (Request, *Refusal) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return Request{}, RefusePath()
	}
	switch rest {
	case "":
		return Request{Kind: Ping}, nil
	case "_catalog":
		return Request{Kind: Catalog}, nil
	}
	rest, last := cutLast(rest)
	name, operation := cutLast(rest)
	kind, ok := operations[operation]
	if !ok || kind == Tags && last != "list" {
		return Request{}, RefusePath()
	}
	if !ValidName(name) {
		return Request{}, malformed(NameInvalid, "the repository's name is not valid: "+
			"lower case letters, digits and single separators, 255 characters at most")
	}
	if kind == Tags {
		return Request{Kind: Tags, Repository: name}, nil
	}
	reference, refusal := parseReference(last, kind == Manifest)
	if refusal != nil {
		return Request{}, refusal
	}
	return Request{Kind: kind, Repository: name, Reference: reference}, nil
}

// Path is the request's path and query. It is what was parsed, but for an empty query.
func (r Request) Path() string {
	path := "/v2/"
	switch r.Kind {
	case Catalog:
		path += "_catalog"
	case Tags:
		path += r.Repository + "/tags/list"
	case Manifest:
		path += r.Repository + "/manifests/" + r.Reference.String()
	case Blob:
		path += r.Repository + "/blobs/" + r.Reference.String()
	case Referrers:
		path += r.Repository + "/referrers/" + r.Reference.String()
	}
	if r.Query != "" {
		path += "?" + r.Query
	}
	return path
}

var operations = map[string]Kind{
	"tags":      Tags,
	"manifests": Manifest,
	"blobs":     Blob,
	"referrers": Referrers,
}

// cutLast cuts a path at its last slash.
func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
