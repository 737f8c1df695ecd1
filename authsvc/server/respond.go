package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/labstack/echo/v4"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/authsvc/upstream"
)

// maxMessage bounds a message in a header, in bytes as they stand there.
const maxMessage = 1 << 10

// respond answers nginx. auth_request knows three statuses (2xx, 401, 403) and
// makes 500 of every other, so the status for the client travels in a header;
// and the connection is only used again if the body is empty.
func (s *Server) respond(c echo.Context, a answer) error {
	h := c.Response().Header()
	set(h, headerSubject, headerText(a.subject))
	set(h, headerLicense, headerText(a.license))
	if a.refusal == nil {
		h.Set(headerEcrAuthorization, a.token.Authorization())
		h.Set(headerEcrRegistry, a.token.Host)
		h.Set(headerEcrTokenID, upstream.ID(a.token))
		return empty(c, http.StatusOK)
	}
	h.Set(headerErrorCode, string(a.refusal.Code))
	h.Set(headerErrorMessage, jsonText(a.refusal.Message))
	if a.refusal.RetryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(a.refusal.RetryAfter))
	}
	if a.refusal.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, s.challenge)
		return empty(c, http.StatusUnauthorized)
	}
	h.Set(headerStatus, strconv.Itoa(a.refusal.Status))
	return empty(c, http.StatusForbidden)
}

// respondWhole answers the client itself, through nginx, in the registry's
// own form (Distribution Specification 1.1, "Error Codes").
func (s *Server) respondWhole(c echo.Context, a answer) error {
	h := c.Response().Header()
	h.Set(headerAPIVersion, "registry/2.0")
	if a.refusal == nil {
		return c.JSONBlob(http.StatusOK, []byte("{}"))
	}
	if a.refusal.RetryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(a.refusal.RetryAfter))
	}
	if a.refusal.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, s.challenge)
	}
	return c.JSON(a.refusal.Status, errorBody(a.refusal))
}

// respondList answers with a list. A refusal is respond's: nginx words it.
func (s *Server) respondList(c echo.Context, a answer) error {
	if a.refusal != nil {
		return s.respond(c, a)
	}
	h := c.Response().Header()
	set(h, headerSubject, headerText(a.subject))
	set(h, headerLicense, headerText(a.license))
	set(h, headerLink, a.list.link)
	h.Set(headerAPIVersion, "registry/2.0")
	return c.JSON(http.StatusOK, a.list.body)
}

func empty(c echo.Context, status int) error {
	c.Response().Header().Set(echo.HeaderContentLength, "0")
	return c.NoContent(status)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

type errorEntry struct {
	Code    registry.Code `json:"code"`
	Message string        `json:"message"`
	Detail  any           `json:"detail"`
}

func errorBody(e *registry.Error) any {
	return struct {
		Errors []errorEntry `json:"errors"`
	}{[]errorEntry{{Code: e.Code, Message: e.Message}}}
}

// jsonText escapes s so that it is ASCII and can stand between the quotes of a
// JSON string, since that is where nginx puts it.
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
