package credential

import (
	"fmt"
	"log/slog"
)

const redacted = "***"

// A Secret is text that prints as *** everywhere: fmt with any verb, JSON, YAML,
// slog, and a panic's message. Only Reveal returns the text, so every use is easy
// to find.
type Secret struct {
	// A pointer, so that even a printer that reflects into unexported fields
	// (fmt of a struct that holds a Secret, a panic's dump) shows an address.
	text *string
}

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text itself, for the one place that must send it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter, for the verbs that bypass String.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
