package front

import (
	"fmt"
	"strings"

	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// A span is a header Range with one part: bytes=FIRST-LAST, bytes=FIRST-, or
// bytes=-SUFFIX.
type span struct {
	first, last int64 // last is -1 for the end
	suffix      int64 // -1 if there is a first
}

// parseRange reads a header Range. It returns nil for one that may be ignored (RFC
// 9110, section 14.2): several parts, another unit, or none that is valid.
func parseRange(header string) *span {
	set, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return nil
	}
	first, last, ok := strings.Cut(set, "-")
	if !ok {
		return nil
	}
	s := span{last: -1, suffix: -1}
	if first == "" {
		s.suffix, ok = origin.ParseSize(last)
		if !ok {
			return nil
		}
		return &s
	}
	if s.first, ok = origin.ParseSize(first); !ok {
		return nil
	}
	if last != "" {
		if s.last, ok = origin.ParseSize(last); !ok || s.last < s.first {
			return nil
		}
	}
	return &s
}

// String returns the header.
func (s span) String() string {
	switch {
	case s.suffix >= 0:
		return fmt.Sprintf("bytes=-%d", s.suffix)
	case s.last >= 0:
		return fmt.Sprintf("bytes=%d-%d", s.first, s.last)
	}
	return fmt.Sprintf("bytes=%d-", s.first)
}

// of returns the part of an object of a size; false if there is none.
func (s span) of(size int64) (origin.Part, bool) {
	p := origin.Part{First: s.first, Last: size - 1, Size: size}
	if s.suffix >= 0 {
		p.First = max(0, size-s.suffix)
	} else if s.last >= 0 {
		p.Last = min(s.last, size-1)
	}
	return p, p.First <= p.Last && s.suffix != 0
}

// starts says whether the part is at the beginning. Then a fetch of the whole
// object reaches it at once.
func (s *span) starts() bool { return s == nil || s.first == 0 && s.suffix < 0 }
