// Package origin asks registries, and the storage that they redirect to. It is
// the only part of the store that talks to a network. It follows a redirect only
// over TLS, only to a host on a list (hosts.go), and without the registry's
// Authorization. source.go reads a body from any offset; look.go has the
// questions for which nothing is kept.
package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/content/object"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// An Upstream is a registry that requests may name.
type Upstream struct {
	Name string
	// Host is the registry's, with :PORT if that is not 443.
	Host string
	// Address is HOST:PORT to connect to instead; empty for Host. The
	// certificate must still be Host's.
	Address string
}

// Options are what a Client needs.
type Options struct {
	Upstreams []Upstream
	// Redirects are the hosts to which a registry may redirect.
	Redirects []string
	// CAFile has the CAs to trust; empty for the system's.
	CAFile string
	// Connect bounds a connection with its TLS handshake, Header the wait for an
	// answer's header, and Stall the wait for more of a body.
	Connect, Header, Stall time.Duration
	Metrics                prometheus.Registerer
}

// A Request names what is asked for, and for whom.
type Request struct {
	ID object.ID
	// Upstream is the name of one of Options.Upstreams.
	Upstream string
	// Path is /v2/NAME/blobs/DIGEST or /v2/NAME/manifests/DIGEST.
	Path string
	// Authorization is for the registry, and for nobody else.
	Authorization string
}

// A StatusError is an answer of the registry that nginx must see: the token is
// not accepted, there is no such object, or too many were asked for.
type StatusError struct {
	Status     int
	RetryAfter string
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the registry answers with status %d", e.Status)
}

// ErrUpstream means that a request names an upstream that is not configured.
var ErrUpstream = errors.New("there is no upstream of that name")

// A Client asks registries and their storage.
type Client struct {
	o         Options
	upstreams map[string]Upstream
	http      *http.Transport
	requests  *prometheus.CounterVec
}

// Who is asked, in metrics.
const (
	toRegistry = "registry"
	toStorage  = "storage"
)

// New makes a Client. Its error is that of the CA file.
func New(o Options) (*Client, error) {
	config, err := system.TLS(o.CAFile)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, upstreams: map[string]Upstream{}, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_content_upstream_requests_total",
		Help: "Requests to registries and to the storage behind them, by the class of the answer's status (5xx: also none at all).",
	}, []string{"to", "status"})}
	o.Metrics.MustRegister(c.requests)
	for _, to := range []string{toRegistry, toStorage} {
		for _, class := range []string{"2xx", "3xx", "4xx", "5xx"} {
			c.requests.WithLabelValues(to, class)
		}
	}
	addresses := map[string]string{}
	for _, u := range o.Upstreams {
		c.upstreams[u.Name] = u
		if u.Address != "" {
			addresses[withPort(u.Host)] = u.Address
		}
	}
	dialer := &net.Dialer{Timeout: o.Connect}
	c.http = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if other := addresses[address]; other != "" {
				address = other
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   o.Connect,
		ResponseHeaderTimeout: o.Header,
		MaxIdleConnsPerHost:   16,
		// Load balancers of AWS close an idle connection after 60 s.
		IdleConnTimeout:        55 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A body must be what its digest is of, and its length known.
		DisableCompression: true,
		// HTTP/1.1 alone: a body of its own connection has no flow control of
		// its own, and no buffer that grows.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if len(addresses) == 0 {
		c.http.Proxy = http.ProxyFromEnvironment
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Knows says whether an upstream is configured.
func (c *Client) Knows(upstream string) bool {
	_, ok := c.upstreams[upstream]
	return ok
}

// A question is one HTTP request.
type question struct {
	method        string
	to            string
	url           *url.URL
	authorization string
	accept        string
	ranges        string
}

// ask sends a question. A redirect is an answer like any other.
func (c *Client) ask(ctx context.Context, q question) (*http.Response, error) {
	r := &http.Request{Method: q.method, URL: q.url, Host: q.url.Host, Header: http.Header{"User-Agent": {"authsvc-content"}}}
	for name, value := range map[string]string{"Authorization": q.authorization, "Accept": q.accept, "Range": q.ranges} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	response, err := c.http.RoundTrip(r.WithContext(ctx))
	if err != nil {
		c.requests.WithLabelValues(q.to, "5xx").Inc()
		return nil, fmt.Errorf("asking the %s %s: %w", q.to, q.url.Host, err)
	}
	c.requests.WithLabelValues(q.to, fmt.Sprintf("%dxx", response.StatusCode/100)).Inc()
	return response, nil
}

// drop ends an answer of which nothing more is read. A short rest that is there
// is read, so that the connection can be used again.
func drop(response *http.Response) {
	hurry := time.AfterFunc(time.Second, func() { _ = response.Body.Close() })
	defer hurry.Stop()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // nothing depends on it
	_ = response.Body.Close()
}

// registry is the question to the registry itself.
func (c *Client) registry(r Request, method, ranges string) (question, error) {
	u, ok := c.upstreams[r.Upstream]
	if !ok {
		return question{}, ErrUpstream
	}
	q := question{method: method, to: toRegistry, url: &url.URL{Scheme: "https", Host: u.Host, Path: r.Path}, authorization: r.Authorization, ranges: ranges}
	if r.ID.Kind == object.Manifest {
		q.accept = object.Accept
	}
	return q, nil
}

var redirects = []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}

// isRedirect says whether an answer is a redirect.
func isRedirect(response *http.Response) bool { return slices.Contains(redirects, response.StatusCode) }

// registryError is the error for an answer of the registry that is of no use.
func registryError(response *http.Response) error {
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		return &StatusError{response.StatusCode, response.Header.Get("Retry-After")}
	}
	return fmt.Errorf("the registry answers with status %d", response.StatusCode)
}
