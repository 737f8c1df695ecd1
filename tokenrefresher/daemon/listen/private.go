package listen

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewPrivate returns the handler of a program's private listener.
//
//	GET /healthz  200 as long as the process serves
//	GET /readyz   200 if it is ready, else 503; the body says more
//	GET /metrics  Prometheus
func NewPrivate(g prometheus.Gatherer, ready func() (body string, ok bool)) http.Handler {
	e := echo.New()
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", func(c echo.Context) error {
		body, ok := ready()
		if !ok {
			return c.String(http.StatusServiceUnavailable, body)
		}
		return c.String(http.StatusOK, body)
	})
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(g, promhttp.HandlerOpts{})))
	return e
}
