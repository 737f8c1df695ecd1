package auth

import (
	"strings"
	"unicode"
)

// maxReason bounds a source's reason, in characters.
const maxReason = 200

// CleanReason makes a source's text fit for the customer's terminal: one line of
// at most 200 characters, without control and formatting characters.
func CleanReason(text string) string {
	text = strings.ToValidUTF8(text, "�")
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r): // control characters, and those that reverse the text
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxReason {
		text = string(runes[:maxReason-1]) + "…"
	}
	return text
}
