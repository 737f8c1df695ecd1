package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// NewPrivate returns the handler of the private listener. It is ready if every
// registry has a usable token; /readyz has a line for each.
func NewPrivate(registries []Registry, g prometheus.Gatherer) http.Handler {
	return listen.NewPrivate(g, func() (string, bool) {
		ready := true
		var body strings.Builder
		for _, r := range registries {
			state := "ok"
			if s := r.Status(); s.Unusable != nil {
				ready = false
				state = "not ready: " + s.Unusable.Error()
				if s.Failure != nil {
					state += "; the last refresh failed: " + s.Failure.Error()
				}
			}
			_, _ = fmt.Fprintf(&body, "%s: %s\n", r.Name(), state)
		}
		return body.String(), ready
	})
}
