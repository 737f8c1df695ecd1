// Package config reads tokenrefresher's configuration: a YAML file, environment
// variables, and flags. Flags take precedence over the environment, and both over
// the file. registry.go has the keys of one registry; package daemon/settings does
// the reading.
package config

import (
	"log/slog"
	"os"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
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
	// UsernameFile and PasswordFile are kind Basic's; they can begin with
	// CredentialsDirectory.
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

// table lists every key but those of registries, with its default and what
// it is: the one place for defaults, and the flags' help.
var table = settings.Table{
	{Key: "interval", Default: "8h", Usage: "time from one refresh to the next"},
	{Key: "margin", Default: "30m", Usage: "refresh so long before the token expires, if that is earlier"},
	{Key: "jitter", Default: "10m", Usage: "a refresh is earlier by up to this at random"},
	{Key: "timeout", Default: "30s", Usage: "time for one refresh: fetch, try and store"},
	{Key: "backoff.initial", Default: "1s", Usage: "wait after a failed refresh, doubled with each further failure"},
	{Key: "backoff.max", Default: "5m", Usage: "the longest wait after a failed refresh"},
	{Key: "control.address", Default: "unix:/run/tokenrefresher/control.sock", Usage: "where a refresh can be asked for, unix:PATH; empty for nowhere"},
	{Key: "control.mode", Default: "0660", Usage: "mode of the control socket, octal, in quotes"},
	{Key: "control.group", Default: "", Usage: "group of the control socket: the one that authsvc is in"},
	{Key: "control.min_interval", Default: "10s", Usage: "least time between two refreshes of one registry that were asked for"},
	{Key: "private.address", Default: "127.0.0.1:9102", Usage: "where /healthz, /readyz and /metrics are served: HOST:PORT or unix:PATH"},
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
}

// registryTable lists the keys of each of registries. They can stand in the
// file alone. An empty text is the same as none.
var registryTable = settings.Table{
	{Key: "name", Default: "", Usage: "name in logs, metrics and requests"},
	{Key: "kind", Default: "ecr", Usage: "ecr, or basic for user and password from files"},
	{Key: "region", Default: "", Usage: "ecr: region; empty for that of the SDK's default chain (environment, profile, instance metadata)"},
	{Key: "registry_id", Default: "", Usage: "ecr: account that owns the registry, 12 digits in quotes; empty for the credential's own"},
	{Key: "role_arn", Default: "", Usage: "ecr: role to assume"},
	{Key: "endpoint", Default: "", Usage: "ecr: URL of the API in place of AWS's own, such as a VPC endpoint"},
	{Key: "host", Default: "", Usage: "host of the registry; needed for basic, empty for ecr for the one that AWS tells"},
	{Key: "probe_url", Default: "", Usage: "where a new token is tried; empty for https://HOST/v2/, off for not at all"},
	{Key: "ca_file", Default: "", Usage: "PEM file of the authorities that sign the registry's certificate, for the try; empty for the system's"},
	{Key: "username_file", Default: "", Usage: "basic: file with the user; $CREDENTIALS_DIRECTORY/NAME for one that systemd hands over"},
	{Key: "password_file", Default: "", Usage: "basic: file with the password, likewise"},
	{Key: "file", Default: "", Usage: "where the token is written, mode 0640"},
	{Key: "group", Default: "", Usage: "group of that file: the one that authsvc is in"},
}

// read makes the Config out of the keys' values. Each line states the bounds.
func read(r *settings.Reader) Config {
	c := Config{
		Interval: r.Duration("interval", time.Second, 7*24*time.Hour),
		Margin:   r.Duration("margin", 0, 24*time.Hour),
		Jitter:   r.Duration("jitter", 0, 24*time.Hour),
		Timeout:  r.Duration("timeout", time.Second, 5*time.Minute),
		Backoff: Backoff{
			Initial: r.Duration("backoff.initial", 100*time.Millisecond, time.Hour),
			Max:     r.Duration("backoff.max", 100*time.Millisecond, 24*time.Hour),
		},
		Control: Control{
			Address:     r.Optional("control.address", func(key string) string { return r.Address(key, "unix") }),
			Mode:        r.Mode("control.mode"),
			Group:       r.Text("control.group", 0, 64),
			MinInterval: r.Duration("control.min_interval", 0, time.Hour),
		},
		Private: Private{Address: r.Address("private.address", "", "unix")},
		Log:     Log{Level: r.Level("log.level")},
	}
	if r.Err() == nil && c.Backoff.Max < c.Backoff.Initial {
		r.Wrong("backoff.max", "at least backoff.initial, which is "+c.Backoff.Initial.String())
	}
	if r.Err() == nil && c.Jitter >= c.Interval {
		r.Wrong("jitter", "less than interval, which is "+c.Interval.String())
	}
	return c
}
