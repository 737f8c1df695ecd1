package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// NewPrivate returns the handler of the private listener. The listener is separate
// so that no header or path can make the other one answer 200. authsvc is ready if
// it has a usable token for at least one registry, or needs none. What else is wrong is in the
// body alone: known customers are served, and a balancer that took this machine out would help
// nobody.
func NewPrivate(registries Registries, g prometheus.Gatherer, troubles func() []string) http.Handler {
	return listen.NewPrivate(g, func() (string, bool) {
		body, ready := "ok\n", true
		if err := registries.Ready(); err != nil {
			body, ready = "not ready: "+err.Error()+"\n", false
		}
		for _, text := range troubles() {
			body += "degraded: " + text + "\n"
		}
		return body, ready
	})
}
