package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	kindPattern    = regexp.MustCompile(`^(ecr|basic)$`)
	regionPattern  = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]{1,2}$`)
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	rolePattern    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
)

// A reader reads values by key, and collects what is wrong with them, so that
// one run shows every mistake.
type reader struct {
	prefix   string // of the keys in problems
	get      func(key string) any
	problems []error
}

func (r *reader) wrong(key, expected string) {
	r.problems = append(r.problems, fmt.Errorf("%s%s: expected %s, found %s", r.prefix, key, expected, found(r.get(key))))
}

// found shows a value for an error, in YAML's terms.
func found(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("%.200q", v)
	case map[string]any:
		return "a section"
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	}
	return fmt.Sprint(value)
}

// text reads a string of min to max bytes.
func (r *reader) text(key string, min, max int) string {
	s, ok := r.get(key).(string)
	if !ok || len(s) < min || len(s) > max {
		r.wrong(key, fmt.Sprintf("text of %d to %d bytes", min, max))
	}
	return s
}

// optional reads by read, unless the value is empty.
func (r *reader) optional(key string, read func(string) string) string {
	if r.get(key) == "" {
		return ""
	}
	return read(key)
}

func (r *reader) match(key string, pattern *regexp.Regexp, expected string) string {
	s, ok := r.get(key).(string)
	if !ok || !pattern.MatchString(s) {
		r.wrong(key, expected)
		return ""
	}
	return s
}

func (r *reader) optionalMatch(key string, pattern *regexp.Regexp, expected string) string {
	return r.optional(key, func(key string) string { return r.match(key, pattern, expected) })
}

func (r *reader) path(key string) string {
	s, _ := r.get(key).(string)
	if !filepath.IsAbs(s) {
		r.wrong(key, "an absolute path")
		return ""
	}
	return filepath.Clean(s)
}

// url reads a URL that a credential is sent to: by TLS, or to the same machine.
func (r *reader) url(key string) string {
	s, _ := r.get(key).(string)
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		r.wrong(key, "a URL that begins with https:// (http:// only to a loopback address), without a user")
	}
	return s
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func (r *reader) host(key string) string {
	s, _ := r.get(key).(string)
	if tokenfile.CheckHost(s) != nil {
		r.wrong(key, "a host name in lower case, with a port only if that is not 443")
	}
	return s
}

func (r *reader) unixAddress(key string) string {
	s, _ := r.get(key).(string)
	if path, ok := strings.CutPrefix(s, "unix:"); !ok || !filepath.IsAbs(path) {
		r.wrong(key, "unix:/PATH")
	}
	return s
}

func (r *reader) address(key string) string {
	s, _ := r.get(key).(string)
	if path, ok := strings.CutPrefix(s, "unix:"); ok && filepath.IsAbs(path) {
		return s
	}
	_, port, err := net.SplitHostPort(s)
	if _, number := strconv.ParseUint(port, 10, 16); err != nil || number != nil {
		r.wrong(key, "HOST:PORT or unix:/PATH")
	}
	return s
}

// mode reads an octal file mode in a string; YAML's own 0660 is a decimal
// number by the time it arrives here.
func (r *reader) mode(key string) os.FileMode {
	s, _ := r.get(key).(string)
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil || mode > 0o777 {
		r.wrong(key, `an octal mode in quotes such as "0660"`)
	}
	return os.FileMode(mode)
}

// duration reads a time with its unit. A bare number is refused: nobody
// agrees on what its unit would be.
func (r *reader) duration(key string, min, max time.Duration) time.Duration {
	s, _ := r.get(key).(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < min || d > max {
		r.wrong(key, fmt.Sprintf("a duration with its unit such as 30s, from %v to %v", min, max))
	}
	return d
}

func (r *reader) level(key string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	s, _ := r.get(key).(string)
	level, ok := levels[s]
	if !ok {
		r.wrong(key, "debug, info, warn or error")
	}
	return level
}
