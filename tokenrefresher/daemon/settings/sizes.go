package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units of a size, longest first, so that none is taken for the end of another.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// Size reads a size in bytes with its unit, such as 50GB or 1.5TiB. A bare number
// is refused, because its unit is ambiguous.
func (r *Reader) Size(key string, min, max int64) int64 {
	s, _ := r.Get(key).(string)
	n, ok := parseSize(s)
	if !ok || n < min || n > max {
		r.Wrong(key, fmt.Sprintf("a size with its unit such as 50GB, from %s to %s", FormatSize(min), FormatSize(max)))
		return 0
	}
	return n
}

func parseSize(s string) (int64, bool) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || strings.Trim(digits, "0123456789.") != "" || n*unit.bytes >= math.MaxInt64 {
			return 0, false
		}
		return int64(n * unit.bytes), true
	}
	return 0, false
}

// FormatSize shows a size in decimal units.
func FormatSize(n int64) string {
	for i := len(units) - 1; i >= 0; i-- {
		unit := units[i]
		if strings.HasSuffix(unit.name, "iB") {
			break
		}
		if float64(n) >= unit.bytes {
			return strconv.FormatFloat(math.Round(float64(n)/unit.bytes*10)/10, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
