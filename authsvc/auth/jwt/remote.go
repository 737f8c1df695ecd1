package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/tokenrefresher/daemon/system"
)

const (
	// pause is the least time between two requests for keys, whatever tokens
	// come.
	pause = 10 * time.Second
	// fetchTimeout bounds one request.
	fetchTimeout = 10 * time.Second
	// patience is how long a token whose key is known waits for newer keys.
	patience = time.Second
	// maxRetired bounds the ids of removed keys that are remembered.
	maxRetired = 1000
)

// errRecent: the key is not known, and the keys were asked for too recently to know
// that it does not exist.
var errRecent = fmt.Errorf("the token's key is not known, and the issuer's keys are fetched at most once in %v", pause)

// A remote is a keyring that is fetched from a URL, when a token comes and the keys
// are old, or have none for the token. It is safe for concurrent use.
type remote struct {
	url           string
	host          string // for errors
	client        http.Client
	refresh, keep time.Duration
	env           auth.Environment
	logger        *slog.Logger
	// ctx ends requests with the program: they are shared, so no caller's does.
	ctx context.Context

	mu      sync.Mutex
	keys    keySet
	fetched time.Time     // when keys were asked for; zero without keys
	tried   time.Time     // the start of the last request
	err     error         // the last request's
	flight  chan struct{} // closed when the request under way ends; nil if none is
	removed map[string]bool
}

func newRemote(ctx context.Context, c Config, env auth.Environment) (*remote, error) {
	u, err := url.Parse(c.JWKSURL)
	if err != nil {
		return nil, errors.New("jwks_url: expected a URL")
	}
	config, err := system.TLS(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return &remote{
		url: c.JWKSURL, host: u.Host, refresh: c.Refresh, keep: c.Keep, env: env, logger: env.Logger, ctx: ctx, removed: map[string]bool{},
		client: http.Client{
			Timeout: fetchTimeout,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxConnsPerHost: 2,
				DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 90 * time.Second,
			},
			// Who answers there decides who is a customer: no other host does.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// current implements keyring. A slow or broken server delays it by patience at most
// while there are keys, and not at all in the pause after that.
func (r *remote) current(ctx context.Context) (keySet, error) {
	r.mu.Lock()
	age := time.Since(r.fetched)
	if r.keys != nil && age <= r.refresh {
		defer r.mu.Unlock()
		return r.keys, nil
	}
	var enough <-chan time.Time
	if r.keys != nil && age <= r.keep {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	flight := r.start()
	r.mu.Unlock()
	if err := wait(ctx, flight, enough); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys != nil && time.Since(r.fetched) <= r.keep {
		return r.keys, nil
	}
	return nil, r.err
}

// fresh implements keyring.
func (r *remote) fresh(ctx context.Context, since time.Time) (keySet, error) {
	r.mu.Lock()
	flight := r.start()
	r.mu.Unlock()
	if err := wait(ctx, flight, nil); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.fetched.Before(since):
		return r.keys, nil
	case r.err != nil:
		return nil, r.err
	}
	return nil, errRecent
}

// retired implements keyring.
func (r *remote) retired(kid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed[kid]
}

// start begins a request, unless one is under way or the last one is too recent. It
// returns a channel that is closed when a request has ended; closed already if there
// is none. The caller holds the lock.
func (r *remote) start() <-chan struct{} {
	switch now := time.Now(); {
	case r.flight != nil:
		return r.flight
	case now.Before(r.tried.Add(pause)):
		done := make(chan struct{})
		close(done)
		return done
	default:
		r.tried, r.flight = now, make(chan struct{})
		go func() {
			keys, err := r.fetch(r.ctx)
			r.note(now, keys, err)
		}()
		return r.flight
	}
}

func wait(ctx context.Context, flight <-chan struct{}, enough <-chan time.Time) error {
	select {
	case <-flight:
	case <-enough:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// note keeps what a request, begun at a moment, has brought.
func (r *remote) note(begun time.Time, keys keySet, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.flight)
	r.flight = nil
	if err != nil {
		if r.err == nil {
			r.logger.Warn("the issuer's keys cannot be fetched; those that are known are used meanwhile", "error", err.Error(), "known", len(r.keys), "for", r.keep.String())
		}
		r.err = err
		r.env.Fault("jwks_url", err)
		return
	}
	if r.err != nil || r.keys == nil {
		r.logger.Info("the issuer's keys have been fetched", "keys", len(keys))
	}
	for _, old := range r.keys {
		if old.KeyID != "" && len(r.removed) < maxRetired {
			r.removed[old.KeyID] = true
		}
	}
	for _, key := range keys {
		delete(r.removed, key.KeyID)
	}
	r.keys, r.fetched, r.err = keys, begun, nil
	r.env.Fault("jwks_url", nil)
}

// fetch asks for the keys.
func (r *remote) fetch(ctx context.Context) (keys keySet, err error) {
	start := time.Now()
	defer func() { r.env.Observe(ctx, outcome(err), time.Since(start)) }()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, errors.New("expected a URL")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request) //nolint:gosec // the configured URL
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("asking %s for the issuer's keys: %w", r.host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s for the issuer's keys: expected status 200, found %d", r.host, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the issuer's keys from %s: %w", r.host, err)
	case len(body) > maxKeySet:
		return nil, fmt.Errorf("reading the issuer's keys from %s: expected at most %d bytes, found more", r.host, maxKeySet)
	}
	if keys, err = parseKeys(body); err != nil {
		return nil, fmt.Errorf("reading the issuer's keys from %s: %w", r.host, err)
	}
	return keys, nil
}

// check asks for the keys, for check-config.
func (r *remote) check(ctx context.Context) error {
	_, err := r.fetch(ctx)
	if err != nil {
		return fmt.Errorf("jwks_url: %w", err)
	}
	return nil
}

func outcome(err error) string {
	var slow net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &slow) && slow.Timeout():
		return "timeout"
	case err != nil:
		return "error"
	}
	return "ok"
}
