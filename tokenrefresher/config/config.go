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

// A Registry is a registry whose token is kept fresh.
type Registry struct {
	// Name is the registry's in logs, metrics and requests.
	Name string
	Kind Kind
	// Region, RegistryID, RoleARN and Endpoint are kind ECR's, and may be
	// empty; see ecr.Config.
	Region, RegistryID, RoleARN, Endpoint string
	// Host is the registry's host; for ECR, empty for the one that AWS returns.
	Host string
	// Probe says whether a new token is tested, and ProbeURL where; empty for
	// https://HOST/v2/.
	Probe    bool
	ProbeURL string
	// CAFile has the CAs to trust for the registry's certificate in the probe;
	// empty for the system's.
	CAFile string
	// UsernameFile and PasswordFile are kind Basic's; see
	// settings.SecretPath.
	UsernameFile, PasswordFile string
	// File is where the token is written; Group its group, empty for the
	// process's own.
	File, Group string
}

// Backoff is the wait after failures.
type Backoff struct{ Initial, Max time.Duration }

// Control is the socket for refresh requests.
type Control struct {
	// Address is unix:PATH; empty for no socket.
	Address string
	// Mode and Group are the socket's; an empty group leaves the process's.
	Mode  os.FileMode
	Group string
	// MinInterval is the minimum time between two requested refreshes of a
	// registry.
	MinInterval time.Duration
}

// Private is where health and metrics are served.
type Private struct {
	// Address is HOST:PORT or unix:PATH.
	Address string
}

// Log is what is logged.
type Log struct{ Level slog.Level }

// table lists every key but those of registries, with its default and its help
// text. Defaults are set nowhere else.
var table = settings.Table{
	{Key: "interval", Default: "8h", Usage: "time between refreshes"},
	{Key: "margin", Default: "30m", Usage: "refresh at least this long before the token expires"},
	{Key: "jitter", Default: "10m", Usage: "maximum random time by which a refresh is made earlier"},
	{Key: "timeout", Default: "30s", Usage: "timeout of one refresh: fetch, test and store"},
	{Key: "backoff.initial", Default: "1s", Usage: "wait after a failed refresh, doubled with each further failure"},
	{Key: "backoff.max", Default: "5m", Usage: "the longest wait after a failed refresh"},
	{Key: "control.address", Default: "unix:/run/tokenrefresher/control.sock", Usage: "socket for refresh requests, unix:PATH; empty to disable"},
	{Key: "control.mode", Default: "0660", Usage: "mode of the control socket, octal, in quotes"},
	{Key: "control.group", Default: "", Usage: "group of the control socket; authsvc must be in it"},
	{Key: "control.min_interval", Default: "10s", Usage: "minimum time between two requested refreshes of a registry"},
	{Key: "private.address", Default: "127.0.0.1:9102", Usage: "address for /healthz, /readyz and /metrics: HOST:PORT or unix:PATH"},
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
}

// registryTable lists the keys of one registry. They are set in the file only.
// An empty string means not set.
var registryTable = settings.Table{
	{Key: "name", Default: "", Usage: "name in logs, metrics and requests"},
	{Key: "kind", Default: "ecr", Usage: "ecr, or basic for a user and password from files"},
	{Key: "region", Default: "", Usage: "ecr: region; empty for the one from the SDK's default chain (environment, profile, instance metadata)"},
	{Key: "registry_id", Default: "", Usage: "ecr: account that owns the registry, 12 digits in quotes; empty for the credential's own account"},
	{Key: "role_arn", Default: "", Usage: "ecr: role to assume"},
	{Key: "endpoint", Default: "", Usage: "ecr: URL of the ECR API, such as a VPC endpoint; empty for AWS's own"},
	{Key: "host", Default: "", Usage: "host of the registry; required for basic; for ecr, empty for the one that AWS returns"},
	{Key: "probe_url", Default: "", Usage: "URL for testing a new token; empty for https://HOST/v2/, off to skip the test"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for the registry's certificate in that test; empty for the system's"},
	{Key: "username_file", Default: "", Usage: "basic: file with the user; $CREDENTIALS_DIRECTORY/NAME for a systemd credential"},
	{Key: "password_file", Default: "", Usage: "basic: file with the password, likewise"},
	{Key: "file", Default: "", Usage: "file to write the token to, mode 0640"},
	{Key: "group", Default: "", Usage: "group of that file; authsvc must be in it"},
}

// read builds the Config from the keys' values. Each line states the bounds.
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
