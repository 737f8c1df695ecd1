package server

import (
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pullgate/pullgate/authsvc/decision"
)

// NewPrivate returns the handler of the private listener. It is a listener of
// its own so that no header or path can make the other one answer 200.
//
//	GET /healthz  200 as long as the process serves
//	GET /readyz   200 if there is a token that the registry would take, else 503 and why
//	GET /metrics  Prometheus
func NewPrivate(u decision.Upstream, g prometheus.Gatherer) http.Handler {
	e := echo.New()
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", func(c echo.Context) error {
		if _, err := u.Current(); err != nil {
			return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		}
		return c.String(http.StatusOK, "ok\n")
	})
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(g, promhttp.HandlerOpts{})))
	return e
}

func tokenSeconds(u decision.Upstream) float64 {
	token, err := u.Current()
	switch {
	case err != nil:
		return 0
	case token.ExpiresAt.IsZero():
		return math.Inf(1)
	}
	return time.Until(token.ExpiresAt).Seconds()
}
