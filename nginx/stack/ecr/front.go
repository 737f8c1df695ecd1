package ecr

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// route matches the Distribution API's paths, by the specification's grammar, in
// the request target as sent. Any other path is not found.
var route = regexp.MustCompile(`^/v2/(?:([a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)/(manifests|blobs|tags|referrers)/([^/]+)|(_catalog)|)$`)

// serveFront is the registry.
func (s *Server) serveFront(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("Server", "AmazonECR")
	h.Set("X-Amzn-Requestid", requestID())
	if !s.addressed(r) {
		writeText(w, http.StatusMisdirectedRequest, "text/plain; charset=utf-8", "Misdirected Request\n")
		return
	}
	switch s.tokens.judge(r.Header.Get("Authorization")) {
	case malformed:
		s.unauthorized(w)
		return
	case expired:
		s.rejectExpired(w)
		return
	case good:
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	m := route.FindStringSubmatch(path)
	switch {
	case m == nil:
		writeText(w, http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n")
	case m[4] != "":
		// Reports about _catalog conflict, so nothing may depend on it.
		writeError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		writeError(w, http.StatusForbidden, "DENIED", s.denial(writeAction(m[2]), m[1]))
	case m[1] == "":
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	default:
		s.serveRepository(w, r, m[1], m[2], m[3])
	}
}

// addressed reports whether the request is for this registry: its host name with
// SNI, or (unlike the original) the front's address without SNI.
func (s *Server) addressed(r *http.Request) bool {
	if r.TLS.ServerName == "" {
		return r.Host == s.Front.Addr()
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		name = host
	}
	return name == s.host
}

func (s *Server) serveRepository(w http.ResponseWriter, r *http.Request, repository, kind, reference string) {
	switch {
	case kind == "manifests":
		s.serveManifest(w, r, repository, reference)
	case kind == "blobs":
		s.serveBlob(w, r, repository, reference)
	case kind == "referrers":
		s.serveReferrers(w, r, repository, reference)
	case kind == "tags" && reference == "list":
		s.serveTags(w, r, repository)
	default:
		writeText(w, http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n")
	}
}

// unauthorized answers a missing or malformed token.
// keel-hq/keel, mdlavin/copy-docker-image #5: body "Not Authorized\n".
func (s *Server) unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm="https://%s/",service="ecr.amazonaws.com"`, s.host))
	writeText(w, http.StatusUnauthorized, "text/plain; charset=utf-8", "Not Authorized\n")
}

func (s *Server) rejectExpired(w http.ResponseWriter) {
	s.mu.Lock()
	how := s.rejection
	s.mu.Unlock()
	const text = "Your Authorization Token has expired. Please run 'aws ecr get-login --no-include-email' to fetch a new one."
	switch how {
	case Forbidden403Denied:
		writeError(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
	case Unauthorized401:
		s.unauthorized(w)
	case Forbidden403TextAsJSON:
		writeText(w, http.StatusForbidden, "application/json; charset=utf-8", text)
	default:
		writeText(w, http.StatusForbidden, "text/plain; charset=utf-8", text)
	}
}

// writeAction returns the permission that a write request would need.
func writeAction(kind string) string {
	if kind == "manifests" {
		return "ecr:PutImage"
	}
	return "ecr:InitiateLayerUpload"
}

// errorBody returns the Distribution API's error object with one error.
func errorBody(code, message string) string {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	text, err := json.Marshal(map[string][]one{"errors": {{code, message}}})
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeText(w, status, "application/json; charset=utf-8", errorBody(code, message))
}

func writeText(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
