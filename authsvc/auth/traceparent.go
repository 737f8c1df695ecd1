package auth

import (
	"context"
	"regexp"
	"strings"
)

// HeaderTraceparent is the header with which a request carries its trace from one
// program to the next (W3C Trace Context, https://www.w3.org/TR/trace-context/).
const HeaderTraceparent = "Traceparent"

// traceparent is version 00 of the header's value: version, trace id, parent id,
// and flags, in lower-case hexadecimal.
var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)

// ParseTraceparent returns a header's value if it is exactly of version 00, with
// ids that are not zero; otherwise "".
func ParseTraceparent(text string) string {
	m := traceparent.FindStringSubmatch(text)
	if m == nil || strings.Trim(m[1], "0") == "" || strings.Trim(m[2], "0") == "" {
		return ""
	}
	return text
}

type traceparentKey struct{}

// WithTraceparent returns a context that carries a request's trace, as
// ParseTraceparent returned it; "" for none.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// Traceparent is the trace that a context carries; "" for none. A Source passes it
// on with its own requests. Callers who share a look-up share the first one's.
func Traceparent(ctx context.Context) string {
	text, _ := ctx.Value(traceparentKey{}).(string)
	return text
}
