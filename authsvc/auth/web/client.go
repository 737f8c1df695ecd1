// Package web asks a web service about customers, within bounds: secrets are sent
// only to that service and cannot be read on the way, and no answer can exhaust
// memory, connections, or time.
//
// A source such as auth/kloudless decides what to ask and what an answer means.
// Package auth/jq reads the answers.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/credential"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// The bounds. The time for an answer is the request's context.
const (
	// maxBody bounds one answer, in bytes.
	maxBody = 4 << 20
	// maxConns bounds the connections; who needs one more waits for it.
	maxConns = 64
	// maxToken bounds a Bearer token, in bytes. In Base64 it still fits the
	// longest header that nginx takes by default (8 KB).
	maxToken = 4 << 10
)

// Config is what a Client needs to know.
type Config struct {
	// URL is the service's base: https, or http to a loopback address.
	URL string
	// CAFile is a PEM file of the authorities to trust; empty for the system's.
	CAFile string
	// Refuses says whether an answer refuses the credential.
	Refuses func(Answer) bool
	// Observe is told the outcome of each request (ok, refused, or what went
	// wrong) and its duration; nil for nobody.
	Observe func(ctx context.Context, outcome string, d time.Duration)
}

// A Client sends requests to one web service.
type Client struct {
	base    *url.URL
	http    http.Client
	refuses func(Answer) bool
	observe func(context.Context, string, time.Duration)
}

// An Answer is what the service said.
type Answer struct {
	Status int
	// JSON: the media type is application/json or ends in +json.
	JSON bool
	Body []byte
	// Refused: it refuses the credential, by Config.Refuses.
	Refused bool
}

// New checks the configuration and returns a Client. Its errors begin with the
// name of the setting: url or ca_file.
func New(c Config) (*Client, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	transport, err := newTransport(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if c.Observe == nil {
		c.Observe = func(context.Context, string, time.Duration) {}
	}
	return &Client{base: base, refuses: c.Refuses, observe: c.Observe, http: http.Client{
		Transport: transport,
		// A redirect would send the customer's secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// parseBase checks that secrets sent below a URL cannot be read on their way.
func parseBase(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("expected the base URL of the vendor's API such as https://api.example.com/v1/, found nothing; there is no default because customers' secrets are sent there")
	}
	base, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("expected a URL such as https://api.example.com/v1/")
	}
	ip := net.ParseIP(base.Hostname())
	local := base.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("expected a URL with a host, and without user, query and fragment")
	case base.Scheme != "https" && (base.Scheme != "http" || !local):
		return nil, fmt.Errorf("expected https, found %s: customers' secrets are sent there (http is allowed for loopback addresses only)", base.Scheme)
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return base, nil
}

// Below resolves a path below the base. One that leads to another host would
// take the customers' secrets there.
func (c *Client) Below(path string) (*url.URL, error) {
	u, err := c.base.Parse(path)
	if err != nil || u.Scheme != c.base.Scheme || u.Host != c.base.Host || u.User != nil || !strings.HasPrefix(u.Path, c.base.Path) {
		return nil, fmt.Errorf("expected a path below %s such as meta/licenses, found %q", c.base, path)
	}
	return u, nil
}

func newTransport(caFile string) (*http.Transport, error) {
	config, err := system.TLS(caFile)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		MaxConnsPerHost:       maxConns,
		MaxIdleConns:          maxConns,
		MaxIdleConnsPerHost:   maxConns,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: time.Minute,
	}, nil
}

// Do sends a request for a URL that Below made. The body is read to its end, so
// that the connection is used again.
func (c *Client) Do(request *http.Request) (answer Answer, err error) {
	start := time.Now()
	defer func() { c.observe(request.Context(), outcome(answer, err), time.Since(start)) }()
	response, err := c.http.Do(request) //nolint:gosec // below the configured base
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // the URL may hold what the customer typed
		}
		return Answer{}, fmt.Errorf("asking %s: %w", c.base.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxBody:
		return Answer{}, fmt.Errorf("expected at most %d bytes, found more", maxBody)
	}
	answer = Answer{Status: response.StatusCode, JSON: isJSON(response.Header.Get("Content-Type")), Body: body}
	answer.Refused = c.refuses(answer)
	return answer, nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// outcome is a metric's label: ok, refused, or what went wrong.
func outcome(answer Answer, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case err != nil:
		return "error"
	case answer.Refused:
		return "refused"
	case answer.Status == http.StatusOK:
		return "ok"
	}
	return strconv.Itoa(answer.Status)
}

// b64token is what a Bearer token is made of (RFC 6750, section 2.1).
var b64token = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// Bearer is the value of the Authorization header that presents a secret as a
// Bearer token; not ok if it cannot be one, and the service need not be asked.
func Bearer(secret credential.Secret) (authorization string, ok bool) {
	token := secret.Reveal()
	return "Bearer " + token, len(token) <= maxToken && b64token.MatchString(token)
}
