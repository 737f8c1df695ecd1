// Package remote asks a registry for what package release needs: tags, digests,
// manifests, referrers. It uses the Distribution API and package upstream's
// Authorization. It bounds the registry's answers, and pauses when the registry is
// busy (paused.go).
package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pullgate/pullgate/authsvc/release"
	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
)

// An Upstream has the registry's host and Authorization. An
// *upstream.Upstream is one.
type Upstream interface {
	// Host is known even when the token has expired.
	Host() (string, error)
	Current() (tokenfile.Token, error)
	Renew(ctx context.Context, rejected string) (tokenfile.Token, error)
}

// Options configure a Client. Only Upstream is required.
type Options struct {
	Upstream Upstream
	// Transport carries the requests, which are for https://HOST/; nil for one
	// that CAFile and Address describe.
	Transport http.RoundTripper
	// CAFile is a PEM file of CAs to trust for the registry's certificate; empty
	// for the system's.
	CAFile string
	// Address (HOST:PORT) replaces the registry's host as the target of
	// connections. The certificate must still match the registry's host.
	Address string
	// Requests is how many are sent at once; 16 if zero.
	Requests int
	// Timeout bounds one request; 10 s if zero.
	Timeout time.Duration
	// Metrics gets the state of the breaker; nil for none.
	Metrics prometheus.Registerer
}

// Bounds of what is read.
const (
	// maxManifest is the size of the biggest manifest, in bytes: what the
	// Distribution Specification asks registries to take at least, and what
	// they take at most ("Pushing Manifests").
	maxManifest = 4 << 20
	// maxTags is how many tags of a repository are read, maxPages how many
	// pages of any list.
	maxTags  = 100_000
	maxPages = 2_000
	// pageSize is the biggest that ECR takes.
	pageSize = 1000
)

// A Client asks a registry. It is a release.Source.
type Client struct {
	upstream  Upstream
	transport http.RoundTripper
	timeout   time.Duration
	slots     chan struct{}
	breaker   *breaker
}

// New makes a Client. Its error is that of the CA file.
func New(o Options) (*Client, error) {
	if o.Requests == 0 {
		o.Requests = 16
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Transport == nil {
		t, err := NewTransport(o)
		if err != nil {
			return nil, err
		}
		o.Transport = t
	}
	breaker := newBreaker(&authorized{upstream: o.Upstream, next: o.Transport})
	wrapped, err := wrap(&bounded{&paused{next: breaker}})
	if err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(breaker.metric())
	}
	return &Client{upstream: o.Upstream, transport: wrapped, timeout: o.Timeout, slots: make(chan struct{}, o.Requests), breaker: breaker}, nil
}

// Trouble says that the registry is not asked because it failed too often; empty
// if it is asked.
func (c *Client) Trouble() string {
	if c.breaker.open() {
		return "the registry fails authsvc's own requests; known digests are served"
	}
	return ""
}

// Place implements release.Source: what is known stays known when the token expires.
func (c *Client) Place(repository string) (release.Place, error) {
	host, err := c.upstream.Host()
	return release.Place{Host: host, Repository: repository}, err
}

// do calls ask with what go-containerregistry needs, when there is a slot.
func (c *Client) do(ctx context.Context, repository string, ask func(context.Context, name.Repository, ...remote.Option) error) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.slots }()
	token, err := c.upstream.Current()
	if err != nil {
		return err
	}
	registry, err := name.NewRegistry(token.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return explain(ask(ctx, registry.Repo(repository), remote.WithContext(ctx), remote.WithTransport(c.transport), remote.WithPageSize(pageSize)))
}

// explain turns an error of go-containerregistry into one of release.Source.
// The registry's own words are left out: they may be long.
func explain(err error) error {
	var answered *transport.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooBig):
		return release.ErrTooBig
	case !errors.As(err, &answered):
		return err
	case answered.StatusCode == http.StatusNotFound:
		return release.ErrNotFound
	case rejects(answered.StatusCode):
		return fmt.Errorf("%w: it answered with status %d", release.ErrRefused, answered.StatusCode)
	}
	return fmt.Errorf("the registry answered with status %d", answered.StatusCode)
}

// Resolve implements release.Source.
func (c *Client) Resolve(ctx context.Context, repository, tag string) (digest string, err error) {
	err = c.do(ctx, repository, func(ctx context.Context, r name.Repository, o ...remote.Option) error {
		d, err := remote.Head(r.Tag(tag), o...)
		if err == nil {
			digest = d.Digest.String()
			return nil
		}
		var answered *transport.Error
		var failed *url.Error
		if errors.As(err, &answered) || errors.As(err, &failed) {
			return err
		}
		// A registry may leave the digest's header out.
		whole, err := manifest(r.Tag(tag), o)
		digest = whole.Digest
		return err
	})
	return digest, err
}

// Manifest implements release.Source.
func (c *Client) Manifest(ctx context.Context, repository, reference string) (m release.Manifest, err error) {
	err = c.do(ctx, repository, func(ctx context.Context, r name.Repository, o ...remote.Option) error {
		var ref name.Reference = r.Tag(reference)
		if strings.Contains(reference, ":") {
			ref = r.Digest(reference)
		}
		m, err = manifest(ref, o)
		return err
	})
	return m, err
}

// manifest fetches a manifest. A page for people, as a proxy serves it, is none, or a tag
// would be taken to have moved to it.
func manifest(ref name.Reference, o []remote.Option) (release.Manifest, error) {
	d, err := remote.Get(ref, o...)
	if err != nil {
		return release.Manifest{}, err
	}
	if kind := string(d.MediaType); strings.HasPrefix(kind, "text/") {
		return release.Manifest{}, fmt.Errorf("expected a manifest, found one of the type %.100q", kind)
	}
	return release.Manifest{Digest: d.Digest.String(), Body: d.Manifest}, nil
}

// Tags implements release.Source.
func (c *Client) Tags(ctx context.Context, repository string) (tags []string, err error) {
	err = c.do(ctx, repository, func(ctx context.Context, r name.Repository, o ...remote.Option) error {
		puller, err := remote.NewPuller(o...)
		if err != nil {
			return err
		}
		lister, err := puller.Lister(ctx, r)
		if err != nil {
			return err
		}
		for pages := 0; lister.HasNext(); pages++ {
			page, err := lister.Next(ctx)
			if err != nil {
				return err
			}
			tags = append(tags, page.Tags...)
			if len(tags) > maxTags || pages > maxPages {
				return fmt.Errorf("expected at most %d tags on %d pages, found more", maxTags, maxPages)
			}
		}
		return nil
	})
	return tags, err
}
