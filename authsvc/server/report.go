package server

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// otherStatus is the label of a status that is neither 502 nor 504.
const otherStatus = "other"

// newReport counts nginx's reports: a request was allowed, but the registry
// could not be reached. nginx has no metrics of its own. Each request of an
// outage brings a report, so at most one a minute is logged.
func newReport(logger *slog.Logger, metrics *Metrics) echo.HandlerFunc {
	perMinute := rate.Sometimes{Interval: time.Minute}
	return func(c echo.Context) error {
		status := c.Request().Header.Get(headerUpstreamStatus)
		if status != "502" && status != "504" {
			status = otherStatus
		}
		metrics.failures.WithLabelValues(status).Inc()
		perMinute.Do(func() { logger.Warn("nginx cannot reach the registry", "status", status) })
		return c.NoContent(http.StatusNoContent) // 200 is for what is allowed
	}
}
