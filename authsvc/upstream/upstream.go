// Package upstream has the registries behind nginx: which one has a repository, and
// under which name (routes.go); its current Authorization, from the file that
// tokenrefresher writes, and a new one when the registry rejects it (upstream.go);
// and when its stand-by serves in its place (standing.go).
package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
	"golang.org/x/sync/singleflight"
)

// A Source has the latest token that tokenrefresher wrote, and tells when a
// newer one arrives. *tokenfile.Watcher implements it.
type Source interface {
	Current() (tokenfile.Token, error)
	Wait(ctx context.Context, newerThan time.Time) (tokenfile.Token, error)
}

// A Config says what a registry is called, and how to request a new token.
type Config struct {
	// Name is the registry's in logs and metrics: [a-z0-9-].
	Name string
	// RefreshSocket is tokenrefresher's control socket, unix:PATH; empty to
	// disable. RefreshName is the registry's name in its configuration.
	RefreshSocket, RefreshName string
	// Timeout bounds the wait for a requested token.
	Timeout time.Duration
	// Transport asks the registry whether it accepts a token, and whether it
	// answers again; nil to trust every rejection, and to try it without asking.
	Transport http.RoundTripper
	// Logger gets what happens to the registry; nil for none.
	Logger *slog.Logger
	// Now is the clock; nil for the real one.
	Now func() time.Time
}

// ErrTokenIsGood means that the registry rejects a request but accepts the token:
// a new token would not help.
var ErrTokenIsGood = errors.New("the registry accepts the token but refuses this request; " +
	"does the role's policy allow this repository?")

// An Upstream is a registry behind nginx.
type Upstream struct {
	name   string
	logger *slog.Logger
	now    func() time.Time
	// What the registry is in the routes.
	isFirst, hasStandby, isStandby bool
	standing                       standing
	numbers                        numbers

	values  atomic.Pointer[Values]
	source  Source
	refresh string // the URL that requests a refresh; empty to disable
	client  *http.Client
	timeout time.Duration
	flight  singleflight.Group

	transport http.RoundTripper
	mu        sync.Mutex
	good      verdict
}

// A verdict records that the registry accepted a token.
type verdict struct {
	id    string
	until time.Time
}

// goodFor is how long an accepted token is not tested again.
const goodFor = 30 * time.Second

// New makes an Upstream over source.
func New(source Source, c Config) *Upstream {
	u := &Upstream{name: c.Name, logger: c.Logger, now: c.Now, source: source, timeout: c.Timeout, transport: c.Transport, numbers: newNumbers()}
	if u.logger == nil {
		u.logger = slog.New(slog.DiscardHandler)
	}
	if u.now == nil {
		u.now = time.Now
	}
	u.logger = u.logger.With("upstream", u.name)
	if c.RefreshSocket == "" {
		return u
	}
	path := strings.TrimPrefix(c.RefreshSocket, "unix:")
	dialer := &net.Dialer{Timeout: time.Second}
	u.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxIdleConns: 1,
	}}
	u.refresh = "http://tokenrefresher/refresh?registry=" + url.QueryEscape(c.RefreshName)
	return u
}

// Name is the registry's in logs and metrics.
func (u *Upstream) Name() string { return u.name }

// Host is the registry's host, with its port if that is not 443. It is known even
// when the token has expired.
func (u *Upstream) Host() (string, error) {
	token, err := u.source.Current()
	return token.Host, err
}

// Current returns the token in force. Its error says why there is no usable
// token.
func (u *Upstream) Current() (tokenfile.Token, error) {
	token, err := u.source.Current()
	if err != nil {
		return tokenfile.Token{}, err
	}
	return token, token.Usable(u.now())
}

// Renew returns a token other than the rejected one, which is given by its ID. If
// a newer one has already arrived, Renew returns it at once. Otherwise it requests
// a single refresh, however many requests wait for it. If the registry does accept
// the rejected token, the error is ErrTokenIsGood.
func (u *Upstream) Renew(ctx context.Context, rejected string) (tokenfile.Token, error) {
	if current, ok := u.other(rejected); ok {
		return current, nil
	}
	if u.refresh == "" {
		return tokenfile.Token{}, errors.New("the registry rejects the token, and refresh_socket is not set")
	}
	result := u.flight.DoChan(rejected, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.timeout)
		defer cancel()
		current, ok := u.other(rejected)
		if ok { // it arrived since the caller looked
			return current, nil
		}
		if u.accepts(ctx, current) {
			return nil, ErrTokenIsGood
		}
		if err := u.askFor(ctx, current.FetchedAt); err != nil {
			return nil, err
		}
		renewed, err := u.source.Wait(ctx, current.FetchedAt)
		if err == nil {
			err = renewed.Usable(u.now())
		}
		return renewed, err
	})
	select {
	case <-ctx.Done():
		return tokenfile.Token{}, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return tokenfile.Token{}, fmt.Errorf("renewing the rejected token: %w", r.Err)
		}
		return r.Val.(tokenfile.Token), nil
	}
}

// accepts asks the registry whether it accepts a token, with the API's ping. An
// unclear answer counts as no. Without this check, a customer whose license is
// wider than the role could cause endless renewals.
func (u *Upstream) accepts(ctx context.Context, token tokenfile.Token) bool {
	u.mu.Lock()
	known := u.good.id == ID(token) && u.now().Before(u.good.until)
	u.mu.Unlock()
	if known || u.transport == nil || token.Host == "" {
		return known
	}
	if status, err := Ping(ctx, u.transport, token); err != nil || status != http.StatusOK {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.good = verdict{ID(token), u.now().Add(goodFor)}
	return true
}

// Ping asks a token's registry for the API's root, and returns the status (Distribution
// Specification 1.1, "Determining Support").
func Ping(ctx context.Context, transport http.RoundTripper, token tokenfile.Token) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+token.Host+"/v2/", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", token.Authorization())
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return response.StatusCode, nil
}

// other returns the current token, and whether it is usable and differs from the
// rejected one.
func (u *Upstream) other(rejected string) (tokenfile.Token, bool) {
	current, err := u.Current()
	return current, err == nil && ID(current) != rejected
}

func (u *Upstream) askFor(ctx context.Context, newerThan time.Time) error {
	target := u.refresh + "&newer_than=" + url.QueryEscape(newerThan.Format(time.RFC3339Nano))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return err
	}
	response, err := u.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking tokenrefresher: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking tokenrefresher: status %d, expected 200", response.StatusCode)
	}
	return nil
}

// ID identifies one of a registry's tokens without revealing it: the time at which it
// was fetched.
func ID(t tokenfile.Token) string {
	return t.FetchedAt.UTC().Format("20060102T150405.000000000Z")
}
