package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/authsvc/upstream"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

// NewTransport makes the transport that carries the requests, as Options.CAFile
// and Options.Address describe it. Its error is that of the CA file.
func NewTransport(o Options) (http.RoundTripper, error) {
	config, err := system.TLS(o.CAFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	proxy := http.ProxyFromEnvironment
	if o.Address != "" {
		proxy = nil // the address would be taken for the proxy's
	}
	return &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if o.Address != "" {
				address = o.Address
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:     config,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        o.Requests,
		MaxIdleConnsPerHost: o.Requests,
		// Load balancers of AWS close an idle connection after 60 s.
		IdleConnTimeout:     55 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
	}, nil
}

// wrap makes go-containerregistry use next as it is: without retries, and
// without asking first how to authenticate, since next does that.
func wrap(next http.RoundTripper) (http.RoundTripper, error) {
	registry, err := name.NewRegistry("registry.invalid")
	if err != nil {
		return nil, err
	}
	return transport.NewWithContext(context.Background(), registry, authn.Anonymous, &pinged{next, registry.Name()}, nil)
}

// pinged answers the question how to authenticate with "not at all".
type pinged struct {
	next http.RoundTripper
	host string
}

func (p *pinged) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != p.host {
		return p.next.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// authorized sends requests to the current registry, over TLS only, with its
// Authorization. If that is rejected, it retries once with a renewed one.
type authorized struct {
	upstream Upstream
	next     http.RoundTripper
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.upstream.Current()
	if err != nil {
		return nil, err
	}
	response, err := a.send(r, token.Host, token.Authorization())
	if err != nil || !rejected(response) {
		return response, err
	}
	renewed, err := a.upstream.Renew(r.Context(), upstream.ID(token))
	if errors.Is(err, upstream.ErrTokenIsGood) {
		return response, nil // it is the request that the registry refuses
	}
	drain(response)
	switch {
	case err != nil: // the registry did answer, whatever keeps a new token from being fetched
		return nil, fmt.Errorf("%w with status %d: %w", release.ErrRefused, response.StatusCode, err)
	case renewed.Host != token.Host:
		return nil, fmt.Errorf("expected a new token for %s, found one for %s", token.Host, renewed.Host)
	}
	return a.send(r, renewed.Host, renewed.Authorization())
}

// userAgent tells the registry's logs what asks.
const userAgent = "pullgate-authsvc"

func rejected(r *http.Response) bool { return rejects(r.StatusCode) }

// rejects says whether a status refuses a request for what its token may not do, or for
// the token itself.
func rejects(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func (a *authorized) send(r *http.Request, host, authorization string) (*http.Response, error) {
	if r.URL.Host != host {
		return nil, fmt.Errorf("expected a request to %s, found one to %s", host, r.URL.Host)
	}
	sent := r.Clone(r.Context())
	sent.URL.Scheme = "https"
	sent.Header.Set("Authorization", authorization)
	sent.Header.Set("User-Agent", userAgent)
	response, err := a.next.RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	response.Request = r
	if 300 <= response.StatusCode && response.StatusCode < 400 {
		drain(response)
		return nil, fmt.Errorf("expected an answer from the registry, found status %d, a redirect away from it", response.StatusCode)
	}
	if link := response.Header.Get("Link"); link != "" {
		path, err := checkLink(link, host)
		if err != nil {
			drain(response)
			return nil, err
		}
		response.Header.Set("Link", path)
	}
	return response, nil
}

// checkLink makes a relative link of one to the next page (RFC 8288), which
// may be absolute, and then must stay with the registry: the Authorization
// goes along. ECR leaves out the port.
func checkLink(link, host string) (string, error) {
	target, _, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	u, err := url.Parse(target)
	if !ok || !strings.HasPrefix(link, "<") || err != nil || !strings.HasPrefix(u.Path, "/v2/") || u.User != nil {
		return "", fmt.Errorf("expected a link to the next page, found %.300q", link)
	}
	name, _, _ := strings.Cut(host, ":")
	if u.Host != "" && u.Hostname() != name || u.Scheme != "" && u.Scheme != "https" {
		return "", fmt.Errorf("expected the link to the next page to stay at %s, found %.300q", host, link)
	}
	return "<" + u.RequestURI() + `>; rel="next"`, nil
}

// linkPath returns the target of a link that checkLink has made, "" for none.
func linkPath(link string) string {
	target, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	return target
}

// drain lets the connection be used again.
func drain(r *http.Response) {
	_, _ = io.CopyN(io.Discard, r.Body, 64<<10) // what is longer costs the connection
	_ = r.Body.Close()
}

var errTooBig = errors.New("the registry's answer is too large")

// bounded ends bodies that are longer than a manifest may be.
type bounded struct{ next http.RoundTripper }

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = &boundedBody{response.Body, maxManifest}
	}
	return response, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooBig
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return n, errTooBig
	}
	return n, err
}
