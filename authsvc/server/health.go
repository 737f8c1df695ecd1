package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// noToken is the error code of a health check that fails for want of a token.
const noToken = "TOKEN"

// newHealth says whether this machine can serve pulls: 200, or 503 with a code that
// says why not. Strangers can ask, through nginx, so it answers from memory, waits
// for nothing, and is neither logged nor counted. It takes no place of
// listen.max_requests either: a machine that is busy should stay in the balancer.
func newHealth(registries Registries) echo.HandlerFunc {
	return func(c echo.Context) error {
		if registries.Ready() != nil {
			c.Response().Header().Set(headerErrorCode, noToken)
			return empty(c, http.StatusServiceUnavailable)
		}
		return empty(c, http.StatusOK)
	}
}
