package tokenfile

import (
	"fmt"
	"log/slog"
)

const redacted = "***"

// A Value is the base64 of user:password. It prints as *** everywhere: fmt with
// any verb, JSON, YAML, slog, and a panic's message. Only Token.Authorization
// returns the text.
type Value struct {
	// A pointer, so that a printer that reflects into unexported fields (fmt
	// of a struct that holds a Value) shows an address.
	text *string
}

// NewValue wraps the base64 of user:password. It is checked when a Token is
// written or read, not here.
func NewValue(base64 string) Value { return Value{&base64} }

func (v Value) reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// String implements fmt.Stringer.
func (Value) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Value) GoString() string { return redacted }

// Format implements fmt.Formatter, for the verbs that bypass String.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }
