// Package server answers nginx. It reads the question from a request's headers,
// lets package decision decide, and writes the answer into headers. headers.go has
// their names, which no other package knows; nginx/README.md has the contract.
// private.go serves health and metrics on a separate listener.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
)

// Options configure a Server.
type Options struct {
	Decider Decider
	// Registries are looked at for a health check, and told of failures.
	Registries Registries
	// Realm is the registry's name in the password prompt.
	Realm string
	// MaxRequests bounds the concurrent requests. Any more fail immediately as
	// an outage, instead of waiting until nginx gives up.
	MaxRequests int
	Logger      *slog.Logger
	Metrics     *Metrics
}

// Registries are those behind nginx. *upstream.Routes implements it.
type Registries interface {
	// Ready returns nil if at least one has a usable token, or none is needed.
	Ready() error
	// Failed notes that nginx could not get an answer from the one that a token
	// belongs to. status is nginx's.
	Failed(tokenID, status string)
}

// A Decider decides. *decision.Decider implements it.
type Decider interface {
	Forward(context.Context, decision.Question, decision.Trace) decision.Outcome
	Serve(context.Context, decision.Question, decision.Trace) decision.Outcome
	Fetch(context.Context, decision.Question, decision.Trace) decision.Outcome
	List(context.Context, decision.Question, decision.Trace) decision.Outcome
}

// A Server answers nginx.
type Server struct {
	challenge string
	places    chan struct{}
	logger    *slog.Logger
	metrics   *Metrics
}

// New returns the handler for nginx's requests:
//
//	GET /authorize  may this request be forwarded? For auth_request.
//	GET /serve      may the content store's file be served? For auth_request.
//	GET /fetch      may the content store fetch it? For auth_request.
//	GET /list       the tags of a repository, or the repositories.
//	GET /report     nginx could not reach the registry. Decides nothing.
//	GET /health     can this machine serve? For balancers, through nginx.
func New(o Options) http.Handler {
	s := &Server{
		challenge: `Basic realm="` + o.Realm + `", charset="UTF-8"`,
		places:    make(chan struct{}, o.MaxRequests),
		logger:    o.Logger,
		metrics:   o.Metrics,
	}
	o.Metrics.maxInFlight.Set(float64(o.MaxRequests))
	e := echo.New()
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: s.logPanic}))
	e.HTTPErrorHandler = s.handleError
	e.GET("/authorize", s.handle(o.Decider.Forward, s.respond))
	e.GET("/serve", s.handle(o.Decider.Serve, s.respond))
	e.GET("/fetch", s.handle(o.Decider.Fetch, s.respond))
	e.GET("/list", s.handle(o.Decider.List, s.respondList))
	e.GET("/report", newReport(o.Registries))
	e.GET("/health", newHealth(o.Registries))
	return e
}

// decide is one of a Decider's ways to decide.
type decide func(context.Context, decision.Question, decision.Trace) decision.Outcome

var errOverloaded = errors.New("more concurrent requests than listen.max_requests")

// handle answers with a decision.
func (s *Server) handle(decide decide, respond func(echo.Context, decision.Outcome) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		var o decision.Outcome
		select {
		case s.places <- struct{}{}:
			s.metrics.inFlight.Inc()
			defer func() { <-s.places; s.metrics.inFlight.Dec() }()
			h := c.Request().Header
			ctx := auth.WithTraceparent(c.Request().Context(), auth.ParseTraceparent(h.Get(auth.HeaderTraceparent)))
			o = decide(ctx, question(h), nil)
		default:
			o.Err = errOverloaded
		}
		s.record(c.Request().Header, o)
		return respond(c, o)
	}
}

// question reads nginx's question.
func question(h http.Header) decision.Question {
	address, _ := netip.ParseAddr(h.Get(headerRealIP)) // a unix socket has none
	q := decision.Question{
		Method:        h.Get(headerOriginalMethod),
		URI:           h.Get(headerOriginalURI),
		Authorization: h[echo.HeaderAuthorization],
		Address:       address.Unmap(),
		Retry:         h.Get(headerUpstreamRejected) != "",
		Failed:        h.Get(headerUpstreamStatus),
		TokenID:       h.Get(headerUpstreamTokenID),
	}
	if q.Retry {
		q.TokenID = h.Get(headerRejectedToken)
	}
	return q
}

// handleError answers unknown paths and panics. nginx would turn an auth
// endpoint's 404 or 500 into a 500. This answer differs from a refusal, and never
// allows anything.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if err := s.respond(c, decision.Outcome{Err: err}); err != nil {
		s.logger.Error("answering nginx failed", "error", err)
	}
}

func (s *Server) logPanic(_ echo.Context, err error, stack []byte) error {
	s.metrics.panics.Inc()
	s.logger.Error("panic", "error", err, "stack", string(stack))
	return err
}
