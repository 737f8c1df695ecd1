// Package config reads tokenrefresher's configuration: a YAML file,
// environment variables and flags, of which the later win.
package config

import (
	"log/slog"
	"os"
	"time"
)

// A Config is a checked configuration.
type Config struct {
	Registries []Registry
	// Interval, Margin and Jitter say when the next refresh is due; see
	// refresh.Schedule.
	Interval, Margin, Jitter time.Duration
	// Timeout bounds one refresh.
	Timeout time.Duration
	Backoff Backoff
	Control Control
	Private Private
	Log     Log
}

// A Kind says where a registry's token comes from.
type Kind string

// The kinds.
const (
	ECR   Kind = "ecr"   // AWS's API
	Basic Kind = "basic" // user and password from files
)

// A Registry is one whose token is kept fresh.
type Registry struct {
	// Name is the registry's in logs, metrics and requests.
	Name string
	Kind Kind
	// Region, RegistryID, RoleARN and Endpoint are kind ECR's, and may be
	// empty; see ecr.Config.
	Region, RegistryID, RoleARN, Endpoint string
	// Host is the registry's host; for ECR empty for the one that AWS tells.
	Host string
	// Probe says whether a new token is tried; ProbeURL where, empty for
	// https://HOST/v2/.
	Probe    bool
	ProbeURL string
	// CAFile has the authorities that sign the registry's certificate, for the
	// probe; empty for the system's.
	CAFile string
	// UsernameFile and PasswordFile are kind Basic's.
	UsernameFile, PasswordFile string
	// File is where the token is written; Group its group, empty for the
	// process's own.
	File, Group string
}

// Backoff is the wait after failures.
type Backoff struct{ Initial, Max time.Duration }

// Control is the socket on which a refresh can be asked for.
type Control struct {
	// Address is unix:PATH; empty for no socket.
	Address string
	// Mode and Group are the socket's; an empty group leaves the process's.
	Mode  os.FileMode
	Group string
	// MinInterval is the least time between two refreshes of one registry
	// that were asked for.
	MinInterval time.Duration
}

// Private is where health and metrics are served.
type Private struct {
	// Address is HOST:PORT or unix:PATH.
	Address string
}

// Log is what is logged.
type Log struct{ Level slog.Level }

// settings lists every key but those of registries, with its default and what
// it is: the one place for defaults, and the flags' help.
var settings = []setting{
	{"interval", "8h", "time from one refresh to the next"},
	{"margin", "30m", "refresh so long before the token expires, if that is earlier"},
	{"jitter", "10m", "a refresh is earlier by up to this at random"},
	{"timeout", "30s", "time for one refresh: fetch, try and store"},
	{"backoff.initial", "1s", "wait after a failed refresh, doubled with each further failure"},
	{"backoff.max", "5m", "the longest wait after a failed refresh"},
	{"control.address", "unix:/run/tokenrefresher/control.sock", "where a refresh can be asked for, unix:PATH; empty for nowhere"},
	{"control.mode", "0660", "mode of the control socket, octal, in quotes"},
	{"control.group", "", "group of the control socket: the one that authsvc is in"},
	{"control.min_interval", "10s", "least time between two refreshes of one registry that were asked for"},
	{"private.address", "127.0.0.1:9102", "where /healthz, /readyz and /metrics are served: HOST:PORT or unix:PATH"},
	{"log.level", "info", "debug, info, warn or error"},
}

// registrySettings lists the keys of each of registries. They can stand in the
// file alone. An empty text is the same as none.
var registrySettings = []setting{
	{"name", "", "name in logs, metrics and requests"},
	{"kind", "ecr", "ecr, or basic for user and password from files"},
	{"region", "", "ecr: region; empty for that of the SDK's default chain (environment, profile, instance metadata)"},
	{"registry_id", "", "ecr: account that owns the registry, 12 digits in quotes; empty for the credential's own"},
	{"role_arn", "", "ecr: role to assume"},
	{"endpoint", "", "ecr: URL of the API in place of AWS's own, such as a VPC endpoint"},
	{"host", "", "host of the registry; needed for basic, empty for ecr for the one that AWS tells"},
	{"probe_url", "", "where a new token is tried; empty for https://HOST/v2/, off for not at all"},
	{"ca_file", "", "PEM file of the authorities that sign the registry's certificate, for the try; empty for the system's"},
	{"username_file", "", "basic: file with the user"},
	{"password_file", "", "basic: file with the password"},
	{"file", "", "where the token is written, mode 0640"},
	{"group", "", "group of that file: the one that authsvc is in"},
}

// read makes the Config out of the keys' values. Each line states the bounds.
func read(r *reader) Config {
	c := Config{
		Interval: r.duration("interval", time.Second, 7*24*time.Hour),
		Margin:   r.duration("margin", 0, 24*time.Hour),
		Jitter:   r.duration("jitter", 0, 24*time.Hour),
		Timeout:  r.duration("timeout", time.Second, 5*time.Minute),
		Backoff: Backoff{
			Initial: r.duration("backoff.initial", 100*time.Millisecond, time.Hour),
			Max:     r.duration("backoff.max", 100*time.Millisecond, 24*time.Hour),
		},
		Control: Control{
			Address:     r.optional("control.address", r.unixAddress),
			Mode:        r.mode("control.mode"),
			Group:       r.text("control.group", 0, 64),
			MinInterval: r.duration("control.min_interval", 0, time.Hour),
		},
		Private: Private{Address: r.address("private.address")},
		Log:     Log{Level: r.level("log.level")},
	}
	if len(r.problems) == 0 && c.Backoff.Max < c.Backoff.Initial {
		r.wrong("backoff.max", "at least backoff.initial, which is "+c.Backoff.Initial.String())
	}
	if len(r.problems) == 0 && c.Jitter >= c.Interval {
		r.wrong("jitter", "less than interval, which is "+c.Interval.String())
	}
	return c
}
