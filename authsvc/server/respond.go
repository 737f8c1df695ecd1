package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/labstack/echo/v4"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/authsvc/registry"
)

// maxMessage bounds an encoded message in a header, in bytes.
const maxMessage = 1 << 10

// respond answers nginx. auth_request knows three statuses (2xx, 401, 403) and
// turns every other into 500, so the status for the client travels in a header.
// nginx reuses the connection only if the body is empty.
func (s *Server) respond(c echo.Context, o decision.Outcome) error {
	h := c.Response().Header()
	set(h, headerSubject, headerText(o.Subject.String()))
	set(h, headerLicense, headerText(o.License))
	refusal := o.Answer()
	if refusal == nil && o.Object.Kind != registry.Invalid {
		h.Set(headerContent, o.Object.Kind.String()+" "+o.Object.Reference.Digest)
	}
	switch {
	case refusal != nil:
	case o.Token.Host == "": // nothing will be fetched with it
		return empty(c, http.StatusOK)
	default:
		values := o.Upstream.Values(o.Token)
		h[headerEcrAuthorization], h[headerEcrRegistry], h[headerEcrTokenID] = values.Authorization, values.Host, values.TokenID
		set(h, headerEcrPath, o.Path)
		set(h, headerEcrStandby, standby(o))
		return empty(c, http.StatusOK)
	}
	h.Set(headerErrorCode, string(refusal.Code))
	h.Set(headerErrorMessage, jsonText(refusal.Message))
	if refusal.RetryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(refusal.RetryAfter))
	}
	if refusal.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, s.challenge)
		return empty(c, http.StatusUnauthorized)
	}
	h.Set(headerStatus, strconv.Itoa(refusal.Status))
	return empty(c, http.StatusForbidden)
}

// standby says whether another registry stands by for the outcome's, or whether it is
// itself the stand-by; empty for neither.
func standby(o decision.Outcome) string {
	switch {
	case o.Standby:
		return "serves"
	case o.Spare:
		return "ready"
	}
	return ""
}

// The bodies of lists (Distribution Specification 1.1, "Listing Tags";
// _catalog is the CNCF distribution registry's).
type (
	tagList struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	repositoryList struct {
		Repositories []string `json:"repositories"`
	}
)

// respondList answers with a list, which nginx passes on unchanged. Refusals go
// through respond: nginx writes their body.
func (s *Server) respondList(c echo.Context, o decision.Outcome) error {
	if !o.Allowed() {
		return s.respond(c, o)
	}
	h := c.Response().Header()
	set(h, headerSubject, headerText(o.Subject.String()))
	set(h, headerLicense, headerText(o.License))
	if o.Next != "" {
		h.Set(headerLink, "<"+o.Next+`>; rel="next"`)
	}
	h.Set(headerAPIVersion, "registry/2.0")
	if o.Request.Kind == registry.Catalog {
		return c.JSON(http.StatusOK, repositoryList{o.Page})
	}
	return c.JSON(http.StatusOK, tagList{o.Request.Repository, o.Page})
}

// noLength is the length of an empty body, shared by all answers.
var noLength = []string{"0"}

func empty(c echo.Context, status int) error {
	c.Response().Header()[echo.HeaderContentLength] = noLength
	return c.NoContent(status)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// jsonText escapes s to ASCII that fits between the quotes of a JSON string, which
// is where nginx puts it.
func jsonText(s string) string {
	var b strings.Builder
	for _, r := range s {
		unit := string(r)
		switch {
		case r == '"' || r == '\\':
			unit = `\` + unit
		case r < ' ' || r > '~':
			unit = ""
			for _, u := range utf16.AppendRune(nil, r) {
				unit += fmt.Sprintf(`\u%04x`, u)
			}
		}
		if b.Len()+len(unit) > maxMessage {
			break
		}
		b.WriteString(unit)
	}
	return b.String()
}

// headerText makes s fit for a header's value and a log: printable ASCII, 255
// bytes at most.
func headerText(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			s = strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return '?'
				}
				return r
			}, s)
			break
		}
	}
	return s[:min(len(s), 255)]
}
