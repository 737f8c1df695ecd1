package remote

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/sony/gobreaker/v2"
)

const (
	// A breaker opens when so many requests have failed within breakerWindow,
	// and more than have not; then nothing is sent for breakerPause.
	breakerFailures = 10
	breakerWindow   = 10 * time.Second
	breakerPause    = 5 * time.Second
)

// breaker stops sending requests to a failing registry, so that callers fail at
// once instead of waiting.
type breaker struct {
	next    http.RoundTripper
	breaker *gobreaker.TwoStepCircuitBreaker[any]
}

func newBreaker(next http.RoundTripper) *breaker {
	return &breaker{next, gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Interval: breakerWindow,
		Timeout:  breakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return n.TotalFailures >= breakerFailures && n.TotalFailures > n.TotalSuccesses
		},
	})}
}

var (
	errOpen   = errors.New("the registry failed too often; pausing requests to it briefly")
	errServer = errors.New("the registry answered with a server error")
)

// RoundTrip implements http.RoundTripper. A failure is no answer, or a status
// of 500 and above but for 503, which is paused's.
func (b *breaker) RoundTrip(r *http.Request) (*http.Response, error) {
	done, err := b.breaker.Allow()
	if err != nil {
		return nil, errOpen
	}
	response, err := b.next.RoundTrip(r)
	failure := err
	if errors.Is(err, context.Canceled) || errors.Is(err, release.ErrRefused) {
		failure = nil // whoever asked has left, or the registry did answer
	}
	if err == nil && response.StatusCode >= 500 && response.StatusCode != http.StatusServiceUnavailable {
		failure = errServer
	}
	done(failure)
	return response, err
}

// open says whether nothing is sent.
func (b *breaker) open() bool { return b.breaker.State() == gobreaker.StateOpen }

func (b *breaker) metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authsvc_registry_breaker_open",
		Help: "1 while authsvc does not ask the registry about releases because it failed too often, else 0.",
	}, func() float64 {
		if b.open() {
			return 1
		}
		return 0
	})
}
