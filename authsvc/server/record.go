package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/registry"
)

// outcome is the decision in one word, for the log and the metric's label:
// allow, or the error's code in lower case; canceled if the client did not
// wait for it.
func (a answer) outcome() string {
	switch {
	case a.refusal == nil:
		return "allow"
	case errors.Is(a.cause, context.Canceled):
		return "canceled"
	}
	return strings.ToLower(string(a.refusal.Code))
}

// outage is the outcome that is somebody's fault, but not the customer's.
var outage = strings.ToLower(string(registry.Unavailable))

// record logs and counts a decision.
func (s *Server) record(q question, a answer) {
	s.metrics.observe(a)
	level := slog.LevelInfo
	if a.outcome() == outage {
		level = slog.LevelError
	}
	ctx := context.Background()
	if !s.logger.Enabled(ctx, level) {
		return
	}
	// By the handler itself: the logger would look up this line of the source
	// for every decision.
	line := slog.NewRecord(time.Now(), level, "decision", 0)
	line.AddAttrs(
		slog.String("request_id", q.requestID),
		slog.String("client", q.realIP),
		slog.String("subject", headerText(a.subject)),
		slog.String("license", a.license),
		slog.String("kind", a.request.Kind.String()),
		slog.String("repository", a.request.Repository),
		slog.String("reference", a.request.Reference.String()),
		slog.String("decision", a.outcome()),
		slog.String("cache", string(a.cache)),
		slog.Float64("duration_ms", float64(a.duration.Microseconds())/1000),
		slog.String("reason", a.reason()),
	)
	_ = s.logger.Handler().Handle(ctx, line) // there is nobody to tell
}

// reason is the operator's sentence: the cause where there is one that the
// customer is not shown, else the customer's.
func (a answer) reason() string {
	var shown *registry.Error
	switch {
	case a.refusal == nil:
		return ""
	case a.cause != nil && !errors.As(a.cause, &shown):
		return a.cause.Error()
	}
	return a.refusal.Message
}
