package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// newReport takes nginx's reports: a request was allowed, but the registry could not be
// reached.
func newReport(registries Registries) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Request().Header
		registries.Failed(h.Get(headerUpstreamTokenID), h.Get(headerUpstreamStatus))
		return c.NoContent(http.StatusNoContent) // 200 is for what is allowed
	}
}
