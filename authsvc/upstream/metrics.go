package upstream

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// otherStatus is the label of a failure that is neither 502 nor 504.
const otherStatus = "other"

// numbers are a registry's counters.
type numbers struct {
	failures  *prometheus.CounterVec
	forwarded map[bool]prometheus.Counter // whether as a stand-by
	notShown  prometheus.Counter
	// perMinute bounds the log: each request of an outage brings a report.
	perMinute rate.Sometimes
}

func newNumbers() numbers {
	forwarded := func(role string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "authsvc_upstream_forwarded_total",
			Help:        "Allowed requests by the registry that nginx was to forward them to, and its role: first, or standby where it stands in for another.",
			ConstLabels: prometheus.Labels{"role": role},
		})
	}
	return numbers{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsvc_nginx_registry_failures_total",
			Help: "Allowed requests that nginx could not forward to the registry, by status: 502 (no connection, no address, " +
				"a certificate that is not trusted), 504 (no answer in time), other (the registry answered with a server error). " +
				"The registry's stand-by may have served them.",
		}, []string{"status"}),
		forwarded: map[bool]prometheus.Counter{false: forwarded("first"), true: forwarded("standby")},
		notShown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authsvc_upstream_standby_refused_total",
			Help: "Requests that the registry could not serve in place of one that fails, since that had not shown the content.",
		}),
		perMinute: rate.Sometimes{Interval: time.Minute},
	}
}

// NoteForwarded counts a request that nginx is to forward to the registry; standby says
// whether in place of another.
func (u *Upstream) NoteForwarded(standby bool) { u.numbers.forwarded[standby].Inc() }

// NoteNotShown counts a request that it could not serve in place of another.
func (u *Upstream) NoteNotShown() { u.numbers.notShown.Inc() }

// noteFailure counts what nginx reports, which has no metrics of its own. It returns
// the status as it may be shown.
func (u *Upstream) noteFailure(status string) string {
	if status != "502" && status != "504" {
		status = otherStatus
	}
	u.numbers.failures.WithLabelValues(status).Inc()
	u.numbers.perMinute.Do(func() { u.logger.Warn("nginx cannot reach the registry", "status", status) })
	return status
}

// Register registers the metrics of all registries with r.
func (r *Routes) Register(to prometheus.Registerer) {
	for _, u := range r.upstreams {
		u.register(prometheus.WrapRegistererWith(prometheus.Labels{"upstream": u.name}, to))
	}
}

func (u *Upstream) register(to prometheus.Registerer) {
	for _, status := range []string{"502", "504", otherStatus} {
		u.numbers.failures.WithLabelValues(status) // start at 0, so that the first one is an increase
	}
	to.MustRegister(u.numbers.failures, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authsvc_upstream_token_expiry_timestamp_seconds",
		Help: "When the registry's token expires; +Inf for never, 0 if there is no usable token.",
	}, u.tokenExpiry))
	if u.isFirst {
		to.MustRegister(u.numbers.forwarded[false])
	}
	if u.isStandby {
		to.MustRegister(u.numbers.forwarded[true], u.numbers.notShown)
	}
	if u.hasStandby {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsvc_upstream_on_standby",
			Help: "1 while the registry fails, or has no usable token, and its stand-by serves what is known; else 0.",
		}, u.onStandby))
	}
}

func (u *Upstream) tokenExpiry() float64 {
	token, err := u.Current()
	switch {
	case err != nil:
		return 0
	case token.ExpiresAt.IsZero():
		return math.Inf(1)
	}
	return float64(token.ExpiresAt.UnixMilli()) / 1000
}

// onStandby says whether requests go to its stand-by.
func (u *Upstream) onStandby() float64 {
	if _, err := u.Current(); err != nil || !u.Serves() {
		return 1
	}
	return 0
}
