package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/decision"
)

// DecisionLine is the message of the log line that each decision has. Such lines
// are never folded: whoever audits needs all of them.
const DecisionLine = "decision"

// LogText is how a line shows what a client chose: printable ASCII, 255 bytes at
// most.
func LogText(s string) string { return headerText(s) }

// record logs and counts a decision. README.md has a table of the fields.
func (s *Server) record(h http.Header, o decision.Outcome) {
	if !o.Probe {
		s.metrics.observe(o)
	}
	level := slog.LevelInfo
	if o.Word() == decision.Outage {
		level = slog.LevelError
	}
	ctx := context.Background()
	if !s.logger.Enabled(ctx, level) {
		return
	}
	// Call the handler directly: the logger would look up this source line for
	// every decision.
	line := slog.NewRecord(time.Now(), level, DecisionLine, 0)
	line.AddAttrs(attributes(h, o)...)
	_ = s.logger.Handler().Handle(ctx, line) // there is nobody to tell
}

// attributes are a line's fields.
func attributes(h http.Header, o decision.Outcome) []slog.Attr {
	all := append(make([]slog.Attr, 0, 20),
		slog.String("request_id", headerText(h.Get(headerRequestID))),
		slog.String("client", headerText(h.Get(headerRealIP))),
		slog.String("subject", headerText(o.Subject.Name)),
		slog.String("license", o.License),
		slog.String("method", headerText(h.Get(headerOriginalMethod))),
		slog.String("kind", o.Request.Kind.String()),
		slog.String("repository", o.Request.Repository),
		slog.String("reference", o.Request.Reference.String()),
		slog.String("tag", o.Tag),
		slog.String("user_agent", headerText(h.Get(headerUserAgent))),
		slog.String("traceparent", auth.ParseTraceparent(h.Get(auth.HeaderTraceparent))),
		slog.String("decision", o.Word()),
		slog.String("cache", string(o.Cache)),
		slog.Float64("duration_ms", float64(o.Duration.Microseconds())/1000),
		slog.String("reason", o.Reason()),
	)
	if o.Subject.Unverified != "" {
		all = append(all, slog.String("unverified_user", headerText(o.Subject.Unverified)))
	}
	if o.Purpose != "" {
		all = append(all, slog.String("purpose", string(o.Purpose)))
	}
	if o.Upstream != nil {
		all = append(all, slog.String("upstream", o.Upstream.Name()))
	}
	if o.Standby {
		all = append(all, slog.Bool("standby", true))
	}
	if o.Stale {
		all = append(all, slog.Bool("stale", true))
	}
	if o.Probe {
		all = append(all, slog.Bool("probe", true))
	}
	return all
}
