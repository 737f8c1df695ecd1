package stack

import (
	"io"
	"net/http"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// Options of a Stack. The zero value is usable.
type Options struct {
	// BinDir has the built authsvc and tokenrefresher. If empty, they come from
	// $PULLGATE_BIN_DIR, or are built once per process.
	BinDir string
	// Progress gets a line when a part starts; may be nil.
	Progress io.Writer
	// Timeout limits the wait for each part; 30 s if zero.
	Timeout time.Duration

	// Nginx is the path of nginx; the machine's if empty.
	Nginx string
	// Main, HTTP and Server are lines of nginx.conf in those contexts, before
	// the includes; Servers are additional server blocks after the stack's.
	// Modules are paths for load_module.
	Main, HTTP, Server, Servers string
	Modules                     []string
	// Settings replaces files in nginx/registry/settings, by name.
	Settings map[string]string
	// Workers is the number of nginx workers; 1 if zero.
	Workers int
	// NoStream omits the stream block, so connections to ECR are not kept open:
	// nginx resolves and connects for each request.
	NoStream bool

	// Authsvc and Tokenrefresher change keys of their configurations, such as
	// {"cache.ttl": "1s"}; Registry changes keys of tokenrefresher's registry.
	Authsvc, Tokenrefresher, Registry map[string]any
	// Sources are the sources of customers that authsvc asks, in this order; see
	// SourceKinds. None for the vendor's API in the section kloudless.
	Sources []string
	// AuthsvcTCP makes authsvc listen on TCP itself, instead of on a unix socket
	// that the stack passes to it.
	AuthsvcTCP bool
	// Interpose puts an HTTP server, Stack.Authsvc, between nginx and authsvc. It
	// records requests, counts connections, and injects faults.
	Interpose bool
	// Judged sees, and may change, each of authsvc's answers before nginx does. It
	// needs Interpose, and runs in several goroutines at once.
	Judged func(*http.Response)
	// Registries are further registries of tokenrefresher.
	Registries []any
	// Env is added to the environment of nginx, authsvc, and tokenrefresher.
	Env []string
	// AWSEnv is tokenrefresher's environment for AWS, instead of the static key
	// that the stand-in for ECR accepts.
	AWSEnv []string

	// Content makes nginx serve files of a content store, whose configuration it changes.
	// The buckets then use TLS. nil for the clients' redirects to the buckets.
	Content map[string]any

	// ECR are options of its stand-in; the stack sets Backend and Certificate.
	ECR ecr.Options
	// Upstreams are several registries behind the front, in place of ECR and
	// Registry. The first one must be a stand-in for ECR, and is Stack.ECR.
	Upstreams []UpstreamOptions
	// Record is as in standin.Options, for the vendor's API and for Interpose.
	Record int
}

// stream reports whether connections to ECR go through nginx's stream block.
func (o Options) stream() bool { return !o.NoStream }
