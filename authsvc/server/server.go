// Package server is what nginx asks: it reads the question out of a request's
// headers, decides, and writes the answer. It alone names headers.
package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/entitlement"
	"github.com/pullgate/pullgate/authsvc/registry"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// An Upstream has the Authorization of the registry behind nginx. An
// *upstream.Upstream is one.
type Upstream interface {
	// Current returns the token in force, or why there is none.
	Current() (tokenfile.Token, error)
	// Renew returns a token other than the rejected one, which it names by
	// its ID.
	Renew(ctx context.Context, rejected string) (tokenfile.Token, error)
}

// Options are what a Server is made of.
type Options struct {
	Authenticator auth.Authenticator
	Rules         *entitlement.Rules
	Upstream      Upstream
	// Realm names the registry when a password is asked for.
	Realm   string
	Logger  *slog.Logger
	Metrics *Metrics
}

// A Server answers nginx.
type Server struct {
	authenticator auth.Authenticator
	rules         *entitlement.Rules
	upstream      Upstream
	challenge     string
	logger        *slog.Logger
	metrics       *Metrics
}

// New returns the handler of the listener that nginx asks:
//
//	GET /authorize  may this request be served? For auth_request.
//	GET /v2/        the API's ping, answered whole.
//	GET /list       the tags of a repository, or the repositories.
func New(o Options) http.Handler {
	s := &Server{
		authenticator: o.Authenticator,
		rules:         o.Rules,
		upstream:      o.Upstream,
		challenge:     `Basic realm="` + o.Realm + `", charset="UTF-8"`,
		logger:        o.Logger,
		metrics:       o.Metrics,
	}
	e := echo.New()
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: s.logPanic}))
	e.HTTPErrorHandler = s.handleError
	e.GET("/authorize", s.authorize)
	e.GET("/v2/", s.ping)
	e.GET("/list", s.answerList)
	return e
}

// authorize answers auth_request.
func (s *Server) authorize(c echo.Context) error {
	q := ask(c.Request())
	a := decide(c.Request().Context(), q, s.serve)
	s.record(q, a)
	return s.respond(c, a)
}

// ping answers GET /v2/, by which docker login tries a credential and clients
// find out that the registry speaks version 2 of the API.
func (s *Server) ping(c echo.Context) error {
	q := ask(c.Request())
	a := decide(c.Request().Context(), q, s.greet)
	s.record(q, a)
	return s.respondWhole(c, a)
}

// greet lets in whoever serve would, for the ping alone: nginx routes by the
// normalised path, which may be another.
func (s *Server) greet(ctx context.Context, q question, a *answer) error {
	if err := s.serve(ctx, q, a); err != nil {
		return err
	}
	if a.request.Kind != registry.Ping {
		return errNoPath
	}
	return nil
}

// answerList answers a list, which nginx passes on as it is.
func (s *Server) answerList(c echo.Context) error {
	q := ask(c.Request())
	a := decide(c.Request().Context(), q, s.enumerate)
	s.record(q, a)
	return s.respondList(c, a)
}

// ask reads nginx's question.
func ask(r *http.Request) question {
	h := r.Header
	return question{
		method:        h.Get(headerOriginalMethod),
		uri:           h.Get(headerOriginalURI),
		authorization: h[echo.HeaderAuthorization],
		requestID:     headerText(h.Get(headerRequestID)),
		realIP:        headerText(h.Get(headerRealIP)),
		rejected:      h.Get(headerUpstreamRejected),
		rejectedToken: h.Get(headerRejectedToken),
	}
}

// handleError answers what no handler answered: a path that is not ours, and
// a panic. An auth endpoint's 404 or 500 would be nginx's 500; this is told
// apart from a refusal, and never an allowance.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	a := answer{refusal: errOutage, cause: err}
	if err := s.respond(c, a); err != nil {
		s.logger.Error("answering", "error", err)
	}
}

func (s *Server) logPanic(_ echo.Context, err error, stack []byte) error {
	s.logger.Error("panic", "error", err, "stack", string(stack))
	return err
}
