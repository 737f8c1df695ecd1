package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// A reader reads values by key, and collects what is wrong with them, so that
// one run shows every mistake.
type reader struct {
	values   *viper.Viper
	problems []error
}

func (r *reader) wrong(key, expected string) {
	r.problems = append(r.problems, fmt.Errorf("%s: expected %s, found %#v", key, expected, r.values.Get(key)))
}

// text reads a string of min to max bytes.
func (r *reader) text(key string, min, max int) string {
	s, ok := r.values.Get(key).(string)
	if !ok || len(s) < min || len(s) > max {
		r.wrong(key, fmt.Sprintf("text of %d to %d bytes", min, max))
	}
	return s
}

// quotable reads text that stands in an HTTP quoted-string as it is.
func (r *reader) quotable(key string, min, max int) string {
	s := r.text(key, min, max)
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		r.wrong(key, `printable ASCII without " and \`)
	}
	return s
}

func (r *reader) path(key string) string {
	s, _ := r.values.Get(key).(string)
	if !filepath.IsAbs(s) {
		r.wrong(key, "an absolute path")
	}
	return s
}

func (r *reader) optionalPath(key string) string {
	if r.values.Get(key) == "" {
		return ""
	}
	return r.path(key)
}

// address reads SCHEME:REST with one of schemes; the scheme "" stands for a
// plain HOST:PORT.
func (r *reader) address(key string, schemes ...string) string {
	s, _ := r.values.Get(key).(string)
	scheme, rest, _ := strings.Cut(s, ":")
	if !slices.Contains([]string{"unix", "tcp", "systemd"}, scheme) {
		scheme, rest = "", s
	}
	valid := slices.Contains(schemes, scheme)
	switch scheme {
	case "unix":
		valid = valid && filepath.IsAbs(rest)
	case "systemd":
		valid = valid && rest != ""
	default:
		_, port, found := strings.Cut(rest[strings.LastIndex(rest, "]")+1:], ":")
		_, err := strconv.ParseUint(port, 10, 16)
		valid = valid && found && err == nil
	}
	if !valid {
		forms := map[string]string{"unix": "unix:/PATH", "tcp": "tcp:HOST:PORT", "systemd": "systemd:NAME", "": "HOST:PORT"}
		var expected []string
		for _, scheme := range schemes {
			expected = append(expected, forms[scheme])
		}
		r.wrong(key, strings.Join(expected, " or "))
	}
	return s
}

func (r *reader) optionalAddress(key string, schemes ...string) string {
	if r.values.Get(key) == "" {
		return ""
	}
	return r.address(key, schemes...)
}

// mode reads an octal file mode in a string; YAML's own 0660 is a decimal
// number by the time it arrives here.
func (r *reader) mode(key string) os.FileMode {
	s, _ := r.values.Get(key).(string)
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil || mode > 0o777 {
		r.wrong(key, `an octal mode in quotes such as "0660"`)
	}
	return os.FileMode(mode)
}

// duration reads a time with its unit. A bare number is refused: nobody
// agrees on what its unit would be.
func (r *reader) duration(key string, min, max time.Duration) time.Duration {
	s, _ := r.values.Get(key).(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < min || d > max {
		r.wrong(key, fmt.Sprintf("a duration with its unit such as 30s, from %v to %v", min, max))
	}
	return d
}

// number reads a whole number, in digits where it comes from the environment
// or a flag.
func (r *reader) number(key string, min, max int) int {
	var n int
	var err error
	switch value := r.values.Get(key).(type) {
	case int:
		n = value
	case string:
		n, err = strconv.Atoi(value)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || n < min || n > max {
		r.wrong(key, fmt.Sprintf("a whole number from %d to %d", min, max))
	}
	return n
}

func (r *reader) boolean(key string) bool {
	switch r.values.Get(key) {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	r.wrong(key, "true or false")
	return false
}

func (r *reader) level(key string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	s, _ := r.values.Get(key).(string)
	level, ok := levels[s]
	if !ok {
		r.wrong(key, "debug, info, warn or error")
	}
	return level
}
