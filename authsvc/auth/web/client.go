package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/settings"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// maxConns bounds the connections; who needs one more waits for it.
const maxConns = 64

// A client sends requests to one web service.
type client struct {
	http     http.Client
	maxBytes int
	observe  func(context.Context, string, time.Duration)
}

// An answer is what the service said.
type answer struct {
	url    *url.URL // that it was asked for
	status int
	// json: the media type is application/json or ends in +json.
	json    bool
	link    string // the URL of the next page by the header Link; empty for none
	body    []byte
	verdict verdict
	doubt   error // why the verdict is unclear

	decoded any
}

// value is the body as JSON.
func (a *answer) value() (any, error) {
	if a.decoded != nil {
		return a.decoded, nil
	}
	var err error
	a.decoded, err = jq.Decode(a.body)
	return a.decoded, err
}

// newClient's errors begin with the name of the setting.
func newClient(c Config, observe func(context.Context, string, time.Duration)) (*client, error) {
	config, err := system.TLS(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	if (c.ClientCertificate == "") != (c.ClientKey == "") {
		return nil, errors.New("client_key: expected client_certificate and client_key together, found one of them")
	}
	if c.ClientCertificate != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.ClientCertificate, settings.SecretPath(c.ClientKey))
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		// Read at each handshake, so that a renewed one is used at once.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	if observe == nil {
		observe = func(context.Context, string, time.Duration) {}
	}
	return &client{maxBytes: c.MaxBytes, observe: observe, http: http.Client{
		Transport: newTransport(config),
		// A redirect would send the customer's secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func newTransport(config *tls.Config) *http.Transport {
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
	}
}

// do sends a request, with the trace that its context carries, and judges the
// answer. The body is read to its end, so that the connection is used again.
func (c *client) do(request *http.Request, judge judge) (a *answer, err error) {
	start := time.Now()
	defer func() { c.observe(request.Context(), outcome(a, err), time.Since(start)) }()
	if trace := auth.Traceparent(request.Context()); trace != "" {
		request.Header.Set(auth.HeaderTraceparent, trace)
	}
	response, err := c.http.Do(request) //nolint:gosec // at the configured origin
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // the URL may hold what the customer typed
		}
		return nil, fmt.Errorf("asking %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(c.maxBytes)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case len(body) > c.maxBytes:
		return nil, fmt.Errorf("expected an answer of at most %d bytes, found more", c.maxBytes)
	}
	a = &answer{
		url: request.URL, status: response.StatusCode, body: body,
		json: isJSON(response.Header.Get("Content-Type")), link: nextLink(response.Header.Values("Link")),
	}
	a.verdict, a.doubt = judge.of(request.Context(), a)
	return a, nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// outcome is a metric's label: ok, refused, not_mine, or what went wrong.
func outcome(a *answer, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case err != nil:
		return "error"
	case a.verdict != unclear:
		return string(a.verdict)
	case a.status == http.StatusOK:
		return "error"
	}
	return strconv.Itoa(a.status)
}
