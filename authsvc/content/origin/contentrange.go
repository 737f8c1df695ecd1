package origin

import (
	"strconv"
	"strings"
)

// A Part is a part of a body: the bytes First to Last of Size.
type Part struct{ First, Last, Size int64 }

// Length is how many bytes a part has.
func (p Part) Length() int64 { return p.Last - p.First + 1 }

// ParseContentRange parses the header Content-Range of a 206 (RFC 9110, section
// 14.4). The size must be known.
func ParseContentRange(s string) (Part, bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return Part{}, false
	}
	bounds, size, _ := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(bounds, "-")
	var p Part
	for _, field := range []struct {
		text string
		to   *int64
	}{{first, &p.First}, {last, &p.Last}, {size, &p.Size}} {
		n, ok := ParseSize(field.text)
		if !ok {
			return Part{}, false
		}
		*field.to = n
	}
	return p, p.First <= p.Last && p.Last < p.Size
}

// ParseSize parses digits, without a sign or anything else.
func ParseSize(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
