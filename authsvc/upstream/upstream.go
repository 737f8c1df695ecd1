// Package upstream has the registry's current Authorization, from the file that
// tokenrefresher writes, and asks tokenrefresher for another one when the registry
// rejects it.
package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pullgate/pullgate/tokenrefresher/tokenfile"
	"golang.org/x/sync/singleflight"
)

// A Source has the token that tokenrefresher wrote last, and tells when a
// newer one arrives. A *tokenfile.Watcher is one.
type Source interface {
	Current() (tokenfile.Token, error)
	Wait(ctx context.Context, newerThan time.Time) (tokenfile.Token, error)
}

// A Config says how a new token is asked for.
type Config struct {
	// RefreshSocket is tokenrefresher's control socket, unix:PATH; empty to
	// never ask. RefreshName is the registry's name in its configuration.
	RefreshSocket, RefreshName string
	// Timeout bounds the wait for a token that was asked for.
	Timeout time.Duration
}

// An Upstream is the registry behind nginx.
type Upstream struct {
	source  Source
	refresh string // the URL that asks for a refresh; empty to never ask
	client  *http.Client
	timeout time.Duration
	flight  singleflight.Group
}

// New makes an Upstream over source.
func New(source Source, c Config) *Upstream {
	u := &Upstream{source: source, timeout: c.Timeout}
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

// Current returns the token in force. Its error says why there is none that
// the registry would take.
func (u *Upstream) Current() (tokenfile.Token, error) {
	token, err := u.source.Current()
	if err != nil {
		return tokenfile.Token{}, err
	}
	return token, token.Usable(time.Now())
}

// Renew returns a token other than the one that the registry has rejected, of
// which rejected is the ID. One that has arrived meanwhile is returned at
// once; else one refresh is asked for, however many requests wait for it.
func (u *Upstream) Renew(ctx context.Context, rejected string) (tokenfile.Token, error) {
	if current, ok := u.other(rejected); ok {
		return current, nil
	}
	if u.refresh == "" {
		return tokenfile.Token{}, fmt.Errorf("the registry rejects its token, and upstream.refresh_socket is not set")
	}
	result := u.flight.DoChan(rejected, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.timeout)
		defer cancel()
		current, ok := u.other(rejected)
		if ok { // it arrived since the caller looked
			return current, nil
		}
		if err := u.askFor(ctx, current.FetchedAt); err != nil {
			return nil, err
		}
		renewed, err := u.source.Wait(ctx, current.FetchedAt)
		if err == nil {
			err = renewed.Usable(time.Now())
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

// other returns the current token, and whether it is usable and another than
// the rejected one.
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

// ID names a token without telling anything of it: the moment at which it was
// fetched.
func ID(t tokenfile.Token) string {
	return t.FetchedAt.UTC().Format("20060102T150405.000000000Z")
}
