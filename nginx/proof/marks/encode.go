package marks

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// A Form is one way in which a secret may be written.
type Form string

// forms are the ways, and how to write a text in each.
var forms = []struct {
	name  Form
	write func(text string) string
}{
	{"plain", func(s string) string { return s }},
	{"base64, alignment 0", aligned(base64.StdEncoding, 0)},
	{"base64, alignment 1", aligned(base64.StdEncoding, 1)},
	{"base64, alignment 2", aligned(base64.StdEncoding, 2)},
	{"base64 for URLs, alignment 0", aligned(base64.URLEncoding, 0)},
	{"base64 for URLs, alignment 1", aligned(base64.URLEncoding, 1)},
	{"base64 for URLs, alignment 2", aligned(base64.URLEncoding, 2)},
	{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"upper-case hex", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"URL query", url.QueryEscape},
	{"URL path", url.PathEscape},
	{"URL, lower-case escapes", func(s string) string { return lowerEscapes(url.QueryEscape(s)) }},
	{"JSON", jsonForm(false)},
	{"JSON, escaped for HTML", jsonForm(true)},
	{"nginx's escapes", nginxForm},
}

// piece is the number of bytes of a secret that count as a finding: short enough to
// find a secret that was cut off, long enough never to occur by chance (36^10).
const piece = 10

// mostPieces limits how many pieces of a long secret are searched for.
const mostPieces = 8

// pieces returns the parts of a secret that are searched for: all of a short one,
// and for a long one some that spread over it.
func pieces(value string) []string {
	n := min(mostPieces, (len(value)+piece-1)/piece)
	var parts []string
	for i := range n {
		start := 0
		if n > 1 {
			start = i * (len(value) - piece) / (n - 1)
		}
		parts = append(parts, value[start:start+piece])
	}
	return parts
}

// aligned writes the base64 characters that depend on s alone, when before bytes
// (modulo 3) precede it: not the first ones, which also depend on these bytes, and
// not the last one, which also depends on what follows.
func aligned(e *base64.Encoding, before int) func(string) string {
	return func(s string) string {
		text := e.EncodeToString([]byte(strings.Repeat("\x00", before) + s))
		first := (before*8 + 5) / 6
		last := (before + len(s)) * 8 / 6
		return text[first:last]
	}
}

func jsonForm(html bool) func(string) string {
	return func(s string) string {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if err := e.Encode(s); err != nil {
			panic(err) // a string always has a JSON form
		}
		return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
	}
}

// nginxForm is how nginx's access log escapes by default.
// https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
func nginxForm(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(string(b[i+1:i+3])))
			i += 2
		}
	}
	return string(b)
}
