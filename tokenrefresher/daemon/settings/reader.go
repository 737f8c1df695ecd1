package settings

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Reader reads values by key and collects their problems, so that one run shows
// every mistake. A wrong value still reads as some value; Err reports it.
type Reader struct {
	table    Table
	file     string
	prefix   string // of the keys in problems
	get      func(key string) any
	problems []error
}

// Get is the value of key as YAML has it, or the key's default if there is none:
// the key has no value, or its section is a plain value.
func (r *Reader) Get(key string) any {
	value := r.get(key)
	for _, s := range r.table {
		if value == nil && s.Key == key {
			return s.Default
		}
	}
	return value
}

// Default changes the defaults of keys, for those that have no value: another key
// names a preset.
func (r *Reader) Default(defaults map[string]any) {
	r.table = slices.Clone(r.table)
	for i, s := range r.table {
		if value, ok := defaults[s.Key]; ok {
			r.table[i].Default = value
		}
	}
}

// Wrong adds a problem: what was expected of key.
func (r *Reader) Wrong(key, expected string) {
	r.Add(fmt.Errorf("%s%s: expected %s, found %s", r.prefix, key, expected, Found(r.Get(key))))
}

// Add adds problems.
func (r *Reader) Add(problems ...error) { r.problems = append(r.problems, problems...) }

// Problems are those found so far.
func (r *Reader) Problems() []error { return r.problems }

// userinfo is where a URL may have a password (RFC 3986, section 3.2.1), which may
// contain what is not allowed there.
var userinfo = regexp.MustCompile(`//.*@`)

// Found shows a value for an error, in YAML's terms, and without a URL's password.
func Found(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("%.200q", userinfo.ReplaceAllString(v, "//***@"))
	case map[string]any:
		return "a section"
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	}
	return fmt.Sprint(value)
}

// text reads a valid string, else returns "". If an unquoted number would be valid
// in quotes, the problem says so.
func (r *Reader) text(key, expected string, valid func(string) bool) string {
	switch value := r.Get(key).(type) {
	case string:
		if valid(value) {
			return value
		}
	case number:
		if valid(string(value)) {
			r.Add(fmt.Errorf("%s%s: expected %s, found %s without quotes; write %[4]q", r.prefix, key, expected, value))
			return ""
		}
	}
	r.Wrong(key, expected)
	return ""
}

// Text reads a string of min to max bytes.
func (r *Reader) Text(key string, min, max int) string {
	return r.text(key, fmt.Sprintf("text of %d to %d bytes", min, max), func(s string) bool { return len(s) >= min && len(s) <= max })
}

// Quotable reads text that needs no escaping in an HTTP quoted-string (RFC 9110,
// section 5.6.4).
func (r *Reader) Quotable(key string, min, max int) string {
	s := r.Text(key, min, max)
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		r.Wrong(key, `printable ASCII without " and \`)
	}
	return s
}

// Match reads a string that matches pattern.
func (r *Reader) Match(key string, pattern *regexp.Regexp, expected string) string {
	return r.text(key, expected, pattern.MatchString)
}

// Optional calls read, unless the value is empty.
func (r *Reader) Optional(key string, read func(key string) string) string {
	if r.Get(key) == "" {
		return ""
	}
	return read(key)
}

// Path reads an absolute path.
func (r *Reader) Path(key string) string {
	s, _ := r.Get(key).(string)
	if !filepath.IsAbs(s) {
		r.Wrong(key, "an absolute path")
		return ""
	}
	return filepath.Clean(s)
}

// URL reads a URL that receives a credential: over TLS, or on the same machine.
func (r *Reader) URL(key string) string {
	s, _ := r.Get(key).(string)
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		r.Wrong(key, "a URL that begins with https:// (http:// only to a loopback address), without a user")
	}
	return s
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// forms are how an address may begin, and how it is shown in an error.
var forms = map[string]string{"unix": "unix:/PATH", "tcp": "tcp:HOST:PORT", "systemd": "systemd:NAME", "": "HOST:PORT"}

// Address reads SCHEME:REST with one of schemes: unix, tcp, systemd, or "" for
// a plain HOST:PORT.
func (r *Reader) Address(key string, schemes ...string) string {
	s, _ := r.Get(key).(string)
	scheme, rest, _ := strings.Cut(s, ":")
	if _, ok := forms[scheme]; !ok {
		scheme, rest = "", s
	}
	valid := slices.Contains(schemes, scheme)
	switch scheme {
	case "unix":
		valid = valid && filepath.IsAbs(rest)
	case "systemd":
		valid = valid && rest != ""
	default:
		_, port, err := net.SplitHostPort(rest)
		_, number := strconv.ParseUint(port, 10, 16)
		valid = valid && err == nil && number == nil
	}
	if !valid {
		var expected []string
		for _, scheme := range schemes {
			expected = append(expected, forms[scheme])
		}
		r.Wrong(key, strings.Join(expected, " or "))
	}
	return s
}

// Mode reads an octal file mode in a string.
func (r *Reader) Mode(key string) os.FileMode {
	s := r.text(key, `an octal mode in quotes such as "0660"`, func(s string) bool {
		mode, err := strconv.ParseUint(s, 8, 32)
		return err == nil && mode <= 0o777
	})
	mode, _ := strconv.ParseUint(s, 8, 32) // 0 of what is wrong
	return os.FileMode(mode)
}

// Duration reads a duration with its unit. A bare number is refused, because its
// unit is ambiguous.
func (r *Reader) Duration(key string, min, max time.Duration) time.Duration {
	s, _ := r.Get(key).(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < min || d > max {
		r.Wrong(key, fmt.Sprintf("a duration with its unit such as 30s, from %v to %v", min, max))
	}
	return d
}

// Number reads a whole number. From the environment or a flag it is in digits.
func (r *Reader) Number(key string, min, max int) int {
	var n int
	var err error
	switch value := r.Get(key).(type) {
	case int:
		n = value
	case number:
		var n64 int64
		n64, err = strconv.ParseInt(string(value), 0, strconv.IntSize)
		n = int(n64)
	case string:
		n, err = strconv.Atoi(value)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || n < min || n > max {
		r.Wrong(key, fmt.Sprintf("a whole number from %d to %d", min, max))
	}
	return n
}

// Boolean reads true or false.
func (r *Reader) Boolean(key string) bool {
	switch r.Get(key) {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	r.Wrong(key, "true or false")
	return false
}

// Level reads the level of a log.
func (r *Reader) Level(key string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	s, _ := r.Get(key).(string)
	level, ok := levels[s]
	if !ok {
		r.Wrong(key, "debug, info, warn or error")
	}
	return level
}
