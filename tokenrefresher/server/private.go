package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewPrivate returns the handler of the private listener.
//
//	GET /healthz  200 as long as the process serves
//	GET /readyz   200 if every registry has a usable token, else 503; one line for each
//	GET /metrics  Prometheus
func NewPrivate(registries []Registry, g prometheus.Gatherer) http.Handler {
	e := echo.New()
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", func(c echo.Context) error {
		status := http.StatusOK
		var body strings.Builder
		for _, r := range registries {
			state := "ok"
			if s := r.Status(); s.Unusable != nil {
				status = http.StatusServiceUnavailable
				state = "not ready: " + s.Unusable.Error()
				if s.Failure != nil {
					state += "; the last refresh failed: " + s.Failure.Error()
				}
			}
			_, _ = fmt.Fprintf(&body, "%s: %s\n", r.Name(), state)
		}
		return c.String(status, body.String())
	})
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(g, promhttp.HandlerOpts{})))
	return e
}
