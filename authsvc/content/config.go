package content

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/pullgate/pullgate/authsvc/content/fetch"
	"github.com/pullgate/pullgate/authsvc/content/origin"
	"github.com/pullgate/pullgate/authsvc/content/stock"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
)

// A Config is a checked configuration.
type Config struct {
	Listen Listen
	// Served is the path of the socket to which nginx logs what it has served.
	Served string
	// Control is the path of the socket for the commands.
	Control string
	// Private is where health and metrics are served: HOST:PORT or unix:PATH.
	Private string
	// Folder is where the files are.
	Folder string
	Limits stock.Limits
	Origin origin.Options
	Fetch  fetch.Limits
	// FirstByte, RangeWait: see front.Options.
	FirstByte, RangeWait time.Duration
	Scrub                Scrub
	LogLevel             slog.Level
}

// Listen is where nginx's requests arrive.
type Listen struct {
	// Address is unix:PATH.
	Address string
	// Mode is that of all sockets for nginx. Group is that of these sockets and
	// of the files; empty for the process's own.
	Mode  os.FileMode
	Group string
	// MaxRequests bounds the concurrent requests from nginx.
	MaxRequests int
}

// Scrub says how files are read again.
type Scrub struct {
	// Rate is in bytes a second.
	Rate int64
	// Pause is the time after each time through.
	Pause time.Duration
}

const upstreamsKey = "upstreams"

// table lists every key but those of upstreams. Defaults are set nowhere else.
var table = settings.Table{
	{Key: "listen.address", Default: "unix:/run/authsvc-content/store.sock", Usage: "socket for requests from nginx: unix:PATH"},
	{Key: "listen.mode", Default: "0660", Usage: "mode of the sockets for nginx, octal, in quotes"},
	{Key: "listen.group", Default: "", Usage: "group of these sockets and of the files, which nginx's workers and the store must be in; empty for that of the store's process"},
	{Key: "listen.max_requests", Default: 1024, Usage: "maximum concurrent requests from nginx, which redirects the client for any more; each takes about 100 KB"},
	{Key: "served.address", Default: "unix:/run/authsvc-content/served.sock", Usage: "socket for nginx's log of the files that it has served: unix:PATH"},
	{Key: "control.address", Default: "unix:/run/authsvc-content/control.sock", Usage: "socket for authsvc content status, verify, and drop: unix:PATH"},
	{Key: "private.address", Default: "127.0.0.1:9103", Usage: "address for /healthz, /readyz and /metrics: HOST:PORT or unix:PATH"},
	{Key: "folder", Default: "/var/lib/authsvc-content", Usage: "folder of the files; it must exist, let the group in, and best be on a file system of its own"},
	{Key: "max_size", Default: "100GB", Usage: "maximum size of all files together; the least recently used are removed first"},
	{Key: "min_free", Default: "2GB", Usage: "what stays free on the file system"},
	{Key: "redirects.regions", Default: "", Usage: "regions of AWS to whose layer buckets registries may redirect, such as eu-west-1"},
	{Key: "redirects.hosts", Default: "", Usage: "other hosts to which registries may redirect: HOST or HOST:PORT"},
	{Key: "ca_file", Default: "", Usage: "PEM file of CAs to trust for registries and storage; empty for the system's"},
	{Key: "timeouts.connect", Default: "3s", Usage: "timeout of a connection to a registry or storage, with its TLS handshake"},
	{Key: "timeouts.header", Default: "10s", Usage: "how long a registry or storage may take to answer"},
	{Key: "timeouts.stall", Default: "2s", Usage: "how long a body may stall; after that it is resumed over a new connection. Less than nginx's proxy_read_timeout, or nginx gives the client up first"},
	{Key: "timeouts.first_byte", Default: "2500ms", Usage: "how long nginx waits for the first byte; after that it redirects the client. Less than nginx's proxy_read_timeout"},
	{Key: "timeouts.range", Default: "1s", Usage: "how long a request for a part of a layer waits for the fetch to reach it; after that it is passed through"},
	{Key: "fetch.total", Default: 64, Usage: "maximum concurrent fetches; nginx redirects the client for any more"},
	{Key: "fetch.per_customer", Default: 16, Usage: "maximum concurrent fetches started by one customer"},
	{Key: "fetch.max_blob", Default: "52000MiB", Usage: "maximum size of a layer (ECR's is 52000MiB)"},
	{Key: "fetch.max_manifest", Default: "4MiB", Usage: "maximum size of a manifest"},
	{Key: "fetch.linger", Default: "10m", Usage: "how long a fetch goes on when nobody waits for it any more"},
	{Key: "fetch.max_time", Default: "6h", Usage: "maximum time of a fetch"},
	{Key: "scrub.rate", Default: "20MB", Usage: "how much is read again each second, to find files that are wrong"},
	{Key: "scrub.pause", Default: "24h", Usage: "pause after all files were read again"},
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
}

// upstreamTable lists the keys of one upstream. They are set in the file only.
var upstreamTable = settings.Table{
	{Key: "name", Default: "", Usage: "name in requests from nginx"},
	{Key: "host", Default: "", Usage: "host of the registry, with :PORT if that is not 443"},
	{Key: "address", Default: "", Usage: "HOST:PORT to connect to instead, such as a VPC endpoint; empty for the host. The certificate must still match the host"},
}

// Tables are the keys of the program and of one upstream, for the README.
func Tables() (program, upstream settings.Table) { return table, upstreamTable }

// Flags adds a flag to flags for every key but those of upstreams.
func Flags(flags *pflag.FlagSet) { table.Flags(flags) }

func source(file string, environ []string, flags *pflag.FlagSet) settings.Source {
	return settings.Source{Program: "authsvc content", File: file, Environ: environ, Flags: flags, Lists: []string{upstreamsKey}}
}

// Load reads the configuration: defaults, then the YAML file, then environ (as
// os.Environ gives it), then the flags that were set. Its error names each unknown
// key and each invalid value.
func Load(file string, environ []string, flags *pflag.FlagSet) (Config, error) {
	if file == "" {
		return Config{}, errors.New("configuration: expected --config FILE, found none; the upstreams are set in the file")
	}
	r, err := table.Load(source(file, environ, flags))
	if err != nil {
		return Config{}, err
	}
	c := read(r)
	c.Origin.Upstreams = readUpstreams(r)
	return c, r.Err()
}

// ControlSocket reads the path of the control socket, and nothing else: what is
// wrong with the rest is of no matter to who asks a running store.
func ControlSocket(file string, environ []string, flags *pflag.FlagSet) (string, error) {
	r, err := table.Load(source(file, environ, flags))
	if err != nil {
		return "", err
	}
	return unixPath(r, "control.address"), errors.Join(r.Problems()...)
}
