package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/decision"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/listen"
)

// NewPrivate returns the handler of the private listener. The listener is separate
// so that no header or path can make the other one answer 200. authsvc is ready if
// it has a usable token.
func NewPrivate(u decision.Upstream, g prometheus.Gatherer) http.Handler {
	return listen.NewPrivate(g, func() (string, bool) {
		if _, err := u.Current(); err != nil {
			return "not ready: " + err.Error() + "\n", false
		}
		return "ok\n", true
	})
}
