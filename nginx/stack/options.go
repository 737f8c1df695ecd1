package stack

import (
	"io"
	"time"

	"github.com/pullgate/pullgate/nginx/stack/ecr"
)

// Options of a Stack; the zero value is a good one.
type Options struct {
	// BinDir has the built authsvc and tokenrefresher. When it is empty they
	// come from $PULLGATE_BIN_DIR, or are built once a process.
	BinDir string
	// Progress gets a line when a part is started; nil for none.
	Progress io.Writer
	// Timeout bounds the wait for each part; 30 s when zero.
	Timeout time.Duration

	// Nginx is the path of nginx; that of the machine when empty.
	Nginx string
	// Main, HTTP and Server are lines of nginx.conf in those contexts, before
	// the includes; Servers are further server blocks after the stack's.
	// Modules are paths for load_module.
	Main, HTTP, Server, Servers string
	Modules                     []string
	// Settings replaces files of nginx/registry/settings, by their name.
	Settings map[string]string
	// Workers is the number of nginx's; 1 when zero.
	Workers int
	// NoStream leaves the stream block out, and so the kept connections to
	// ECR: nginx then resolves and connects for each request.
	NoStream bool

	// Authsvc and Tokenrefresher change keys of their configurations, as
	// {"cache.ttl": "1s"}; Registry those of tokenrefresher's registry.
	Authsvc, Tokenrefresher, Registry map[string]any
	// AuthsvcTCP makes authsvc listen on TCP itself, rather than on a unix
	// socket that it is passed.
	AuthsvcTCP bool
	// Interpose puts an HTTP server, Stack.Authsvc, between nginx and
	// authsvc: it records, counts connections, and takes faults.
	Interpose bool
	// AWSEnv is tokenrefresher's environment for AWS, instead of the static
	// key that the stand-in of ECR knows.
	AWSEnv []string

	// ECR are options of its stand-in; Backend and Certificate are set by the
	// stack.
	ECR ecr.Options
	// Record is as in standin.Options, for the vendor's API.
	Record int
}

// stream tells whether connections to ECR go through nginx's stream block.
func (o Options) stream() bool { return !o.NoStream }
